"""The wrapper: exact, stateless, and without a trace on the checkpoint inside."""

import json
import pickle
import threading
from pathlib import Path

import pytest
import torch
from images import images
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    BertConfig,
    BertForSequenceClassification,
    ConvNextConfig,
    ConvNextForImageClassification,
    PerceiverConfig,
    PerceiverForImageClassificationLearned,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    pipeline,
)

from hf_canon import CanonicalizedConfig, CanonicalizedModel, check_equivariance, get_group
from hf_canon.canonicalizers import OrbitCanonicalizer

CANONICALIZERS = ["orbit", "equivariant", "shift", "predictor"]
LABELS = {0: "cat", 1: "dog", 2: "owl"}


def vit() -> ViTForImageClassification:
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        id2label=LABELS,
        label2id={name: i for i, name in LABELS.items()},
    )
    return ViTForImageClassification(config)


def resnet() -> ResNetForImageClassification:
    return ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=LABELS)
    )


def convnext() -> ConvNextForImageClassification:
    return ConvNextForImageClassification(
        ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], id2label=LABELS)
    )


ARCHITECTURES = {"vit": vit, "resnet": resnet, "convnext": convnext}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A saved ViT with its processor."""
    folder = tmp_path / "checkpoint"
    vit().save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def unchanged(module: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.covering("architecture, group_name", "architecture, canonicalizer", "group_name, canonicalizer")
@pytest.mark.parametrize("canonicalizer", CANONICALIZERS)
@pytest.mark.parametrize("group_name", ["c2", "c4", "d2", "d4"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_exact_groups_change_nothing(architecture: str, group_name: str, canonicalizer: str) -> None:
    """model(act(x, g)) is model(x), to the bit, for every element."""
    predictor = ARCHITECTURES[architecture]().eval()
    model = CanonicalizedModel.wrap(predictor, group=group_name, canonicalizer=canonicalizer)
    sizes = (32,) if architecture == "vit" else (33, 64, 71)
    for size in sizes:
        x = images(2, size)
        with torch.inference_mode():
            upright = model(pixel_values=x).logits
            for g in model.group.elements:
                assert torch.equal(model(pixel_values=model.group.act(x, g.expand(2))).logits, upright), (size, int(g))
    assert check_equivariance(model) == 0.0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_output_is_the_base_models_own_and_one_field_more(architecture: str) -> None:
    predictor = ARCHITECTURES[architecture]().eval()
    model = CanonicalizedModel.wrap(predictor, group="d4")
    x = images(3, 32)
    with torch.no_grad():
        out, bare = model(pixel_values=x, labels=torch.tensor([0, 1, 2])), predictor(pixel_values=x)
        expected = predictor(pixel_values=out.canonicalization.canonical)
    assert isinstance(out, type(bare))
    assert torch.equal(out.logits, expected.logits) and out.loss.ndim == 0
    found = out.canonicalization
    assert found.element.shape == (3,) and found.probabilities.shape == (3, 8)
    assert torch.allclose(found.probabilities.sum(-1), torch.ones(3))
    assert torch.equal(model.group.act(found.canonical, found.element), x)
    assert torch.equal(model.canonicalize(x).element, found.element)


def test_switched_off_it_is_the_checkpoint(checkpoint: Path) -> None:
    bare = ViTForImageClassification.from_pretrained(checkpoint)
    before = snapshot(bare)
    model = CanonicalizedModel.wrap(bare, group="c8")
    x = images(2, 32)
    with torch.no_grad():
        expected = bare(pixel_values=x)
        model(pixel_values=x)
        off = model(pixel_values=x, canonicalize=False)
    assert type(off) is type(expected) and torch.equal(off.logits, expected.logits)
    assert unchanged(bare, before)


def test_wrapping_keeps_weights_that_transformers_did_not_load(checkpoint: Path) -> None:
    """A head that was put on by hand, and trained by hand, is a checkpoint's own."""
    predictor = ViTForImageClassification.from_pretrained(checkpoint)
    predictor.classifier = nn.Sequential(nn.Linear(32, 8), nn.GELU(), nn.Linear(8, 3))
    network = ViTForImageClassification.from_pretrained(checkpoint).vit
    network.layernorm = nn.LayerNorm(32, eps=0.1)
    nn.init.normal_(network.layernorm.weight)
    before = snapshot(predictor), snapshot(network)

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vit = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.vit(x).last_hidden_state.mean(1)

    CanonicalizedModel.wrap(predictor, group="c4", canonicalizer=Features())
    assert unchanged(predictor, before[0]) and unchanged(network, before[1])


