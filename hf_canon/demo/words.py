"""What the page says in words. Names of classes and checkpoints come from strangers, and are escaped."""

from html import escape

from ..reports.page.figures import percent
from ..selection import Action
from .answering import Answer
from .checkpoints import Opened
from .failures import Found
from .sweep import Sweep

EMPTY = '<div class="verdict"><p class="said">{}</p><p class="fine">&nbsp;</p></div>'


def empty(what: str) -> str:
    """The verdict before there is anything to judge."""
    return EMPTY.format(escape(what))


def verdict(answer: Answer) -> str:
    """What was found, what was done, and how long it took."""
    found = escape(answer.element)
    said = {
        Action.CANONICALIZED: f"Found: {found}. Undone."
        if answer.transformed
        else f"Found: {found}. Nothing to undo.",
        Action.AVERAGED: f"Likeliest: {found}. Averaged over several.",
        Action.LEFT_ALONE: "Unsure. Left as it came.",
        Action.ABSTAINED: f"Likeliest: {found}, but unsure. Do not rely on this answer.",
    }[answer.action]
    unsure = answer.action in (Action.LEFT_ALONE, Action.ABSTAINED)
    facts = [f"{percent(answer.confidence)} sure", f"rule {answer.rule}"]
    if answer.left_open is not None:
        facts.append(f"{answer.left_open} {'pose' if answer.left_open == 1 else 'poses'} left open")
    facts += [f"{name} {1000 * seconds:.1f} ms" for name, seconds in answer.seconds.items()]
    css = "verdict unsure" if unsure else "verdict"
    return f'<div class="{css}" role="status"><p class="said">{said}</p><p class="fine">{" · ".join(facts)}</p></div>'


def about(opened: Opened) -> str:
    """A checkpoint in a line of Markdown."""
    model = opened.model
    parameters = sum(parameter.numel() for parameter in model.canonicalizer.parameters())
    how = (
        f"a trained {model.canonicalizer.name} canonicalizer ({parameters:,} parameters)"
        if opened.trained
        else "no adapter: the pose in which the checkpoint itself is surest"
    )
    calibration = model.calibration
    sure = "not calibrated" if calibration is None else f"calibrated on {calibration.items:,} inputs"
    facts = [f"group {model.group.name} ({model.group.meaning})", how, f"rule {model.config.decision}", sure]
    return f"**{plain(opened.title)}** · " + " · ".join(plain(fact) for fact in facts)


def plain(text: str) -> str:
    """Text that Markdown shows as it is, and makes no link of."""
    shown = "".join(
        "\\" + letter if letter in "\\`*_{}[]()#+!|<>~$" else letter for letter in text.replace("&", "&amp;")
    )
    return shown.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def swept(sweep: Sweep, name: str) -> str:
    """What became of an answer, in a sentence of Markdown."""
    before, after = (percent(sweep.kept[one]) for one in ("before", "after"))
    return (
        f"As it came, the checkpoint says **{plain(sweep.label)}**. Over {len(sweep.way.values)} steps of {name} it "
        f"still says so in **{before}** of them alone, and in **{after}** behind the canonicalizer."
    )


def tallied(found: Found) -> str:
    """The examples in a table of Markdown."""
    of = found.came.asked
    truth = (
        "Right means: as labelled."
        if found.labelled == of
        else "Right means: as the untouched checkpoint answers the example as it came."
        if not found.labelled
        else f"{found.labelled} of {of} are judged by their label, the others by the untouched answer as they came."
    )
    tallies = (found.came, found.transformed)
    rows = {
        "right alone": [percent(tally.before / tally.asked) for tally in tallies],
        "right canonicalized": [percent(tally.after / tally.asked) for tally in tallies],
        "**hurt:** right, then wrong": [f"**{tally.hurt}**" for tally in tallies],
        "of these, flagged": [str(tally.flagged) for tally in tallies],
        "helped: wrong, then right": [str(tally.helped) for tally in tallies],
    }
    if found.unreadable:
        truth += f" {found.unreadable} more could not be read."
    lines = [f"| {name} | {came} | {transformed} |" for name, (came, transformed) in rows.items()]
    head = f"| {of} examples | as they came | transformed at random |\n|---|---|---|"
    return "\n".join([head, *lines, "", truth])
