"""The top of the page: what the figures mean for somebody who has to decide, in plain words."""

from dataclasses import dataclass
from typing import Literal

from ..interval import Interval
from ..robustness import RobustnessReport, TransformSet
from .figures import ORDERS, percent

FEW = 50
"""Inputs: with fewer, no advice is given."""
TRUSTED = 0.05
"""Calibration error up to which confidence may be taken at its word, and `ROUGH` as a rough guide."""
ROUGH = 0.10
OFTEN = 0.10
"""A share of transformed inputs from which on it pays that is too large to go without saying."""
HARMFUL = 0.02
"""The share of right answers that may be spoiled before one should bound it."""


@dataclass(frozen=True)
class Verdict:
    """What to do, and why.

    Args:
        tone: whether to use it: "yes", "no", or "open".
        advice: in a few words.
        reasons: in sentences: what it costs, what it wins, whom to believe, how sure that is.
        steps: what to do, one thing each.
    """

    tone: Literal["yes", "no", "open"]
    advice: str
    reasons: tuple[str, ...]
    steps: tuple[str, ...]


def verdict(report: RobustnessReport) -> Verdict:
    """Judge a report by the first of its sets of transforms."""
    chosen = next(iter(report.sets.values()))
    tone, advice, why = advise(report, chosen)
    reasons = [costs(report), wins(report, chosen), *why, takes(report)]
    if report.diagnosis is not None:
        reasons += trusts(report)
    reasons.append(
        f"All this comes from {report.items:,} {report.unit}. A range from one figure to another is where the true "
        "one lies with 95 % certainty, for inputs like these."
    )
    return Verdict(tone, advice, tuple(reasons), tuple(steps(report, tone)))


def advise(report: RobustnessReport, chosen: TransformSet) -> tuple[Literal["yes", "no", "open"], str, list[str]]:
    """Whether to use the canonicalizer, in a few words, and from which share of transformed inputs on it pays."""
    one = report.unit.removesuffix("s")
    if report.items < FEW:
        return "open", f"Too few {report.unit} to decide: measure again on a few hundred", []
    gain, tax = chosen.gain, report.upright_tax
    if gain.high <= 0:
        return "no", "Do not use it: it does not make transformed inputs better", []
    if gain.low <= 0:
        return "open", "Not shown to help: the gain may be chance. Measure on more inputs before you decide", []
    pays = break_even(report, chosen)
    if pays is None:
        return (
            "yes",
            "Use it: it helps where inputs are transformed, and costs nothing that can be seen where they are not",
            [],
        )
    often = f"It pays as soon as more than {percent(pays)} of the {report.unit} arrive transformed"
    if tax.low > 0:
        often += f"; if every {one} arrives as it should, leave it out"
    if pays > OFTEN:
        return (
            "open",
            f"Use it only if more than {percent(pays)} of your {report.unit} arrive transformed",
            [f"{often}."],
        )
    return "yes", f"Use it, unless every {one} already arrives as it should", [f"{often}."]


def break_even(report: RobustnessReport, chosen: TransformSet) -> float | None:
    """The share of transformed inputs from which on more is won than lost; None where nothing is lost as they come, or
    nothing is won for sure."""
    if chosen.gain.low <= 0:
        return None
    # The identity of every set was measured once.
    moving = [row for row in chosen.transforms if row.scores != report.upright.scores]
    gains = [row.after.value - row.before.value for row in moving]
    lost = report.upright_tax.value / 100
    won = sum(gains) / len(gains) if gains else 0.0
    return lost / (lost + won) if lost > 0 and won > 0 else None


def costs(report: RobustnessReport) -> str:
    """What is lost on inputs as they come."""
    before, after = report.upright.before.value, report.upright.after.value
    tax = report.upright_tax
    change = f"{abs(tax.value):.1f} points {'lost' if tax.value > 0 else 'won' if tax.value < 0 else 'of difference'}"
    spread = Interval(abs(tax.value), *sorted((tax.low, tax.high) if tax.value >= 0 else (-tax.low, -tax.high)))
    text = (
        f"On {report.unit} as they come, {measured(report)} goes from {percent(before)} to {percent(after)}: {change} "
        f"({between(spread)})."
    )
    spoiled, fixed = report.upright_right_to_wrong, report.upright_wrong_to_right
    if report.graded:
        return f"{text} Of {report.items:,}, {spoiled:,} lose more than 10 points and {fixed:,} gain as much."
    right = round(before * report.items)
    if report.labelled:
        goes, puts = "goes" if spoiled == 1 else "go", counted(fixed, "wrong one is", "wrong ones are")
        return f"{text} Of {right:,} right answers {spoiled:,} {goes} wrong, and {puts} put right."
    return f"{text} There are no labels: {spoiled:,} of {report.items:,} answers change, for better or worse."