def test_training_mode_leaves_a_frozen_predictor_alone() -> None:
    model = CanonicalizedModel.wrap(resnet(), group="c4")
    before = snapshot(model.predictor)
    model.train()
    assert model.canonicalizer.training and not model.predictor.training
    model(pixel_values=images(4, 40), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    assert unchanged(model.predictor, before), "running statistics transformed"
    assert all(parameter.grad is None for parameter in model.predictor.parameters())
    assert all(parameter.grad is not None for parameter in model.canonicalizer.parameters())
    model.predictor.requires_grad_(True)
    assert model.train().predictor.training


@pytest.mark.parametrize(("group_name", "canonicalizer"), [("c4", "orbit"), ("d4", "shift"), ("so2", "shift")])
def test_task_loss_reaches_the_canonicalizer_through_the_images(group_name: str, canonicalizer: str) -> None:
    model = CanonicalizedModel.wrap(vit(), group=group_name, canonicalizer=canonicalizer).train()
    x = images(4, 32)
    out = model(pixel_values=x, labels=torch.tensor([0, 1, 2, 0]))
    out.loss.backward()
    gradients = [parameter.grad for parameter in model.canonicalizer.parameters()]
    assert sum(float(gradient.abs().sum()) for gradient in gradients if gradient is not None) > 0
    # Forward it is a hard choice: the predictor saw one member of the orbit, not a mixture.
    hard = model.group.act(x, model.group.inverse(out.canonicalization.element))
    assert torch.allclose(out.canonicalization.canonical, hard, atol=1e-5)


def test_elements_train_it_in_any_loop() -> None:
    model = CanonicalizedModel.wrap(vit(), group="c4").train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    x = images(8, 32)
    losses = []
    for _ in range(30):
        transformed, element, _ = model.group.random_act(x)
        loss = model(pixel_values=transformed, element=element).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_nothing_is_remembered_between_calls() -> None:
    """Threads with inputs of different sizes share one model, and each gets its own answer."""
    model = CanonicalizedModel.wrap(resnet().eval(), group="c8", canonicalizer="equivariant")
    inputs = [images(1 + i % 3, 32 + i, seed=i) for i in range(12)]
    with torch.no_grad():
        expected = [model(pixel_values=x).logits for x in inputs]
    answers: dict[int, torch.Tensor] = {}

    def ask(i: int) -> None:
        with torch.no_grad():
            answers[i] = model(pixel_values=inputs[i]).logits

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(inputs)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(answers[i], expected[i]) for i in range(len(inputs)))


@pytest.mark.covering("group_name", "canonicalizer")
@pytest.mark.parametrize("canonicalizer", CANONICALIZERS)
@pytest.mark.parametrize("group_name", ["d4", "c8"])
def test_adapter_round_trip(checkpoint: Path, tmp_path: Path, group_name: str, canonicalizer: str) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group=group_name, canonicalizer=canonicalizer)
    x = images(2, 32)
    with torch.no_grad():
        expected = model(pixel_values=x).logits
    model.save_pretrained(tmp_path / "adapter")
    assert all(name.startswith("canonicalizer.") for name in load_file(tmp_path / "adapter/model.safetensors"))
    assert (tmp_path / "adapter/model.safetensors").stat().st_size < 500_000
    for loader in (CanonicalizedModel, AutoModelForImageClassification):
        again = loader.from_pretrained(tmp_path / "adapter")
        assert type(again) is type(model) and not again.training
        with torch.no_grad():
            assert torch.equal(again(pixel_values=x).logits, expected)


def test_full_round_trip_needs_no_base(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="d4")
    x = images(2, 32)
    with torch.no_grad():
        expected = model(pixel_values=x).logits
    model.save_pretrained(tmp_path / "full", full=True)
    (checkpoint / "model.safetensors").unlink()
    again = CanonicalizedModel.from_pretrained(tmp_path / "full")
    with torch.no_grad():
        assert torch.equal(again(pixel_values=x).logits, expected)


