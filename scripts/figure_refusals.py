"""What cannot work, and the sentence that says so: one row each, against a Hub on this machine.

    python scripts/figure_refusals.py

Every call is made for real, by a client with an empty cache, on the small Hub of the tests. The table is the README's.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hub.conftest import Hub  # noqa: E402

PUBLISH = """
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil
from hf_canon import CanonicalizedModel
vit = ViTForImageClassification(ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32))
vit.push_to_hub("me/vit")
ViTImageProcessorPil(size={"height": 32, "width": 32}).push_to_hub("me/vit")
CanonicalizedModel.wrap("me/vit", group="d4").push_to_hub("me/vit-d4")
"""

PRELUDE = """
import sys
import torch
from hf_canon import CanonicalizedModel, Monitor, calibrate
from hf_canon.adaptation import comodulate, quadratic_lift
from transformers import BertConfig, BertForSequenceClassification, DetrConfig, DetrForObjectDetection
from transformers import PerceiverConfig
from transformers import PerceiverForImageClassificationLearned, ResNetConfig, ResNetForImageClassification
from transformers import VideoMAEConfig, VideoMAEForVideoClassification, ViTConfig, ViTForImageClassification
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification
from transformers.utils import logging
logging.set_verbosity_error()
logging.disable_progress_bar()
speech = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=16, conv_dim=(8,), conv_stride=(5,), conv_kernel=(10,), num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=2))
tiny = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
text = BertForSequenceClassification(BertConfig(**tiny, vocab_size=8))
video = VideoMAEForVideoClassification(VideoMAEConfig(**tiny, image_size=32, decoder_hidden_size=16,
    decoder_num_attention_heads=2, decoder_intermediate_size=16, decoder_num_hidden_layers=1))
latents = PerceiverForImageClassificationLearned(PerceiverConfig(num_latents=4, d_latents=16, d_model=16,
    num_self_attends_per_block=1, num_self_attention_heads=2, num_cross_attention_heads=1, image_size=32))
vit = CanonicalizedModel.wrap(ViTForImageClassification(ViTConfig(**tiny, image_size=32)), group="c4")
listener = CanonicalizedModel.wrap(speech, group="reverse")
detector = CanonicalizedModel.wrap(DetrForObjectDetection(DetrConfig(use_timm_backbone=False, backbone=None,
    use_pretrained_backbone=False, num_queries=4, d_model=16, encoder_layers=1, decoder_layers=1,
    encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
    backbone_config=ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], out_features=["stage2"]))))
grey = ResNetForImageClassification(ResNetConfig(num_channels=1, embedding_size=8, hidden_sizes=[8], depths=[1]))
try:
    exec(sys.argv[1])
except (ValueError, OSError) as error:
    print(f"{type(error).__name__}: {error}")
else:
    raise SystemExit("It was not refused.")