def wins(report: RobustnessReport, chosen: TransformSet) -> str:
    """What is won on inputs that are transformed."""
    gain, spoiled, fixed = chosen.gain, chosen.right_to_wrong, chosen.wrong_to_right
    how = "more" if gain.value >= 0 else "less"
    spread = gain if gain.value >= 0 else Interval(-gain.value, -gain.high, -gain.low)
    text = (
        f"On the same {report.unit} transformed in {len(chosen.transforms)} ways ({chosen.title}), it goes from "
        f"{percent(chosen.before)} to {percent(chosen.after)}: {spread.value:.1f} points {how} ({between(spread)})."
    )
    if report.graded:
        return f"{text} {fixed:,} answers gain more than 10 points, and {spoiled:,} lose as much."
    if report.labelled:
        puts, goes = (
            counted(fixed, "wrong answer is", "wrong answers are"),
            counted(spoiled, "right one goes", "right ones go"),
        )
        return f"{text} {puts} put right, and {goes} wrong."
    return f"{text} {fixed:,} answers become the checkpoint's own again, and {spoiled:,} no longer are."


def takes(report: RobustnessReport) -> str:
    """What it takes of the machine."""
    cost = report.cost
    memory = f"{cost.peak_memory_ratio:.2f} times the memory" if cost.peak_memory_ratio else ""
    if not memory:
        memory = f"{cost.parameter_ratio:.2f} times the bytes of parameters"
    return f"It takes {cost.latency_ratio:.2f} times as long as the checkpoint alone, and {memory}."


def trusts(report: RobustnessReport) -> list[str]:
    """Whether confidence means what it says."""
    found = report.diagnosis
    assert found is not None
    said = []
    if found.reliability is not None:
        error, gap = found.reliability.error, found.reliability.gap
        if error <= TRUSTED:
            word = "can be taken at its word"
        elif error <= ROUGH:
            word = "is a rough guide"
        else:
            word = "cannot be taken at its word"
        if gap.low > 0:
            side = ", and it is too sure of itself"
        else:
            side = ", and it is right more often than it says" if gap.high < 0 else ""
        right = sum(one.answers * one.right for one in found.reliability.bins) / found.reliability.answers
        said.append(
            f"The canonicalizer finds the true pose in {percent(right)} of cases. Its confidence {word}; it is off by "
            f"{100 * error:.1f} points on average{side}."
        )
    order, best = min(found.risk_coverage.items(), key=lambda pair: pair[1].area)
    kept, every = best.at(0.9), best.overall
    if every > 0 and not report.graded:
        said.append(
            f"If a person takes the tenth of all answers that is least sure (by the {ORDERS[order]}), "
            f"{percent(kept)} of the others are still wrong; of all, {percent(every)} are."
        )
    return said


def steps(report: RobustnessReport, tone: str) -> list[str]:
    """What to do next."""
    found, todo = report.diagnosis, []
    if tone == "yes":
        todo.append("Use the model with the canonicalizer.")
    elif tone == "no":
        todo.append("Use the checkpoint alone, or train the canonicalizer on data like yours and measure again.")
    if report.canonicalizer == "predictor" and tone != "no":
        todo.append("Train a canonicalizer in place of this one: it asks the checkpoint once, and not in every pose.")
    if found is None:
        return todo
    right = report.upright.before.value * report.items
    harm = report.upright_right_to_wrong / right if right else 0.0
    if found.decisions.calibration is None and not report.graded:
        if harm > HARMFUL:
            todo.append(
                f"{percent(harm)} of the right answers go wrong as they come. To keep that below a bound of yours, "
                'calibrate it on held-back data and let it decide by "identity" or "abstain".'
            )
        elif found.reliability is not None and found.reliability.error > ROUGH:
            todo.append("Do not take its confidence at its word before you have calibrated it on held-back data.")
    looked = found.diversity
    total = sum(looked.found.values())
    if looked.found[looked.identity] < total / 2:
        todo.append(
            f"Look at the data first: {percent(looked.found[looked.identity] / total)} of the {report.unit} are found "
            "to be as they should be, before anything was done to them. Either the others come transformed, or it "
            "cannot tell."
        )
    if looked.classes is not None and looked.thin:
        todo.append(
            f"Do not rely on single classes: {len(looked.thin)} of {len(looked.classes)} have fewer than 10 "
            f"{report.unit}."
        )
    todo.append(
        "Look at the harmed examples below: if they matter more than others, the average does not tell what they cost."
        if report.upright_right_to_wrong
        else "Look at the examples below, and see whether they are like what you will meet."
    )
    return todo


def measured(report: RobustnessReport) -> str:
    """What goes up and down, in words."""
    if report.labelled:
        return f"the score ({report.measure})" if report.graded else "the share of right answers"
    if report.graded:
        return f"the agreement ({report.measure}) with the checkpoint's own answers to them"
    return "the share of answers that are the checkpoint's own to them as they come"


def between(spread: Interval) -> str:
    """An interval, in words."""
    return f"between {number(spread.low)} and {number(spread.high)}"


def number(value: float, sign: bool = False) -> str:
    """With one decimal, a proper minus, and no negative zero; and a plus if there is to be a sign.

    Example:
        >>> number(-0.04), number(1.25, sign=True)
        ('0.0', '+1.2')
    """
    return f"{round(value, 1) + 0.0:{'+' if sign else ''}.1f}".replace("-", "\N{MINUS SIGN}")


def counted(amount: int, one: str, many: str) -> str:
    """So many of something.

    Example:
        >>> counted(1, "answer", "answers"), counted(2000, "answer", "answers")
        ('1 answer', '2,000 answers')
    """
    return f"{amount:,} {one if amount == 1 else many}"