def test_pipeline(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4")
    model.save_pretrained(tmp_path / "adapter")
    AutoImageProcessor.from_pretrained(checkpoint).save_pretrained(tmp_path / "adapter")
    classify = pipeline("image-classification", str(tmp_path / "adapter"))
    from PIL import Image

    image = Image.effect_noise((32, 32), 80).convert("RGB")
    answers = [classify(image.rotate(angle)) for angle in (0, 90, 180, 270)]
    assert {answer["label"] for answer in answers[0]} == set(LABELS.values())
    assert all(answer == answers[0] for answer in answers)


def test_a_scoring_network_of_ones_own(checkpoint: Path, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 16))
    model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer=network)
    assert isinstance(model.canonicalizer, OrbitCanonicalizer) and model.canonicalizer.network is network
    assert check_equivariance(model) == 0.0
    model.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match="pass it again as canonicalizer="):
        CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    blank = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 16))
    again = CanonicalizedModel.from_pretrained(tmp_path / "adapter", canonicalizer=blank)
    x = images(2, 32)
    with torch.no_grad():
        assert torch.equal(again(pixel_values=x).logits, model(pixel_values=x).logits)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_pretrained_backbone_scores(checkpoint: Path, tmp_path: Path, freeze: bool) -> None:
    settings = {"backbone": str(checkpoint), "resolution": 32, "freeze": freeze}
    model = CanonicalizedModel.wrap(checkpoint, group="c8", canonicalizer="orbit", canonicalizer_settings=settings)
    body = model.canonicalizer.network.model
    loaded = ViTForImageClassification.from_pretrained(checkpoint).vit.embeddings.patch_embeddings.projection.weight
    assert torch.equal(body.embeddings.patch_embeddings.projection.weight, loaded)
    assert all(parameter.requires_grad != freeze for parameter in body.parameters())
    assert not model.train().canonicalizer.network.model.training
    model.eval()
    x = images(2, 32)
    model.save_pretrained(tmp_path / "adapter")
    again = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        assert torch.equal(again(pixel_values=x).logits, model(pixel_values=x).logits)


@pytest.mark.parametrize("canonicalizer", CANONICALIZERS)
def test_bfloat16(checkpoint: Path, canonicalizer: str) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c8", canonicalizer=canonicalizer, dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert all(parameter.dtype == torch.float32 for parameter in model.canonicalizer.parameters())
    x = images(2, 32).bfloat16()
    with torch.no_grad():
        assert model(pixel_values=x).logits.dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            decided = model.canonicalize(x).logits
        assert torch.equal(decided, model.canonicalize(x).logits), "autocast changed a decision"
        model.to(torch.bfloat16)(pixel_values=x)  # all of it in half precision runs too


def test_device_map(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4", device_map="cpu")
    model.save_pretrained(tmp_path / "adapter")
    again = CanonicalizedModel.from_pretrained(tmp_path / "adapter", device_map={"": "cpu"})
    assert again.predictor.device == again.canonicalizer.references.device == torch.device("cpu")
    assert again(pixel_values=images(1, 32)).logits.shape == (1, 3)


def test_gradient_checkpointing() -> None:
    model = CanonicalizedModel.wrap(vit(), group="c4")
    model.predictor.requires_grad_(True)
    model.activation_checkpointing_enable()
    assert model.predictor.is_activation_checkpointing
    model.train()(pixel_values=images(2, 32), labels=torch.tensor([0, 1])).loss.backward()
    assert all(p.grad is not None for p in model.predictor.classifier.parameters())


@pytest.mark.covering()
@pytest.mark.parametrize("canonicalizer", ["orbit", "equivariant", "shift"])
@pytest.mark.parametrize("group_name", ["c4", "d4"])
def test_compiles_without_graph_breaks(group_name: str, canonicalizer: str) -> None:
    model = CanonicalizedModel.wrap(vit(), group=group_name, canonicalizer=canonicalizer)
    x = images(2, 32)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.allclose(compiled(pixel_values=x).logits, model(pixel_values=x).logits, atol=1e-5)


def test_a_field_that_cannot_be_carried_back_is_refused_by_name() -> None:
    settings = {"num_latents": 4, "d_latents": 32, "d_model": 512, "num_self_attends_per_block": 1, "image_size": 32}
    predictor = PerceiverForImageClassificationLearned(PerceiverConfig(**settings))
    model = CanonicalizedModel.wrap(predictor, group="c4")
    with pytest.raises(ValueError, match="returned cross_attentions.*cannot carry back.*canonicalize=False"):
        model(pixel_values=images(1, 32), output_attentions=True)


def test_a_full_model_stays_frozen_and_stays_full(checkpoint: Path, tmp_path: Path) -> None:
    """What came with its predictor is saved with it: an adapter would lose those weights."""
    settings = {"backbone": str(checkpoint), "resolution": 32, "freeze": True}
    model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer_settings=settings)
    with torch.no_grad():
        model.predictor.classifier.weight.add_(1)
    model.save_pretrained(tmp_path / "full", full=True)
    again = CanonicalizedModel.from_pretrained(tmp_path / "full")
    assert not any(parameter.requires_grad for parameter in again.predictor.parameters())
    assert not any(parameter.requires_grad for parameter in again.canonicalizer.network.parameters())
    assert not again.train().predictor.training
    with pytest.raises(ValueError, match="full=True"):
        again.save_pretrained(tmp_path / "adapter", full=False)
    again.eval().save_pretrained(tmp_path / "again")
    x = images(2, 32)
    with torch.no_grad():
        expected = model(pixel_values=x).logits
        assert torch.equal(CanonicalizedModel.from_pretrained(tmp_path / "again")(pixel_values=x).logits, expected)


