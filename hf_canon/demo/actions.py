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
from .audio import answer_audio, rate_of, read_audio
from .audio import transformed as transformed_audio
from .checkpoints import Checkpoints, Opened, Senses
from .drawings import draw_posterior, draw_spectrograms, draw_sweep
from .examples import SHOWN, Examples
from .failures import find_failures
from .files import Files, temporary_folder
from .image import answer_image, mode_of, open_image
from .image import transformed as transformed_image
from .offered import Offered
from .sweep import sweep_audio, sweep_image
from .uploads import refusal

Method = TypeVar("Method", bound=Callable[..., Any])
ADAPTERS_OWN = "adapter's own"
REMEMBERED = 64
"""Answers to examples that are kept, with the time that they took: of visitors' own inputs none is."""
CAPTION = 14
"""Letters of a class below an image."""
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
        if senses == "audio":
            clips = [example.content for example in self.examples.clips(SHOWN)]
            return [path for path in clips if can_be_heard(path, rate_of(opened))]
        if self.checkpoints.offered.images is None and mode_of(opened) != "RGB":
            return []  # photographs are nothing to a checkpoint that reads digits
        paths = []
        examples = self.examples.images(SHOWN)
        for index in range(len(examples)):
            path = self._examples / f"example{index + 1}.png"
            with suppress(OSError, SyntaxError):  # what PIL raises; the Failures tab counts what cannot be read
                examples[index].content.save(path)
                paths.append(path)
        return paths

    def telling(self, senses: Senses) -> int:
        """The first example about which the checkpoint alone says something else once it is transformed: a page begins
        with it. The canonicalizer has no say in it."""
        if senses not in self._telling:
            self._telling[senses] = self._first_that_changes(senses)
        return self._telling[senses]

    def _first_that_changes(self, senses: Senses) -> int:
        opened = self.checkpoints.at_first[senses]
        for index, path in enumerate(self.shown[senses]):
            if senses == "image":
                image = open_image(path, mode_of(opened))
                turned = transformed_image(image, turn=EXAMPLE_TURN)
                said = [answer_image(opened, one, None)[0] for one in (image, turned)]
            else:
                audio = read_audio(path, rate_of(opened))
                transformed = transformed_audio(audio, rate_of(opened), speed=EXAMPLE_SPEED)
                said = [answer_audio(opened, one, None)[0] for one in (audio, transformed)]
            if best(said[0].before) != best(said[1].before):
                return index
        return 0

    def opened(self, senses: Senses, checkpoint: str, group: str) -> Opened:
        """The checkpoint that was asked for, or the one that is open at first."""
        if checkpoint:
            opened = self.checkpoints.opened(checkpoint, group)
            if opened.senses != senses:
                other = "Audio" if opened.senses == "audio" else "Image"
                raise ValueError(f"{opened.title} is a classifier of {opened.senses}s. Go to the {other} tab.")
            return opened
        if group:
            raise ValueError(
                f"The group {group!r} is for a checkpoint without adapter. Name one too, and open it first."
            )
        if senses not in self.checkpoints.at_first:
            verb = "reads images" if senses == "image" else "reads audio"
            raise ValueError(f"No checkpoint that {verb} is open. Name one at the top, under 'Another checkpoint'.")
        return self.checkpoints.at_first[senses]

    @told
    def open(self, checkpoint: str, group: str = "") -> str:
        """Open a checkpoint: an adapter of hf_canon, or any classifier of images or clips on the Hub.

        Args:
            checkpoint: id on the Hub, such as google/vit-base-patch16-224; on your own machine also a folder.
            group: what happens to its inputs, such as c4, d4, channels or reverse, for a checkpoint without adapter.

        Returns:
            what was opened, in a line of Markdown
        """
        return words.about(self.checkpoints.open(checkpoint or "", group or ""))

    @told
    def image(
        self,
        image: str | None,
        turn: float = 0,
        mirror: bool = False,
        channels: str = "RGB",
        tint: float = 0,
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
    ) -> tuple[Any, ...]:
        """Move an image, and ask the checkpoint about it: alone, and behind its canonicalizer.

        Args:
            image: an image file.
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
            what it saw, and the canonical image
            the posterior over the group, drawn
            what was found and done, in words
            all of it as JSON
        """
        if image is None:
            return None, None, None, "", words.empty("Give an image, or choose an example."), None

        def answer() -> tuple[Any, ...]:
            opened = self.opened("image", checkpoint, group)
            transformed = transformed_image(open_image(image, mode_of(opened)), turn, mirror, channels, tint)
            said, before, after = answer_image(opened, transformed, chosen(rule))
            drawn = draw_posterior(said, opened.model.group)
            return top(said.before), top(said.after), (before, after), drawn, words.verdict(said), said.record()

        asked = (turn, mirror, channels, tint, rule, checkpoint, group)
        alone, behind, seen, *rest = self._answered(image, asked, answer)
        return alone, behind, tuple(map(self.files.image, seen)), *rest

    @told
    def audio(
        self,
        audio: str | None,
        pitch: float = 0,
        speed: float = 0,
        backwards: bool = False,
        gain: float = 0,
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
    ) -> tuple[Any, ...]:
        """Move an audio clip, and ask the checkpoint about it: alone, and behind its canonicalizer.

        Args:
            audio: an audio clip file, 30 seconds at most.
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
            the audio that it heard
            the canonical audio
            the spectrograms of both, drawn
            the posterior over the group, drawn
            what was found and done, in words
            all of it as JSON
        """
        if audio is None:
            return (
                None,
                None,
                None,
                None,
                "",
                "",
                words.empty("Record an audio clip, upload one, or choose an example."),
                None,
            )

        def answer() -> tuple[Any, ...]:
            opened = self.opened("audio", checkpoint, group)
            rate = rate_of(opened)
            transformed = transformed_audio(read_audio(audio, rate), rate, pitch, speed, backwards, gain)
            said, canonical = answer_audio(opened, transformed, chosen(rule))
            drawn = draw_spectrograms({"As the checkpoint receives it": transformed, "Canonical": canonical}, rate)
            posterior = draw_posterior(said, opened.model.group)
            judged = (drawn, posterior, words.verdict(said), said.record())
            return top(said.before), top(said.after), (transformed, canonical, rate), *judged

        asked = (pitch, speed, backwards, gain, rule, checkpoint, group)
        alone, behind, (transformed, canonical, rate), *rest = self._answered(audio, asked, answer)
        heard = (self.files.audio(one, rate) for one in (transformed, canonical))
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
    def try_image(
        self,
        image: str | None,
        way: Literal["rotation", "tint"] = "rotation",
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:
        """Ask about an image in every rotation or every tint: how sure the checkpoint stays of its first answer.

        Args:
            image: an image file.
            way: in which it is transformed.
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            how often the answer stays what it was, in words
            the probability of that answer against the move, drawn
        """
        if image is None:
            raise ValueError("There is no image yet. Give one in the Image tab, or choose an example there.")
        opened = self.opened("image", checkpoint, group)
        square = open_image(image, mode_of(opened))
        sweep = sweep_image(opened, square, way, chosen(rule), tracked(progress, f"every {way}"))
        return words.swept(sweep, way), draw_sweep(sweep)

    @told
    def try_audio(
        self,
        audio: str | None,
        way: Literal["speed", "pitch", "loudness"] = "speed",
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:
        """Ask about an audio clip at every speed, pitch or loudness: how sure the checkpoint stays of its first
        answer.

        Args:
            audio: an audio clip file, 30 seconds at most.
            way: in which it is transformed.
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            how often the answer stays what it was, in words
            the probability of that answer against the move, drawn
        """
        if audio is None:
            raise ValueError("There is no audio yet. Give one in the Audio tab, or choose an example there.")
        opened = self.opened("audio", checkpoint, group)
        waveform = read_audio(audio, rate_of(opened))
        sweep = sweep_audio(opened, waveform, way, chosen(rule), tracked(progress, f"every {way}"))
        return words.swept(sweep, way), draw_sweep(sweep)

    @told
    def failing_images(
        self,
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, list[tuple[str, str]], list[list[str]]]:
        """Go through the example images, as they came and transformed at random, and show where canonicalization
        hurts.

        Args:
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            how many answers became wrong, and how many right, in a table of Markdown
            images whose right answer became wrong, as the checkpoint saw them
            a row for each: which example, its pose, the right answer, both answers, what was found, what was done
        """
        return self._failures("image", rule, checkpoint, group, progress)

    @told
    def failing_clips(
        self,
        rule: str = ADAPTERS_OWN,
        checkpoint: str = "",
        group: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, list[tuple[str, str]], list[list[str]]]:
        """Go through the example clips, as they came and transformed at random, and show where canonicalization hurts.

        Args:
            rule: the decision rule.
            checkpoint: a checkpoint to ask in place of the one that is open at first.
            group: what happens to its inputs, if it has no adapter.

        Returns:
            how many answers became wrong, and how many right, in a table of Markdown
            no images
            a row for each: which example, its pose, the right answer, both answers, what was found, what was done
        """
        return self._failures("audio", rule, checkpoint, group, progress)

    def _failures(self, senses: Senses, rule: str, checkpoint: str, group: str, progress: gr.Progress) -> Any:
        opened = self.opened(senses, checkpoint, group)
        examples = self.examples.images() if senses == "image" else self.examples.clips()
        found = find_failures(opened, examples, chosen(rule), tracked(progress, "examples"))
        images, rows = [], []
        for one in found.failures:
            if one.seen is not None:
                said = (cut(name, CAPTION) for name in (one.before, one.after))
                images.append((self.files.image(one.seen), " \N{RIGHTWARDS ARROW} ".join(said)))
            rows.append([one.example.name, one.pose, one.expected, one.before, one.after, one.found, one.action])
        return words.tallied(found), images, rows

    @told
    def example_image(self, index: int) -> tuple[str, float]:
        """An example image, and by how many degrees to turn it.

        Args:
            index: of the example, from 0.

        Returns:
            the image file
            degrees
        """
        return self._example("image", index), EXAMPLE_TURN

    @told
    def example_audio(self, index: int) -> tuple[str, float]:
        """An example audio, and by how many semitones to play it too fast.

        Args:
            index: of the example, from 0.

        Returns:
            the audio file
            semitones
        """
        return self._example("audio", index), EXAMPLE_SPEED

    def begin(self, senses: Senses) -> tuple[Any, ...]:
        """What a page begins with: the most telling example, how it is transformed, and the answers to it."""
        if senses == "image":
            path, turn = self.example_image(self.telling("image"))
            return path, turn, *self.image(path, turn)
        path, speed = self.example_audio(self.telling("audio"))
        return path, speed, *self.audio(path, speed=speed)

    def _example(self, senses: Senses, index: int) -> str:
        paths = self.shown.get(senses, [])
        if not 0 <= index < len(paths):
            raise ValueError(f"There is no example {index}: they are numbered from 0 to {len(paths) - 1}.")
        return str(paths[index])


def can_be_heard(path: Path, rate: int) -> bool:
    """Whether an example can be offered; the Failures tab counts those that cannot."""
    try:
        read_audio(path, rate)
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
