"""Before anything is trained: what an untouched checkpoint loses when its inputs are transformed, and what would
help."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...data.provenance import describe_dataset
from ...groups import Group, get_group
from ...predictors.untouched import as_found
from ...reports.audit import AuditReport
from ..asking import wrapped
from ..metrics import measure_for
from ..passes import Passes
from .findings import summarize
from .passes import Trial


def audit(
    checkpoint: Any,
    dataset: Iterable[Any],
    groups: str | Group | Sequence[str | Group] | None = None,
    *,
    processor: Callable[..., Any] | None = None,
    batch_size: int = 32,
    label_column: str | None = None,
) -> AuditReport:
    """Measure what an untouched checkpoint loses under every group that fits its inputs, and say which to repair.

    Nothing is trained. Inputs are transformed as `evaluate_robustness` transforms them, each element of a group costs
    one pass of the predictor (shared by all groups that have it), and one more where undoing it does not bring the
    input back.

    Three things are said besides the loss. Which elements seem to turn one class into another: most inputs of a class
    that the checkpoint has right become the other class, it is about as sure of that as of real ones, and most inputs
    of the other class come back under the inverse (6 and 9, arrows). A confused checkpoint does not do that; but it
    remains a suspicion, which a person has to confirm. In which poses the data already come: for each input the
    element that, undone, makes the checkpoint likeliest to say the label, or without labels surest. And what a
    canonicalizer would cost: the default one of each group, timed on a few inputs.

    Args:
        checkpoint: a Hub id, a folder, or a live model, which is left as it is. What is loaded here goes to this
            machine's accelerator, if it has one.
        dataset: as in `evaluate_robustness`: a `datasets.Dataset` or any other iterable of dicts with `image`,
            `pixel_values`, `audio`, `input_values` or `input_features`, and perhaps a `label`; or of finished batches.
        groups: a group or several, by name; by default all that fit, and the report has the others with the reason.
        processor: makes what the checkpoint reads; by default the one that was saved with it.
        batch_size: how many inputs a pass takes, where `dataset` gives single ones.
        label_column: where the labels are, if not in `label` or `labels`. Without labels, agreement with the
            checkpoint's own answers to the inputs as they came counts.

    Returns:
        The report; `print` shows a page, `save` writes JSON.

    Raises:
        ValueError: a group that was asked for does not fit, or no group does; there is nothing in the data set; labels
            are on some items only; there is no processor; or the task has no score.
        OSError: there is no such checkpoint.

    Example:
        >>> import torch
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import audit
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> items = [{"pixel_values": torch.rand(3, 16, 16), "label": i % 2} for i in range(4)]
        >>> report = audit(ViTForImageClassification(tiny), items)
        >>> list(report.groups), report.left_out["gamma"][:65]
        (['c4', 'd1', 'd4', 'c8'], 'gamma (darker and brighter middle tones, as powers) has to know w')
    """
    asked = parsed(groups)
    with as_found(checkpoint):
        model = wrapped(checkpoint, None, processor)
        passes = Passes(model, measure_for(model), dataset, processor, batch_size, label_column)
        if processor is None and not passes.batches.ready:
            passes.batches.processor = model.checkpoint.processor
        trial = Trial(passes, asked)
        return summarize(trial, trial.run(), describe_dataset(dataset) or None)


def parsed(groups: str | Group | Sequence[str | Group] | None) -> list[Group] | None:
    """The groups that were asked for.

    Raises:
        ValueError: one is unknown, or they are none.
    """
    if groups is None:
        return None
    several = [groups] if isinstance(groups, str | Group) else list(groups)
    if not several:
        raise ValueError("There is no group in an empty list; name one such as 'c4', or leave out groups to try all.")
    return [group if isinstance(group, Group) else get_group(group) for group in several]