def test_an_adapter_on_another_predictor_names_that_one(checkpoint: Path, tmp_path: Path) -> None:
    CanonicalizedModel.wrap(checkpoint).save_pretrained(tmp_path / "adapter")
    other = vit()
    other.save_pretrained(tmp_path / "other")
    other = ViTForImageClassification.from_pretrained(tmp_path / "other")
    model = CanonicalizedModel.from_pretrained(tmp_path / "adapter", predictor=other)
    model.save_pretrained(tmp_path / "transformed")
    x = images(2, 32)
    with torch.no_grad():
        expected = model(pixel_values=x).logits
        assert torch.equal(
            CanonicalizedModel.from_pretrained(tmp_path / "transformed")(pixel_values=x).logits, expected
        )


def test_an_adapter_finds_its_base_from_any_working_directory(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    CanonicalizedModel.wrap(checkpoint.name).save_pretrained("adapter")
    monkeypatch.chdir("/")
    CanonicalizedModel.from_pretrained(tmp_path / "adapter")


def test_outputs_can_be_sent_to_another_process() -> None:
    out = CanonicalizedModel.wrap(vit(), group="c4")(pixel_values=images(1, 32))
    again = pickle.loads(pickle.dumps(out))
    assert type(again) is type(out)
    assert torch.equal(again.canonicalization.canonical, out.canonicalization.canonical)


def test_a_pooler_that_nobody_trained_is_not_used(checkpoint: Path) -> None:
    """A ViT classifier has no pooler, and its backbone alone would make one up."""
    settings = {"backbone": str(checkpoint), "resolution": 32}
    first, second = (CanonicalizedModel.wrap(checkpoint, canonicalizer_settings=settings) for _ in range(2))
    x = images(2, 32)
    with torch.no_grad():
        assert torch.equal(first.canonicalizer.network(x), second.canonicalizer.network(x))


class TestRefusals:
    def test_not_a_transformers_model(self) -> None:
        with pytest.raises(ValueError, match="This predictor is a Linear; hf_canon wraps what reads images"):
            CanonicalizedModel.wrap(nn.Linear(1, 1))  # type: ignore[arg-type]

    def test_settings_beside_a_finished_canonicalizer(self) -> None:
        with pytest.raises(ValueError, match="width would change nothing"):
            CanonicalizedModel.wrap(
                vit(), canonicalizer=OrbitCanonicalizer(get_group("c4")), canonicalizer_settings={"width": 8}
            )

    def test_no_weights(self, checkpoint: Path) -> None:
        (checkpoint / "model.safetensors").unlink()
        with pytest.raises(OSError, match="weights of the checkpoint .* cannot be read"):
            CanonicalizedModel.wrap(checkpoint)

    def test_configuration_of_another_adapter(self, checkpoint: Path, tmp_path: Path) -> None:
        wide = {"width": 48}
        CanonicalizedModel.wrap(checkpoint, canonicalizer_settings=wide).save_pretrained(tmp_path / "wide")
        CanonicalizedModel.wrap(checkpoint).save_pretrained(tmp_path / "adapter")
        (tmp_path / "wide/config.json").replace(tmp_path / "adapter/config.json")
        with pytest.raises(ValueError, match="do not fit its configuration"):
            CanonicalizedModel.from_pretrained(tmp_path / "adapter")

    def test_text_model(self, tmp_path: Path) -> None:
        tiny = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
        text = BertForSequenceClassification(tiny)
        with pytest.raises(ValueError, match="BertForSequenceClassification, which reads text"):
            CanonicalizedModel.wrap(text, group="c4")
        text.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="BertForSequenceClassification, which reads text"):
            CanonicalizedModel.wrap(tmp_path, group="c4")

    def test_no_such_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No checkpoint could be read from 'nobody/nothing'"):
            CanonicalizedModel.wrap("nobody/nothing")
        with pytest.raises(OSError, match="as a folder"):
            CanonicalizedModel.wrap(tmp_path)

    def test_an_unsaved_predictor_has_no_adapter(self, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(vit(), group="c4")
        with pytest.raises(ValueError, match="never saved.*full=True"):
            model.save_pretrained(tmp_path / "adapter")
        assert not (tmp_path / "adapter").exists()

    def test_not_an_adapter(self, checkpoint: Path) -> None:
        with pytest.raises(ValueError, match="vit checkpoint, not an hf_canon adapter. Use CanonicalizedModel.wrap"):
            CanonicalizedModel.from_pretrained(checkpoint)

    def test_missing_base(self, checkpoint: Path, tmp_path: Path) -> None:
        CanonicalizedModel.wrap(checkpoint).save_pretrained(tmp_path / "adapter")
        transformed = checkpoint.rename(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="belongs to the checkpoint .*pass the loaded checkpoint as predictor="):
            CanonicalizedModel.from_pretrained(tmp_path / "adapter")
        predictor = ViTForImageClassification.from_pretrained(transformed)
        assert CanonicalizedModel.from_pretrained(tmp_path / "adapter", predictor=predictor).predictor is predictor

    def test_damaged_weights(self, checkpoint: Path, tmp_path: Path) -> None:
        adapter = tmp_path / "adapter"
        CanonicalizedModel.wrap(checkpoint).save_pretrained(adapter)
        # Cloned, for the tensors are the file, which is about to be overwritten.
        weights = {name: value.clone() for name, value in load_file(adapter / "model.safetensors").items()}
        (adapter / "model.safetensors").write_bytes(b"half a file")
        with pytest.raises(ValueError, match="damaged"):
            CanonicalizedModel.from_pretrained(adapter)
        weights.pop("canonicalizer.references")
        save_file(weights, adapter / "model.safetensors")
        with pytest.raises(ValueError, match="do not fit.*canonicalizer.references"):
            CanonicalizedModel.from_pretrained(adapter)

    def test_oblong_input(self) -> None:
        model = CanonicalizedModel.wrap(resnet(), group="c4")
        with pytest.raises(ValueError, match="32 x 48.*'c2'"):
            model(pixel_values=torch.rand(1, 3, 32, 48))

    def test_canonicalizer_of_another_group(self) -> None:
        other = OrbitCanonicalizer(get_group("c8"))
        with pytest.raises(ValueError, match="made for c8, and the group asked for is c4"):
            CanonicalizedModel.wrap(vit(), group="c4", canonicalizer=other)

    def test_save_onto_a_file(self, checkpoint: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ValueError, match="is a file"):
            CanonicalizedModel.wrap(checkpoint).save_pretrained(tmp_path / "file")
        assert (tmp_path / "file").read_text() == "mine"


def test_configuration_carries_the_labels(checkpoint: Path, tmp_path: Path) -> None:
    model: PreTrainedModel = CanonicalizedModel.wrap(checkpoint, group="d4")
    assert model.config.id2label == LABELS and model.config.num_labels == 3
    model.save_pretrained(tmp_path / "adapter")
    again = CanonicalizedConfig.from_pretrained(tmp_path / "adapter")
    assert again.id2label == LABELS and again.base_config.id2label == LABELS
    assert (again.group, again.canonicalizer, again.base_name_or_path) == ("d4", "orbit", str(checkpoint))
    assert json.loads((tmp_path / "adapter/config.json").read_text())["model_type"] == "canonicalized"


def test_only_training_pays_for_the_orbit(monkeypatch: pytest.MonkeyPatch) -> None:
    """In evaluation mode a caller who forgot `no_grad` gets one pass, and in training the choice has a gradient."""
    model = CanonicalizedModel.wrap(vit(), group="d4")
    orbits: list[torch.Tensor] = []
    straight_through = model._straight_through
    monkeypatch.setattr(model, "_straight_through", lambda *args: orbits.append(args[0]) or straight_through(*args))
    x = images(2, 32)
    model(pixel_values=x)
    assert not orbits
    model.train()(pixel_values=x).logits.sum().backward()
    assert len(orbits) == 1
    assert any(parameter.grad is not None for parameter in model.canonicalizer.parameters())


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (None, ("c4", "orbit")),
        ("so2", ("so2", "shift")),
        ("hue12", ("hue12", "shift")),
        ("gamma", ("gamma", "moment")),
    ],
)
def test_a_canonicalizer_that_fits_is_the_default(group: str | None, expected: tuple[str, str]) -> None:
    model = CanonicalizedModel.wrap(vit(), group=group, processor=ViTImageProcessorPil())
    assert (model.group.name, model.canonicalizer.name) == expected


def test_pixels_as_files_have_them_are_refused() -> None:
    model = CanonicalizedModel.wrap(vit(), group="c4")
    with pytest.raises(ValueError, match=r"whole numbers \(torch.uint8\).*its own processor"):
        model(pixel_values=torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
