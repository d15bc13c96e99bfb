"""Which checkpoints a demo opens for whom, and that it opens each once."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from transformers import BertConfig, BertForSequenceClassification, SegformerConfig, SegformerForSemanticSegmentation

from hf_canon import CanonicalizedModel
from hf_canon.demo import Offered
from hf_canon.demo.checkpoints import KEPT, Checkpoints


def test_strangers_open_what_is_offered_and_no_other_folder(adapter, audio_model, monkeypatch):
    checkpoints = Checkpoints(Offered((str(adapter),)))
    assert checkpoints.open(str(adapter)).senses == "image"
    monkeypatch.chdir(audio_model.parent.parent)
    inside = f"{audio_model.parent.name}/{audio_model.name}"  # looks like owner/name
    for name in (
        str(audio_model),
        inside,
        f"{inside}/config.json",
        "/etc/passwd",
        "../../etc",
        "~",
        "",
        "a/b/c",
        "file://x",
    ):
        with pytest.raises(ValueError, match="no id of a repository on the Hub"):
            checkpoints.open(name)
    (audio_model.parent.parent / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no id of a repository"):  # transformers would read the file
        checkpoints.open("config.json")
    with pytest.raises(OSError, match="HF_HUB_OFFLINE"):
        checkpoints.open("somebody/vit-d4")


def test_an_adapter_of_a_stranger_does_not_make_the_server_open_a_folder(adapter, tmp_path, monkeypatch):
    """Adapters name other places: their checkpoint, and a backbone of the canonicalizer."""
    hostile = tmp_path / "somebody" / "hostile"
    shutil.copytree(adapter, hostile)
    config = json.loads((hostile / "config.json").read_text())
    monkeypatch.setattr("hf_canon.demo.checkpoints.is_remote", lambda name: name == "somebody/hostile")
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints(Offered(("me/offered",)))
    monkeypatch.setattr("hf_canon.demo.checkpoints.find_adapter_config_file", lambda *_, **__: None)
    for change in (
        {"base_name_or_path": str(adapter.parent / "checkpoint")},
        {"base_name_or_path": "somebody/hostile", "canonicalizer_settings": {"backbone": "/srv/private"}},
    ):
        (hostile / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(ValueError, match="no repository on the Hub, and this page opens no folders"):
            checkpoints.open("somebody/hostile")


def test_no_pickle_is_opened(adapter, tmp_path):
    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(adapter.parent / "checkpoint", folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        Checkpoints(Offered((str(folder),))).open(str(folder))


def test_on_ones_own_machine_any_folder_opens_with_or_without_an_adapter(adapter, audio_model):
    checkpoints = Checkpoints(Offered((str(adapter),), public=False))
    assert checkpoints.open(str(audio_model)).senses == "audio"
    base = checkpoints.open(str(adapter.parent / "checkpoint"), "c8")
    assert (base.model.group.name, base.model.canonicalizer.name, base.trained) == ("c8", "predictor", False)
    assert checkpoints.open(str(audio_model.parent / "checkpoint")).model.group.name == "reverse"
    with pytest.raises(ValueError, match="no folder '/nowhere'"):
        checkpoints.open("/nowhere")
    with pytest.raises(ValueError, match="knows its group. Leave the group empty"):
        checkpoints.open(str(adapter), "c8")
    with pytest.raises(ValueError, match="'e8'"):
        checkpoints.open(str(adapter.parent / "checkpoint"), "e8")


def test_what_is_no_classifier_of_images_or_clips_is_refused_before_its_weights_are_read(tmp_path):
    segformer = SegformerConfig(
        num_encoder_blocks=1, depths=[1], hidden_sizes=[8], num_attention_heads=[1], decoder_hidden_size=8,
        sr_ratios=[1], patch_sizes=[7], strides=[4], mlp_ratios=[1],
    )  # fmt: skip
    SegformerForSemanticSegmentation(segformer).save_pretrained(tmp_path / "segmenter")
    (tmp_path / "segmenter" / "model.safetensors").unlink()
    bert = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForSequenceClassification(bert).save_pretrained(tmp_path / "reader")
    checkpoints = Checkpoints(Offered((), public=False))
    with pytest.raises(ValueError, match="is a model for image-segmentation, and this page shows what classifiers"):
        checkpoints.open(str(tmp_path / "segmenter"))
    with pytest.raises(ValueError, match="BertForSequenceClassification"):
        checkpoints.open(str(tmp_path / "reader"))


def test_a_checkpoint_is_read_once_by_many_visitors_and_few_are_kept(adapter, monkeypatch):
    read = []
    load = Checkpoints._load
    monkeypatch.setattr(Checkpoints, "_load", lambda self, *named: read.append(named) or load(self, *named))
    checkpoints = Checkpoints(Offered((str(adapter),), public=False))
    base = str(adapter.parent / "checkpoint")
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(checkpoints.open, [str(adapter), base] * 8))
    assert len(read) == 2
    assert len(set(map(id, opened))) == 2
    groups = ["c2", "c4", "c8", "d2", "d4", "channels", "negative"]
    for group in groups:
        checkpoints.open(base, group)
    checkpoints.open(base, groups[-1])
    assert len(read) == 2 + len(groups)
    assert len(checkpoints._opened) == KEPT + 1
    checkpoints.open(str(adapter))  # what is offered stays
    shared = Checkpoints(Offered((base,)))
    for group in ("c2", "c4", "c8", "d2", "d4", "channels"):  # but not all that is made of it
        shared.open(base, group)
    assert len(shared._opened) == KEPT
    with pytest.raises(ValueError, match="c360 has 360 elements.*takes 96 at most"):
        shared.open(base, "c360")
    del read[:]
    checkpoints.open(str(adapter))
    assert not read


def test_the_processor_of_the_checkpoint_serves_an_adapter_without_one(adapter, tmp_path):
    folder = tmp_path / "bare"
    shutil.copytree(adapter, folder)
    (folder / "preprocessor_config.json").unlink()
    opened = Checkpoints(Offered((str(folder),))).open(str(folder))
    assert opened.processor.size == {"height": 32, "width": 32}
    assert isinstance(opened.model, CanonicalizedModel)


def test_answers_wait_for_no_download_and_visitors_use_the_names_that_they_see(adapter, audio_model):
    checkpoints = Checkpoints(Offered((str(adapter), str(audio_model))))
    with pytest.raises(ValueError, match="is not open here, or not any more. Open it first"):
        checkpoints.opened("somebody/vit-d4", "")
    title = "/".join(adapter.parts[-2:])
    assert checkpoints.open(title) is checkpoints.opened(str(adapter), "") is checkpoints.opened(f" {title} ", "")
    assert checkpoints.at_first["image"] is checkpoints.open(title)
    assert list(checkpoints.named) == [title, "/".join(audio_model.parts[-2:])]


def test_weights_that_a_file_lacks_are_counted(adapter, monkeypatch):
    from transformers import ViTConfig

    from hf_canon.demo.checkpoints import require_moderate
    from hf_canon.tasks import class_for

    model_class = class_for(["ViTForImageClassification"], "x")
    require_moderate("a/b", model_class, ViTConfig(hidden_size=16, num_hidden_layers=1, intermediate_size=16))
    with pytest.raises(ValueError, match="GB of weights, and this page loads 2 GB at most"):
        require_moderate("a/b", model_class, ViTConfig(intermediate_size=20_000_000))


def test_a_processor_that_makes_huge_images_is_refused():
    from transformers import ViTImageProcessorPil

    from hf_canon.demo.checkpoints import require_moderate_inputs

    require_moderate_inputs("a/b", ViTImageProcessorPil(size={"height": 512, "width": 512}))
    with pytest.raises(ValueError, match="reads images of 6000 pixels"):
        require_moderate_inputs("a/b", ViTImageProcessorPil(size={"height": 32, "width": 6000}))
