"""What Trainer pushes: our card and our files, during training and at its end."""

import json
from typing import Any

import pytest
import yaml
from hub.conftest import Hub
from hub.test_round_trip import PRELUDE, load, said

pytestmark = pytest.mark.slow

TRAIN = (
    PRELUDE
    + """
from pathlib import Path
import tempfile
from hf_canon import CanonicalizationArguments, CanonicalizationTrainer
vit(0).push_to_hub("me/base")
processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
processor.push_to_hub("me/base")
torch.manual_seed(1)
model = CanonicalizedModel.wrap("me/base", group="c4")
data = [{"pixel_values": x, "label": i % 3} for i, x in enumerate(images(16))]
output = Path(tempfile.mkdtemp())
(output / "notes.txt").write_text("mine")
options = json.loads(sys.argv[1])
args = CanonicalizationArguments(str(output), num_train_epochs=2, per_device_train_batch_size=8, save_strategy="epoch",
    learning_rate=0.01, report_to="none", use_cpu=True, disable_tqdm=True, push_to_hub=True, hub_model_id="me/trained",
    **options)
trainer = CanonicalizationTrainer(model=model, args=args, train_dataset=data, processing_class=processor)
if "token" in sys.argv[2:]:
    trainer.args.hub_token = "reader"  # the right to write is taken away
trainer.train()
if "push" in sys.argv[2:]:
    trainer.push_to_hub()
say(logits=logits(model))
"""
)


def test_during_training_and_at_its_end(hub: Hub) -> None:
    found = said(hub.run(TRAIN, json.dumps({"hub_strategy": "checkpoint", "hub_private_repo": True}), "push"))
    files = hub.files("me/trained")
    assert hub.repository("me/trained").private
    names = set(files) - {".gitattributes"}
    assert {name for name in names if "/" not in name} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    # The checkpoint to go on from, without the pickle that scanners flag.
    assert "last-checkpoint/trainer_state.json" in names
    assert not any("training_args.bin" in name or "notes" in name for name in names)
    messages = [commit.message for commit in hub.commits("me/trained")]
    assert messages.count("Training in progress, step 2") == 1 and messages.count("Training in progress, step 4") == 1
    card = files["README.md"].decode()
    matter: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    assert matter["base_model"] == "me/base" and matter["base_model_relation"] == "adapter"
    assert "# me/trained\n" in card and "Trained on 16 examples." in card and "- `learning_rate`: 0.01" in card
    assert "generated_from_trainer" not in card
    assert load(hub, "me/trained", token="reader")["ours"] == found["logits"]


def test_a_push_that_fails_does_not_end_the_training(hub: Hub) -> None:
    found = said(hub.run(TRAIN, json.dumps({"hub_strategy": "every_save"}), "token"))
    assert len(found["logits"]) == 4
    assert [commit.message for commit in hub.commits("me/trained")] == ["initial commit"]


def test_a_base_that_nobody_else_has_is_refused_before_training(hub: Hub) -> None:
    code = TRAIN.replace('wrap("me/base"', "wrap(FOLDER").replace(
        "torch.manual_seed(1)", "FOLDER = tempfile.mkdtemp(); vit(0).save_pretrained(FOLDER)"
    )
    done = hub.run(code, "{}", check=False)
    assert done.returncode != 0
    assert "a folder that nobody else can load. Push the checkpoint first, and wrap it by its Hub id." in done.stderr
    assert hub.commits("me/base") and "me/trained" not in str(hub.requests)
