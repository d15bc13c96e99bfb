"""What a visitor can have done: a method for each endpoint of the page, in plain types.

Nothing of one visit is kept for the next. An error that is a sentence of ours reaches the visitor; any other is a
defect, and tells them nothing of this machine.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeVar

import gradio as gr

from ..refusals import raised_by_us
from ..reports.text import cut
from . import words
from .answering import best, top
from .checkpoints import Checkpoints, Opened, Senses
from .drawings import draw_posterior, draw_spectrograms, draw_sweep
from .examples import SHOWN, Examples
from .failures import find_failures
from .files import Files, temporary_folder
from .offered import Offered
from .picture import answer_picture, mode_of, open_picture
from .picture import moved as moved_picture
from .sound import answer_sound, rate_of, read_sound
from .sound import moved as moved_sound
from .sweep import sweep_picture, sweep_sound
from .uploads import refusal

Method = TypeVar("Method", bound=Callable[..., Any])
ADAPTERS_OWN = "adapter's own"
REMEMBERED = 64
"""Answers to examples that are kept, with the time that they took: of visitors' own inputs none is."""
CAPTION = 14
"""Letters of a class below a picture."""
EXAMPLE_TURN = 90
"""Degrees by which an example is turned at first: that is what the page is about."""
EXAMPLE_SPEED = -6
"""Semitones."""


def told(action: Method) -> Method:
    """An action whose sentences reach the visitor."""

    @wraps(action)
    def tells(*args: Any, **kwargs: Any) -> Any:
        try:
            return action(*args, **kwargs)
        except (ValueError, OSError) as error:
            if not raised_by_us(error):
                raise
            raise refusal(str(error)) from error

    return tells  # type: ignore[return-value]


