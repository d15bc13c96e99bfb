"""The model card of an adapter: rendered from facts, and from nothing else.

What is not known is left out. A card ends with a mark by which it is known again as long as nobody has edited it.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..reports.robustness import BASELINES, RobustnessReport

REPORT_FILE = "robustness.json"
PLOT_FILE = "robustness.png"
RESULTS_FILE = ".eval_results/hf_canon.yaml"
SAMPLES_PLOT = "reference_sampler/samples.png"


@dataclass(frozen=True)
class AdapterFacts:
    """What is known of an adapter. Everything that may be unknown is None then.

    Attributes:
        name: the repository `owner/name`, or the name of a folder.
        task: as `pipeline` calls it.
        base: the Hub id of the checkpoint; None for a folder, which nobody else has.
        base_revision: its commit.
        base_architecture: its class.
        group: name of the group, and `meaning` what its elements do; `elements` and `exact` count them, None for a
            continuous one.
        canonicalizer: its name.
        parameters: how many numbers the saved weights hold.
        size: bytes of the saved weights.
        includes_predictor: whether those hold the checkpoint too.
        audio: whether the checkpoint reads audio, and not images.
        second_order: how many of its numbers are of second order: what quadratic neurons and a quadratic lift have in
            addition to linear ones.
        peft: the kinds of PEFT adapter that the predictor carries.
        attachments: what else is attached to the predictor (a quadratic lift, a comodulation), each in a few words.
        classes: how many the checkpoint knows.
        training: what the canonicalizer was trained on and how: `data` and `arguments`.
        report: what `evaluate_robustness` found.
        plot: whether the report is drawn in `PLOT_FILE`.
        calibration: what `hf_canon.calibrate` found, as the configuration has it.
        decision: the rule by which the adapter decides.
        reference: what the reference sampler beside it draws, in a few words.
    """

    name: str
    task: str
    base: str | None
    base_revision: str | None
    base_architecture: str | None
    group: str
    meaning: str
    elements: int | None
    exact: int | None
    canonicalizer: str
    parameters: int
    size: int
    includes_predictor: bool = False
    audio: bool = False
    second_order: int = 0
    peft: tuple[str, ...] = ()
    attachments: dict[str, str] = field(default_factory=dict)
    classes: int | None = None
    training: dict[str, Any] | None = None
    report: RobustnessReport | None = None
    plot: bool = False
    calibration: dict[str, Any] | None = None
    decision: str = "argmax"
    reference: str | None = None


def render_card(facts: AdapterFacts) -> str:
    """The README.md of an adapter's repository.

    Example:
        >>> from hf_canon.hub import AdapterFacts, render_card
        >>> card = render_card(AdapterFacts(name="me/vit-base-d4", task="image-classification",
        ...     base="google/vit-base-patch16-224", base_revision=None, base_architecture=None, group="d4",
        ...     meaning="rotations by multiples of 90°, and mirror images", elements=8, exact=8,
        ...     canonicalizer="orbit", parameters=76514, size=306056))
        >>> "base_model_relation: adapter" in card, "CanonicalizedModel.from_pretrained" in card
        (True, True)
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    body = environment.get_template("card.md.jinja").render(
        facts=facts,
        table=table(facts.report),
        plot_file=PLOT_FILE,
        report_file=REPORT_FILE,
        samples_plot=SAMPLES_PLOT,
    )
    body = re.sub(r"\n{3,}", "\n\n", body)
    return sign(f"---\n{metadata(facts).to_yaml()}\n---\n{body}")


def table(report: RobustnessReport | None) -> list[list[str]]:
    """What the report found, a row for the upright images and one for each set of transforms, in %."""
    if report is None:
        return []
    titles = {"before": "untouched", "after": "canonicalized", **BASELINES}
    methods = [name for name in titles if name in report.upright.scores]
    rows = {"upright": report.upright.scores} | {f"mean over {one.title}": one.mean for one in report.sets.values()}
    return [
        ["", *(titles[name] for name in methods)],
        *([title, *(f"{100 * scores[name].value:.1f}" for name in methods)] for title, scores in rows.items()),
    ]


def metadata(facts: AdapterFacts) -> ModelCardData:
    """The front matter of the card."""
    data = facts.training.get("data", {}) if facts.training else {}
    return ModelCardData(
        base_model=facts.base,
        base_model_relation=None if facts.includes_predictor or facts.base is None else "adapter",
        library_name="hf_canon",
        pipeline_tag=facts.task,
        datasets=data.get("id"),
        tags=["hf_canon", "canonicalization", "equivariance", facts.group],
        model_name=facts.name if facts.report is not None else None,
        eval_results=eval_results(facts) or None,
    )


def eval_results(facts: AdapterFacts) -> list[EvalResult]:
    """The report in the form of `model-index`: upright and transformed, before and after."""
    report = facts.report
    if report is None:
        return []
    data = report.dataset or {}
    metric = report.measure if report.labelled else "agreement"
    measured = {
        "upright, untouched": report.upright.before.value,
        "upright, canonicalized": report.upright.after.value,
    }
    for one in report.sets.values():
        measured |= {
            f"mean over {one.title}, untouched": one.before,
            f"mean over {one.title}, canonicalized": one.after,
        }
    return [
        EvalResult(
            task_type=facts.task,
            dataset_type=data.get("id") or "unknown",
            dataset_name=data.get("id") or "unknown",
            dataset_split=data.get("split"),
            dataset_revision=data.get("revision"),
            metric_type=metric,
            metric_name=f"{metric}, {name}",
            metric_value=round(value, 4),
        )
        for name, value in measured.items()
    ]


def results_yaml(facts: AdapterFacts) -> list[dict[str, Any]] | None:
    """The report in the form of `.eval_results`, which names a data set on the Hub; None where there is none."""
    report = facts.report
    if report is None or not report.labelled or report.dataset is None or "id" not in report.dataset:
        return None
    entries = [
        EvalResultEntry(
            dataset_id=report.dataset["id"],
            task_id=one.name,
            value=round(100 * one.after, 2),
            dataset_revision=report.dataset.get("revision"),
            notes=f"mean over {one.title}; untouched {100 * one.before:.2f}",
        )
        for one in report.sets.values()
    ]
    return eval_result_entries_to_yaml(entries)


MARK = "<!-- hf_canon wrote this card; it is renewed with the adapter until somebody edits it: {} -->\n"


def sign(text: str) -> str:
    text = text.rstrip("\n") + "\n\n"
    return text + MARK.format(hashlib.sha256(text.encode()).hexdigest()[:16])


def is_untouched(text: str) -> bool:
    """Whether a card is as `render_card` made it."""
    body, _, _ = text.replace("\r\n", "\n").rpartition(MARK.partition("{}")[0])
    return bool(body) and sign(body) == text.replace("\r\n", "\n")
