"""Every architecture of transformers' auto-mappings, tiny and random, behind a canonicalizer."""

import pytest
from architectures import exactness
from architectures.exactness import MAPPINGS, ROUNDING

from hf_canon import CanonicalizedModel
from hf_canon.outputs import CANNOT, boxes, pixels
from hf_canon.tasks import TASKS, class_for

# WavLM's own attention, given a mask.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask and attn_mask")

COVERED = list(
    dict.fromkeys(name for task in MAPPINGS for name, how in exactness.coverage(task).items() if how == "works")
)
ROWS = [(exactness.family(name), TASKS[name].__name__, name) for name in COVERED]


@pytest.mark.parametrize("task", MAPPINGS)
def test_every_architecture_works_or_says_why_not(task: str) -> None:
    assert "is not covered" not in exactness.coverage(task).values()


@pytest.mark.covering("family", "task")
@pytest.mark.parametrize(("family", "task", "name"), ROWS)
def test_answers_move_with_the_image(family: str, task: str, name: str) -> None:
    found = exactness.violations(name, enough=1e-4)
    assert found.pop("untouched") > 1e-4, "the checkpoint does not see turns, and this test could not fail"
    assert found
    for field, violation in found.items():
        assert violation <= (ROUNDING if TASKS[name].rows[field] in (boxes, pixels) else 0.0), field


@pytest.mark.covering("task")
@pytest.mark.parametrize(("family", "task", "name"), ROWS)
def test_saved_trained_and_in_bfloat16(family: str, task: str, name: str) -> None:
    model, inputs = exactness.wrapped(name)
    assert exactness.survives_saving(model, inputs)
    assert exactness.lets_gradients_through(model, inputs)
    assert exactness.runs_in_bfloat16(model, inputs)


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_work_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(ValueError, match=f"This predictor is a {name}, which cannot be wrapped: it"):
        class_for([name], "This predictor")
    if any(name in module.TINY for module in exactness.MODULES):
        with pytest.raises(ValueError, match="cannot be wrapped: it"):
            CanonicalizedModel.wrap(exactness.module_of(name).build(name), group="c4")