class Actions:
    """The endpoints of a demo.

    Args:
        offered: by its operator. Its checkpoints and some examples are opened at once.

    Raises:
        ValueError: something that is offered cannot be shown.
        OSError: it cannot be read.
    """

    def __init__(self, offered: Offered):
        self.checkpoints = Checkpoints(offered)
        self.examples = Examples(offered)
        self.files = Files()
        self._examples = temporary_folder(self)
        self.shown: dict[Senses, list[Path]] = {senses: self._written(senses) for senses in self.checkpoints.at_first}
        self._digests = {digest(path) for paths in self.shown.values() for path in paths}
        self._telling: dict[Senses, int] = {}
        self._remembered: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def _written(self, senses: Senses) -> list[Path]:
        """The first few examples, as files that a page can show."""
        opened = self.checkpoints.at_first[senses]
        if senses == "sound":
            sounds = [example.content for example in self.examples.sounds(SHOWN)]
            return [path for path in sounds if can_be_heard(path, rate_of(opened))]
        if self.checkpoints.offered.pictures is None and mode_of(opened) != "RGB":
            return []  # photographs are nothing to a checkpoint that reads digits
        paths = []
        examples = self.examples.pictures(SHOWN)
        for index in range(len(examples)):
            path = self._examples / f"example{index + 1}.png"
            with suppress(OSError, SyntaxError):  # what PIL raises; the Failures tab counts what cannot be read
                examples[index].content.save(path)
                paths.append(path)
        return paths

    def telling(self, senses: Senses) -> int:
        """The first example about which the checkpoint alone says something else once it is moved: what a page begins
        with. The canonicalizer has no say in it."""
        if senses not in self._telling:
            self._telling[senses] = self._first_that_changes(senses)
        return self._telling[senses]

    def _first_that_changes(self, senses: Senses) -> int:
        opened = self.checkpoints.at_first[senses]
        for index, path in enumerate(self.shown[senses]):
            if senses == "picture":
                picture = open_picture(path, mode_of(opened))
                turned = moved_picture(picture, turn=EXAMPLE_TURN)
                said = [answer_picture(opened, one, None)[0] for one in (picture, turned)]
            else:
                sound = read_sound(path, rate_of(opened))
                moved = moved_sound(sound, rate_of(opened), speed=EXAMPLE_SPEED)
                said = [answer_sound(opened, one, None)[0] for one in (sound, moved)]
            if best(said[0].before) != best(said[1].before):
                return index
        return 0

    def opened(self, senses: Senses, checkpoint: str, group: str) -> Opened:
        """The checkpoint that was asked for, or the one that is open at first."""
        if checkpoint:
            opened = self.checkpoints.opened(checkpoint, group)
            if opened.senses != senses:
                other = "Sound" if opened.senses == "sound" else "Picture"
                raise ValueError(f"{opened.title} is a classifier of {opened.senses}s. Go to the {other} tab.")
            return opened
        if group:
            raise ValueError(
                f"The group {group!r} is for a checkpoint without adapter. Name one too, and open it first."
            )
        if senses not in self.checkpoints.at_first:
            verb = "looks at pictures" if senses == "picture" else "listens to sound"
            raise ValueError(f"No checkpoint that {verb} is open. Name one at the top, under 'Another checkpoint'.")
        return self.checkpoints.at_first[senses]

    @told
    def open(self, checkpoint: str, group: str = "") -> str:
        """Open a checkpoint: an adapter of hf_canon, or any classifier of pictures or sounds on the Hub.

        Args:
            checkpoint: id on the Hub, such as google/vit-base-patch16-224; on your own machine also a folder.
            group: what happens to its inputs, such as c4, d4, channels or reverse, for a checkpoint without adapter.

        Returns:
            what was opened, in a line of Markdown
        """
        return words.about(self.checkpoints.open(checkpoint or "", group or ""))

    @told
    def picture(
        self,
        picture: str | None,
        turn: float = 0,
        mirror: bool = False,
        channels: str = "RGB",
        tint: float = 0,
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
    ) -> tuple[Any, ...]:
        """Move a picture, and ask the checkpoint about it: alone, and behind its canonicalizer.

        Args:
            picture: a picture file.
            turn: degrees by which it is turned, counter-clockwise.
            mirror: whether left and right are exchanged, before it is turned.
            channels: which channel is shown as red, as green and as blue.
            tint: degrees by which its hues are turned, red towards green.
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            the classes that the checkpoint names alone, with their probability
            the classes that it names behind the canonicalizer
            what it saw, and the canonical picture
            the posterior over the group, drawn
            what was found and done, in words
            all of it as JSON
        """
        if picture is None:
            return None, None, None, "", words.empty("Give a picture, or choose an example."), None

        def answer() -> tuple[Any, ...]:
            opened = self.opened("picture", checkpoint, group)
            moved = moved_picture(open_picture(picture, mode_of(opened)), turn, mirror, channels, tint)
            said, before, after = answer_picture(opened, moved, chosen(rule))
            drawn = draw_posterior(said, opened.model.group)
            return top(said.before), top(said.after), (before, after), drawn, words.verdict(said), said.record()

        asked = (turn, mirror, channels, tint, rule, checkpoint, group)
        alone, behind, seen, *rest = self._answered(picture, asked, answer)
        return alone, behind, tuple(map(self.files.picture, seen)), *rest

    @told
    def sound(
        self,
        sound: str | None,
        pitch: float = 0,
        speed: float = 0,
        backwards: bool = False,
        gain: float = 0,
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
    ) -> tuple[Any, ...]:
        """Move a sound, and ask the checkpoint about it: alone, and behind its canonicalizer.

        Args:
            sound: a sound file, 30 seconds at most.
            pitch: semitones by which it becomes higher, at the same tempo.
            speed: semitones by which it is played too fast; twelve are twice as fast.
            backwards: whether it is reversed.
            gain: decibels by which it becomes louder.
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            the classes that the checkpoint names alone, with their probability
            the classes that it names behind the canonicalizer
            the sound that it heard
            the canonical sound
            the spectrograms of both, drawn
            the posterior over the group, drawn
            what was found and done, in words
            all of it as JSON
        """
        if sound is None:
            return (
                None,
                None,
                None,
                None,
                "",
                "",
                words.empty("Record a sound, upload one, or choose an example."),
                None,
            )

        def answer() -> tuple[Any, ...]:
            opened = self.opened("sound", checkpoint, group)
            rate = rate_of(opened)
            moved = moved_sound(read_sound(sound, rate), rate, pitch, speed, backwards, gain)
            said, canonical = answer_sound(opened, moved, chosen(rule))
            drawn = draw_spectrograms({"As the checkpoint hears it": moved, "Canonical": canonical}, rate)
            posterior = draw_posterior(said, opened.model.group)
            judged = (drawn, posterior, words.verdict(said), said.record())
            return top(said.before), top(said.after), (moved, canonical, rate), *judged

        asked = (pitch, speed, backwards, gain, rule, checkpoint, group)
        alone, behind, (moved, canonical, rate), *rest = self._answered(sound, asked, answer)
        heard = (self.files.sound(one, rate) for one in (moved, canonical))
        return alone, behind, *heard, *rest

    def _answered(self, path: str, asked: tuple[Any, ...], answer: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        """An answer; one to an example is looked up, if somebody has asked the same before."""
        known = digest(Path(path))
        if known not in self._digests:
            return answer()
        found = self._remembered.get((known, *asked))
        if found is None:
            found = answer()
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[known, *asked] = found
        return found

    @told
    def try_picture(
        self,
        picture: str | None,
        way: Literal["rotation", "tint"] = "rotation",
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:
        """Ask about a picture in every rotation or every tint: how sure the checkpoint stays of its first answer.

        Args:
            picture: a picture file.
            way: in which it is moved.
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            how often the answer stays what it was, in words
            the probability of that answer against the move, drawn
        """
        if picture is None:
            raise ValueError("There is no picture yet. Give one in the Picture tab, or choose an example there.")
        opened = self.opened("picture", checkpoint, group)
        square = open_picture(picture, mode_of(opened))
        sweep = sweep_picture(opened, square, way, chosen(rule), tracked(progress, f"every {way}"))
        return words.swept(sweep, way), draw_sweep(sweep)

    @told
    def try_sound(
        self,
        sound: str | None,
        way: Literal["speed", "pitch", "loudness"] = "speed",
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:
        """Ask about a sound at every speed, pitch or loudness: how sure the checkpoint stays of its first answer.

        Args:
            sound: a sound file, 30 seconds at most.
            way: in which it is moved.
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            how often the answer stays what it was, in words
            the probability of that answer against the move, drawn
        """
        if sound is None:
            raise ValueError("There is no sound yet. Give one in the Sound tab, or choose an example there.")
        opened = self.opened("sound", checkpoint, group)
        waveform = read_sound(sound, rate_of(opened))
        sweep = sweep_sound(opened, waveform, way, chosen(rule), tracked(progress, f"every {way}"))
        return words.swept(sweep, way), draw_sweep(sweep)

    @told
    def failing_pictures(
        self,
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, list[tuple[str, str]], list[list[str]]]:
        """Go through the example pictures, as they came and moved at random, and show where canonicalization hurts.

        Args:
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            how many answers became wrong, and how many right, in a table of Markdown
            pictures whose right answer became wrong, as the checkpoint saw them
            a row for each: which example, its pose, the right answer, both answers, what was found, what was done
        """
        return self._failures("picture", rule, checkpoint, group, progress)

    @told
    def failing_sounds(
        self,
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, list[tuple[str, str]], list[list[str]]]:
        """Go through the example sounds, as they came and moved at random, and show where canonicalization hurts.

        Args:
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            how many answers became wrong, and how many right, in a table of Markdown
            no pictures
            a row for each: which example, its pose, the right answer, both answers, what was found, what was done
        """
        return self._failures("sound", rule, checkpoint, group, progress)

    def _failures(self, senses: Senses, rule: str, checkpoint: str, group: str, progress: gr.Progress) -> Any:
        opened = self.opened(senses, checkpoint, group)
        examples = self.examples.pictures() if senses == "picture" else self.examples.sounds()
        found = find_failures(opened, examples, chosen(rule), tracked(progress, "examples"))
        pictures, rows = [], []
        for one in found.failures:
            if one.seen is not None:
                said = (cut(name, CAPTION) for name in (one.before, one.after))
                pictures.append((self.files.picture(one.seen), " \N{RIGHTWARDS ARROW} ".join(said)))
            rows.append([one.example.name, one.pose, one.expected, one.before, one.after, one.found, one.action])
        return words.tallied(found), pictures, rows

    @told
    def example_picture(self, index: int) -> tuple[str, float]:
        """An example picture, and by how many degrees to turn it.

        Args:
            index: of the example, from 0.

        Returns:
            the picture file
            degrees
        """
        return self._example("picture", index), EXAMPLE_TURN

    @told
    def example_sound(self, index: int) -> tuple[str, float]:
        """An example sound, and by how many semitones to play it too fast.

        Args:
            index: of the example, from 0.

        Returns:
            the sound file
            semitones
        """
        return self._example("sound", index), EXAMPLE_SPEED

    def begin(self, senses: Senses) -> tuple[Any, ...]:
        """What a page begins with: the most telling example, how it is moved, and the answers to it."""
        if senses == "picture":
            path, turn = self.example_picture(self.telling("picture"))
            return path, turn, *self.picture(path, turn)
        path, speed = self.example_sound(self.telling("sound"))
        return path, speed, *self.sound(path, speed=speed)

    def _example(self, senses: Senses, index: int) -> str:
        paths = self.shown.get(senses, [])
        if not 0 <= index < len(paths):
            raise ValueError(f"There is no example {index}: they are numbered from 0 to {len(paths) - 1}.")
        return str(paths[index])


def can_be_heard(path: Path, rate: int) -> bool:
    """Whether an example can be offered; the Failures tab counts those that cannot."""
    try:
        read_sound(path, rate)
    except ValueError:
        return False
    return True


def chosen(rule: str) -> str | None:
    """A decision rule's name; None for that of the adapter."""
    return None if rule == ADAPTERS_OWN else rule


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tracked(progress: Any, what: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
    return lambda values: progress.tqdm(values, desc=what, total=len(values))
