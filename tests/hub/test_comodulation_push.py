"""Tasks on one frozen predictor: pushed with the adapter, and switched by strangers."""

import pytest
from hub.conftest import Hub
from hub.test_round_trip import PRELUDE, said

pytestmark = pytest.mark.slow

PUBLISH = (
    PRELUDE
    + """
from hf_canon.adaptation import comodulate
vit(0).push_to_hub("me/base")
ViTImageProcessorPil(size={"height": 32, "width": 32}).push_to_hub("me/base")
torch.manual_seed(1)
model = CanonicalizedModel.wrap("me/base", group="d4", canonicalizer="orbit")
bare = logits(model)
one = comodulate(model, ["layers.0"], task="birds")
attached = logits(model)
one.add_task("food")
answers = {}
for name in one.tasks:
    one.set_task(name)
    with torch.no_grad():
        one.read_out_gain().uniform_(0, 2)
    answers[name] = logits(model)
model.push_to_hub("me/adapter")
say(bare=bare, attached=attached, answers=answers)
"""
)

SWITCH = (
    PRELUDE
    + """
from hf_canon.adaptation import Comodulation
model = CanonicalizedModel.from_pretrained("me/adapter")
one = Comodulation.of(model)
answers = {"as it was pushed": logits(model)}
for name in one.tasks:
    with one.using(name):
        answers[name] = logits(model)
one.remove()
say(answers=answers, removed=logits(model))
"""
)


def test_round_trip(hub: Hub) -> None:
    facts = said(hub.run(PUBLISH))
    assert facts["attached"] == facts["bare"] != facts["answers"]["birds"] != facts["answers"]["food"]
    found = said(hub.run(SWITCH))
    assert found["answers"] == {"as it was pushed": facts["answers"]["food"], **facts["answers"]}
    assert found["removed"] == facts["bare"]
    card = hub.files("me/adapter")["README.md"].decode()
    assert "| comodulation | 2 tasks (birds, food), comodulated gain, saved here |" in card
    assert "The checkpoint itself is not changed" not in card
