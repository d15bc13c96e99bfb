"""A reference sampler: pushed with its adapter, drawn from by strangers, and kept while it fits."""

import pytest
from hub.conftest import Hub
from hub.test_round_trip import PRELUDE, said

pytestmark = pytest.mark.slow

PUBLISH = (
    PRELUDE
    + """
from hf_canon.generative import GeneratorConfig, InvariantGenerator, add_reference_sampler
from hf_canon.hub import push_folder
vit(0).push_to_hub("me/base")
ViTImageProcessorPil(size={"height": 32, "width": 32}).push_to_hub("me/base")
model = CanonicalizedModel.wrap("me/base", group="d4", canonicalizer="orbit")
model.save_pretrained(sys.argv[1])
generator = InvariantGenerator(GeneratorConfig("d4", "none", (3, 16, 16), latent_size=4, width=4))
add_reference_sampler(sys.argv[1], generator)
push_folder(sys.argv[1], "me/adapter")
with torch.no_grad():
    next(model.canonicalizer.parameters()).add_(1)
model.push_to_hub("me/adapter")  # trained further, from a machine where there is no sampler
"""
)

DRAW = (
    PRELUDE
    + """
from hf_canon.generative import reference_samples
try:
    reference_samples("me/base", 1)
except OSError as error:
    refused = str(error)
say(sizes=[one["image"].size for one in reference_samples("me/adapter", 2)], refused=refused)
"""
)

OTHER = (
    PRELUDE
    + """
import json
from pathlib import Path
from hf_canon.hub import push_folder
config = json.loads((Path(sys.argv[1]) / "config.json").read_text())
config["input_kind"] = {"kind": "waveforms", "sampling_rate": 16000}  # it listens from now on
config["group"] = "reverse"
(Path(sys.argv[1]) / "config.json").write_text(json.dumps(config))
push_folder(sys.argv[1], "me/adapter")
"""
)


def test_round_trip(hub: Hub) -> None:
    folder = hub.folder / "adapter"
    hub.run(PUBLISH, folder)
    files = hub.files("me/adapter")
    names = {"config.json", "model.safetensors", "samples.png"}
    assert {f"reference_sampler/{name}" for name in names} <= set(files)
    assert 'reference_samples("me/adapter", 500)' in files["README.md"].decode()
    facts = said(hub.run(DRAW))
    assert facts["sizes"] == [[16, 16]] * 2
    assert facts["refused"].startswith("No reference sampler could be read from 'me/base'")
    for name in names:
        (folder / "reference_sampler" / name).unlink()
    hub.run(OTHER, folder)
    files = hub.files("me/adapter")
    assert not any(name.startswith("reference_sampler") for name in files)
    assert "Reference sampler" not in files["README.md"].decode()
