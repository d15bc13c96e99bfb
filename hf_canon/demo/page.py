"""The page: what stands where, and what starts which action."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from ..selection.deciding import RULES
from . import words
from .actions import ADAPTERS_OWN, Actions
from .answering import TOP
from .checkpoints import Senses, title_of
from .examples import SHOWN
from .image import ORDERS, mode_of
from .offered import Offered
from .sweep import AUDIO_WAYS, IMAGE_WAYS
from .theme import CSS, ROUND, TALL, theme
from .uploads import LARGEST_FILE, only_uploaded
from .zero_gpu import on_gpu

FORGET = (60, 600)
"""Seconds: how often files are looked through, and how long after its last use one is deleted."""
TOGETHER = 4
"""Visitors who are answered at a time."""

MOST_WAITING = 64

LAUNCH: dict[str, Any] = {
    "theme": theme(),
    "head": f"<style>{CSS}</style>",  # which gradio does not rewrite, as it does `css`
    "max_file_size": LARGEST_FILE,
    "footer_links": ["api", "settings"],
    "ssr_mode": False,
}
"""Keyword arguments of `launch`."""

LEAD = """# hf_canon
Turn the image: the checkpoint forgets what it sees. Behind a canonicalizer, the same checkpoint does not."""
PRIVACY = "Your files are deleted ten minutes after their last use, and nothing is kept of them."
NOTHING_OPEN = "No checkpoint of this kind is open. Name one under **Another checkpoint**."
ASK_IMAGE = "Give an image, or choose an example."
ASK_AUDIO = "Record an audio clip, upload one, or choose an example."
TABLE = ("which", "pose", "right", "alone", "canonicalized", "found", "what was done")
WIDTHS: list[str | int] = ["90px", "130px", "160px", "160px", "160px", "100px", "130px"]


def build_page(offered: Offered) -> gr.Blocks:
    """The demo of what is offered.

    Raises:
        ValueError: something that is offered cannot be shown.
        OSError: it cannot be read.
    """
    actions = Actions(offered)
    first = next(iter(actions.checkpoints.at_first))
    with gr.Blocks(title="hf_canon", analytics_enabled=False, delete_cache=FORGET) as page:
        gr.Markdown(LEAD, elem_id="lead")
        naming = checkpoint_box(offered)
        with gr.Tabs(selected=first) as tabs:
            with gr.Tab("Image", id="image"):
                image = image_tab(page, actions)
            with gr.Tab("Audio", id="audio"):
                audio = audio_tab(page, actions)
            with gr.Tab("Robustness", id="robustness"):
                robustness_tab(actions, image, audio)
            with gr.Tab("Failures", id="failures"):
                failures_tab(actions, image, audio)
        gr.Markdown(PRIVACY, elem_classes="about")
        open_checkpoint(actions, naming, tabs, image, audio)
    page.queue(default_concurrency_limit=TOGETHER, max_size=MOST_WAITING)
    return page


@dataclass(frozen=True)
class Asking:
    """What a tab asks, and with what.

    Args:
        name: of the tab.
        about: the line that says which checkpoint is open.
        source: the image or the audio.
        rule: the decision rule.
        checkpoint: a visitor's own; "" for the one that is open at first.
        group: for it, if it has no adapter.
        answer: the action.
        asked: its inputs.
        answers: its outputs.
        colours: those of its inputs that a checkpoint without colours has no use for.
    """

    name: Senses
    about: gr.Markdown
    source: Any
    rule: gr.Dropdown
    checkpoint: gr.Textbox
    group: gr.Textbox
    answer: Callable[..., Any]
    asked: list[Any]
    answers: list[Any]
    colours: tuple[Any, ...] = ()

    @property
    def how(self) -> list[Any]:
        return [self.rule, self.checkpoint, self.group]


@dataclass(frozen=True)
class Naming:
    """The box for any checkpoint."""

    checkpoint: gr.Textbox
    group: gr.Textbox
    button: gr.Button
    opened: gr.Markdown


def checkpoint_box(offered: Offered) -> Naming:
    with gr.Accordion("Another checkpoint", open=False):
        with gr.Row(equal_height=True):
            checkpoint = gr.Textbox(
                label="Checkpoint",
                placeholder="owner/name",
                info="An adapter, or a classifier of images or clips: its id on the Hub"
                + ("" if offered.public else ", or a folder"),
                scale=4,
                max_lines=1,
            )
            group = gr.Textbox(
                "",
                label="Group",
                placeholder="c4, c8, d4, channels, negative, reverse",
                info="What happens to its inputs, if it has no adapter",
                scale=3,
                max_lines=1,
            )
            with gr.Column(scale=2, min_width=120):
                button = gr.Button("Open", variant="primary")
                opened = gr.Markdown(label="What was opened", elem_classes="about")
        titles = gr.Dataset(
            components=[gr.Textbox(render=False)],
            samples=[[title_of(name)] for name in offered.checkpoints],
            label="Offered here",
        )
        titles.click(lambda sample: sample[0], titles, checkpoint, api_visibility="private", show_progress="hidden")
    return Naming(checkpoint, group, button, opened)


def open_checkpoint(actions: Actions, naming: Naming, tabs: gr.Tabs, image: Asking, audio: Asking) -> None:
    """Opens what was named, and goes to the tab where it is asked."""
    named = [naming.checkpoint, naming.group]

    def arrange(checkpoint: str, group: str) -> list[Any]:
        opened = actions.checkpoints.opened(checkpoint, group)
        chosen = [words.about(opened), checkpoint, group]
        kept = [gr.skip()] * 3
        if opened.senses == "audio":
            return [gr.Tabs(selected="audio"), *kept, *chosen, *[gr.skip() for _ in colours]]
        coloured = mode_of(opened) == "RGB"
        return [gr.Tabs(selected="image"), *chosen, *kept, *[gr.update(visible=coloured) for _ in colours]]

    colours = image.colours
    parts = [part for tab in (image, audio) for part in (tab.about, tab.checkpoint, tab.group)]
    done = gr.on(
        [naming.button.click, naming.checkpoint.submit],
        actions.open,
        named,
        naming.opened,
        api_name="open",
        concurrency_limit=1,
    )
    done = done.success(arrange, named, [tabs, *parts, *colours], api_visibility="private", show_progress="hidden")
    for tab in (image, audio):
        done.then(tab.answer, tab.asked, tab.answers, api_visibility="private", show_progress="hidden")


def answered(asking: Asking, moves: list[Any]) -> None:
    """Answers whenever anything changes; of many changes in a row, the last one."""
    changes = [asking.source.change, *(part.change for part in (*moves, asking.rule))]
    gr.on(
        changes,
        asking.answer,
        asking.asked,
        asking.answers,
        api_name=asking.name,
        trigger_mode="always_last",
        show_progress="hidden",
        concurrency_limit=TOGETHER,
    )


def examples_of(page: gr.Blocks, actions: Actions, asking: Asking, choose: Any, chosen: list[Any]) -> None:
    """Examples to choose from; the first one is there when the page opens."""
    senses = asking.name
    paths = actions.shown.get(senses, [])
    if not paths:
        return
    component = gr.Image(render=False) if senses == "image" else gr.Audio(render=False)
    samples = [[str(path)] for path in paths]
    box = gr.Dataset(components=[component], samples=samples, type="index", label="Examples", samples_per_page=SHOWN)
    box.click(choose, box, chosen, api_name=f"example_{senses}", show_progress="hidden")
    begin = on_gpu(partial(actions.begin, senses))
    page.load(begin, None, [*chosen, *asking.answers], api_visibility="private", show_progress="hidden")


def image_tab(page: gr.Blocks, actions: Actions) -> Asking:
    at_first = actions.checkpoints.at_first.get("image")
    coloured = at_first is None or mode_of(at_first) == "RGB"
    about = gr.Markdown(words.about(at_first) if at_first else NOTHING_OPEN, elem_classes="about")
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            image = only_uploaded(
                gr.Image(
                    type="filepath",
                    sources=["upload", "webcam", "clipboard"],
                    label="Image",
                    height=ROUND,
                    buttons=[],
                    elem_classes="source",
                )
            )
            examples = gr.Column(min_width=0)
            turn = gr.Slider(-180, 180, 0, step=1, label="Turn, degrees counter-clockwise", buttons=[])
            mirror = gr.Checkbox(label="Mirror")
            channels = gr.Dropdown(ORDERS, value="RGB", label="Channel order", visible=coloured)
            tint = gr.Slider(-180, 180, 0, step=1, label="Tint, degrees of hue", buttons=[], visible=coloured)
            rule = rule_choice()
            checkpoint, group = hidden("Checkpoint"), hidden("Group")
        with gr.Column(scale=7, min_width=320):
            verdict = gr.HTML(words.empty(ASK_IMAGE), label="What was found and done")
            before, after = both_answers()
            with gr.Row(equal_height=True):
                seen = gr.ImageSlider(
                    label="As it came | canonical",
                    height=ROUND,
                    max_height=ROUND,
                    interactive=False,
                    buttons=[],
                    min_width=260,
                )
                with gr.Column(min_width=260):
                    posterior = drawing("Posterior over the group")
            record = as_json()
    moves = [turn, mirror, channels, tint]
    asking = Asking(
        "image",
        about,
        image,
        rule,
        checkpoint,
        group,
        on_gpu(actions.image),
        [image, *moves, rule, checkpoint, group],
        [before, after, seen, posterior, verdict, record],
        (channels, tint),
    )
    answered(asking, moves)
    with examples:
        examples_of(page, actions, asking, actions.example_image, [image, turn])
    return asking


def audio_tab(page: gr.Blocks, actions: Actions) -> Asking:
    at_first = actions.checkpoints.at_first.get("audio")
    about = gr.Markdown(words.about(at_first) if at_first else NOTHING_OPEN, elem_classes="about")
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            audio = only_uploaded(
                gr.Audio(type="filepath", sources=["upload", "microphone"], label="Audio", buttons=[])
            )
            examples = gr.Column(min_width=0)
            pitch = gr.Slider(-12, 12, 0, step=0.5, label="Pitch, semitones higher", buttons=[])
            speed = gr.Slider(-12, 12, 0, step=0.5, label="Speed, semitones faster", buttons=[])
            backwards = gr.Checkbox(label="Backwards")
            gain = gr.Slider(-20, 20, 0, step=1, label="Gain, decibels", buttons=[])
            rule = rule_choice()
            checkpoint, group = hidden("Checkpoint"), hidden("Group")
        with gr.Column(scale=7, min_width=320):
            verdict = gr.HTML(words.empty(ASK_AUDIO), label="What was found and done")
            before, after = both_answers()
            with gr.Row(equal_height=True):
                heard = gr.Audio(label="As the checkpoint receives it", interactive=False, buttons=[], min_width=260)
                canonical = gr.Audio(label="Canonical", interactive=False, buttons=[], min_width=260)
            with gr.Row(equal_height=True):
                with gr.Column(min_width=300, scale=3):
                    spectrograms = drawing("Spectrograms")
                with gr.Column(min_width=240, scale=2):
                    posterior = drawing("Posterior over the group")
            record = as_json()
    moves = [pitch, speed, backwards, gain]
    asking = Asking(
        "audio",
        about,
        audio,
        rule,
        checkpoint,
        group,
        on_gpu(actions.audio),
        [audio, *moves, rule, checkpoint, group],
        [before, after, heard, canonical, spectrograms, posterior, verdict, record],
    )
    answered(asking, moves)
    with examples:
        examples_of(page, actions, asking, actions.example_audio, [audio, speed])
    return asking


def hidden(label: str) -> gr.Textbox:
    """What a visitor has opened: an input of every action, which programs name."""
    return gr.Textbox("", label=label, visible=False)


def both_answers() -> list[gr.Label]:
    """Side by side."""
    with gr.Row(equal_height=True):
        return [
            gr.Label(num_top_classes=TOP, label=label, elem_classes="answer", min_width=140)
            for label in ("The checkpoint alone", "Canonicalized")
        ]


def as_json() -> gr.JSON:
    with gr.Accordion("The same as JSON", open=False):
        return gr.JSON(label="Answer", show_label=False)


def drawing(label: str, height: int = ROUND) -> gr.HTML:
    return gr.HTML(label=label, show_label=True, container=True, min_height=height, elem_classes=f"height-{height}")


def rule_choice() -> gr.Dropdown:
    return gr.Dropdown(
        [ADAPTERS_OWN, *RULES],
        value=ADAPTERS_OWN,
        label="Decision rule",
        info="What is done where the canonicalizer is unsure",
    )


def robustness_tab(actions: Actions, image: Asking, audio: Asking) -> None:
    gr.Markdown(
        "The input of the other tab as it came, transformed in every way of one kind: how sure the checkpoint stays "
        "of its first answer.",
        elem_classes="about",
    )
    with gr.Row():
        for asking, ways, action in (
            (image, IMAGE_WAYS, actions.try_image),
            (audio, AUDIO_WAYS, actions.try_audio),
        ):
            first = next(iter(ways))
            with gr.Column(min_width=320):
                way = gr.Radio(list(ways), value=first, label=f"Move the {asking.name} in")
                button = gr.Button(f"Try every {first}", variant="primary")
                said = gr.Markdown(label="How often the answer stays", min_height=80)
                drawn = drawing("Probability of its first answer", TALL)
            # In the browser alone.
            way.change(None, way, button, js="(way) => `Try every ${way}`", api_visibility="private")
            button.click(
                on_gpu(action), [asking.source, way, *asking.how], [said, drawn], api_name=f"try_{asking.name}",
                concurrency_limit=2, show_progress_on=said,
            )  # fmt: skip


def failures_tab(actions: Actions, image: Asking, audio: Asking) -> None:
    gr.Markdown(
        "The examples, one by one, as they came and transformed at random: where a right answer became a wrong one.",
        elem_classes="about",
    )
    with gr.Row():
        images = gr.Button("Look among the images", variant="primary")
        clips = gr.Button("Look among the clips", variant="primary")
    tally = gr.Markdown(label="How many answers became wrong", min_height=290)
    gallery = gr.Gallery(
        label="Images, as the checkpoint saw them",
        columns=6,
        height=ROUND,
        object_fit="contain",
        buttons=[],
        elem_id="failing",
    )
    table = gr.Dataframe(
        headers=list(TABLE),
        column_widths=WIDTHS,
        label="Right answers that became wrong",
        interactive=False,
        wrap=True,
        buttons=[],
    )
    for button, asking, action in (
        (images, image, actions.failing_images),
        (clips, audio, actions.failing_clips),
    ):
        button.click(
            on_gpu(action),
            asking.how,
            [tally, gallery, table],
            api_name=action.__name__,
            concurrency_limit=2,
            show_progress_on=tally,
        )
