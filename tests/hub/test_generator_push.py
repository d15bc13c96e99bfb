"""A generator: pushed with its samples and its card, and drawn from by strangers."""

import pytest
from hub.conftest import Hub
from hub.test_round_trip import PRELUDE, said

pytestmark = pytest.mark.slow

PUBLISH = (
    PRELUDE
    + """
from hf_canon.generative import GANArguments, GANTrainer, GeneratorConfig, InvariantGenerator, critic_of
torch.manual_seed(0)
generator = InvariantGenerator(GeneratorConfig("c4", "features", (1, 8, 8), latent_size=4, width=4))
args = GANArguments(sys.argv[1], steps=2, batch_size=8)
GANTrainer(generator, critic_of("orbit", generator.group, (1, 8, 8), 4), torch.rand(20, 1, 8, 8), args).train()
trained = InvariantGenerator.from_pretrained(sys.argv[1])
trained.push_to_hub("me/generator")
try:
    trained.push_to_hub("me/base")
except ValueError as error:
    refused = str(error)
say(samples=trained.sample(3, torch.Generator().manual_seed(1)).tolist(), refused=refused)
"""
)

DRAW = (
    PRELUDE
    + """
from hf_canon.generative import InvariantGenerator
generator = InvariantGenerator.from_pretrained("me/generator")
say(samples=generator.sample(3, torch.Generator().manual_seed(1)).tolist())
"""
)


def test_round_trip(hub: Hub) -> None:
    hub.run(PRELUDE + 'vit(0).push_to_hub("me/base")')
    facts = said(hub.run(PUBLISH, hub.folder / "out"))
    assert said(hub.run(DRAW))["samples"] == facts["samples"]
    assert "holds a vit checkpoint, which a generator would replace" in facts["refused"]
    files = hub.files("me/generator")
    assert {"README.md", "config.json", "model.safetensors", "samples.png"} <= set(files)
    assert not any("checkpoint" in name or "log" in name for name in files)
    card = files["README.md"].decode()
    assert 'InvariantGenerator.from_pretrained("me/generator")' in card and "Learned from 20 samples" in card
    assert "pipeline_tag: unconditional-image-generation" in card
