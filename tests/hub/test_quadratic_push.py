"""Quadratic neurons in the canonicalizer and a quadratic lift on the predictor: pushed, and loaded by strangers."""

import pytest
from hub.conftest import Hub
from hub.test_round_trip import PRELUDE, load, said

pytestmark = pytest.mark.slow

PUBLISH = (
    PRELUDE
    + """
from hf_canon.adaptation import quadratic_lift
from hf_canon.quadratic import second_order_parameters
vit(0).push_to_hub("me/base")
ViTImageProcessorPil(size={"height": 32, "width": 32}).push_to_hub("me/base")
torch.manual_seed(1)
settings = {"neuron": "quadratic", "head": "quadratic"}
model = CanonicalizedModel.wrap("me/base", group="d4", canonicalizer="orbit", canonicalizer_settings=settings)
bare = logits(model)
quadratic_lift(model, rank=2, target_modules=["fc1"])
attached = logits(model)
with torch.no_grad():
    for parameter in second_order_parameters(model):
        parameter.normal_(0, 0.02)
model.push_to_hub("me/adapter")
say(bare=bare, attached=attached, logits=logits(model), second=sum(p.numel() for p in second_order_parameters(model)))
"""
)


def test_round_trip(hub: Hub) -> None:
    facts = said(hub.run(PUBLISH))
    assert facts["attached"] == facts["bare"] and facts["logits"] != facts["bare"]
    for found in load(hub).values():
        assert found == facts["logits"]
    card = hub.files("me/adapter")["README.md"].decode()
    assert f"({facts['second']:,} of second order)" in card
    assert "quadratic lift | rank 2 on 2 layers" in card and "The checkpoint itself is not changed" not in card