"""

OFFLINE = "import os\nos.environ['HF_HUB_OFFLINE'] = '1'\n"

CASES = {
    "wrong modality": ('CanonicalizedModel.wrap(speech, adapter="me/vit-d4")', None, ""),
    "other channels": ('CanonicalizedModel.wrap(grey, adapter="me/vit-d4")', None, ""),
    "a text model": ("CanonicalizedModel.wrap(text)", None, ""),
    "a video model": ("CanonicalizedModel.wrap(video)", None, ""),
    "a group for images": ('CanonicalizedModel.wrap(speech, group="c4")', None, ""),
    "a group for audio": ('CanonicalizedModel.wrap("me/vit", group="pitch12")', None, ""),
    "colours of unknown meaning": ('CanonicalizedModel.wrap(vit.predictor, group="hue12")', None, ""),
    "a product of groups that do not commute": ('CanonicalizedModel.wrap("me/vit", group="channels*hue12")', None, ""),
    "a field without a row": (
        "CanonicalizedModel.wrap(latents)(pixel_values=torch.rand(1, 3, 32, 32), output_attentions=True)",
        None,
        "",
    ),
    "an oblong image": ("vit(pixel_values=torch.rand(1, 3, 32, 48))", None, ""),
    "NaN in the second image": (
        "vit(pixel_values=torch.stack([torch.rand(3, 32, 32), torch.full((3, 32, 32), torch.nan)]))",
        None,
        "",
    ),
    "an audio clip that is too short": ("listener(input_values=torch.rand(1, 8))", None, ""),
    "a calibration set that is too small": (
        "calibrate(vit, [{'pixel_values': torch.rand(3, 32, 32)} for _ in range(40)], alpha=0.01, harm=0.05)",
        None,
        "",
    ),
    "a level out of range": ("calibrate(vit, [], alpha=1.5)", None, ""),
    "a bound out of range": ("calibrate(vit, [], harm=0)", None, ""),
    "an uncalibrated adapter asked for a set": (
        'vit(pixel_values=torch.rand(1, 3, 32, 32), decision="conformal")',
        None,
        "",
    ),
    "an uncalibrated adapter loaded to abstain": (
        'CanonicalizedModel.from_pretrained("me/vit-d4", decision="abstain")',
        None,
        "",
    ),
    "an unknown decision rule": ('vit(pixel_values=torch.rand(1, 3, 32, 32), decision="vote")', None, ""),
    "boxes to be averaged": ('detector(pixel_values=torch.rand(1, 3, 32, 32), decision="orbit")', None, ""),
    "a monitor without a calibration": ("Monitor(vit)", None, ""),
    "an unknown neuron": (
        'CanonicalizedModel.wrap("me/vit", canonicalizer_settings={"neuron": "cubic"})',
        None,
        "",
    ),
    "a layer that cannot be lifted": ('quadratic_lift(vit, target_modules=["layernorm_before"])', None, ""),
    "a task that is not there": ('comodulate(vit, task="birds").set_task("fish")', None, ""),
    "unknown group": ('CanonicalizedModel.wrap("me/vit", group="e4")', None, ""),
    "no adapter": ('CanonicalizedModel.from_pretrained("me/vit")', None, ""),
    "missing base": ('CanonicalizedModel.from_pretrained("me/orphan")', None, ""),
    "private, no token": ('CanonicalizedModel.wrap("me/secret")', None, ""),
    "gated": ('CanonicalizedModel.wrap("me/gated")', "stranger", ""),
    "offline": ('CanonicalizedModel.from_pretrained("me/vit-d4")', None, OFFLINE),
    "damaged file": ('CanonicalizedModel.from_pretrained("me/damaged")', None, ""),
    "no permission": ('CanonicalizedModel.wrap("me/vit").push_to_hub("me/vit-d4")', "reader", ""),
    "not logged in": ('CanonicalizedModel.wrap("me/vit").push_to_hub("me/vit-d4")', None, ""),
    "broken connection": ('CanonicalizedModel.wrap("me/vit").push_to_hub("me/vit-d4")', "writer", ""),
    "a base on this machine alone": ('CanonicalizedModel.wrap("LOCAL").push_to_hub("me/vit-d4")', "writer", ""),
}
"""What is wrong: the call, whose token it is made with, and what goes before."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Hub(Path(folder)) as hub:
        hub.run(PUBLISH)
        base, adapter = hub.files("me/vit"), hub.files("me/vit-d4")
        for name in ("me/secret", "me/gated"):
            hub.put(name, base, "A copy")
        hub.repository("me/secret").private = True
        hub.repository("me/gated").gated = True
        hub.put("me/damaged", {**adapter, "model.safetensors": adapter["model.safetensors"][:1000]}, "Half of it")
        config = json.loads(adapter["config.json"]) | {"base_name_or_path": "me/gone"}
        hub.put("me/orphan", {**adapter, "config.json": json.dumps(config).encode()}, "Its base is gone")
        local = Path(folder) / "my-vit"
        local.mkdir()
        for name in ("config.json", "model.safetensors"):
            (local / name).write_bytes(base[name])

        print("| what is wrong | the call | the sentence |\n|---|---|---|")
        for what, (call, token, before) in CASES.items():
            if what == "broken connection":
                hub.break_next("commit")
            said = hub.run(before + PRELUDE, call.replace("LOCAL", str(local)), token=token)
            sentence = said.strip().splitlines()[-1].replace(str(local), "my-vit")
            # Where the cache of this run lies is of no interest.
            words = [word if not word.startswith(folder) else "…/model.safetensors" for word in sentence.split(" ")]
            print(f"| {what} | `{call.replace('LOCAL', 'my-vit')}` | {' '.join(words)} |", flush=True)


if __name__ == "__main__":
    main()
