"""The contract of an attachment: nothing at the start, trained alone, saved small, removed without trace."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adaptation.models import MODELS, assert_same, copied, logits, make, shake, trace
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForImageClassification, Trainer, TrainingArguments

from hf_canon import CanonicalizedModel, check_equivariance
from hf_canon.adaptation import Comodulation, QuadraticLift, comodulate, quadratic_lift

Attachment = QuadraticLift | Comodulation
Attach = Callable[[nn.Module], Attachment]
ATTACHED: dict[str, Attach] = {
    "lift": quadratic_lift,
    "comodulated": comodulate,
    "deterministic": lambda model: comodulate(model, gain="deterministic"),
}


@pytest.mark.covering("name", "attach")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("attach", ATTACHED.values(), ids=list(ATTACHED))
class TestAttachment:
    @pytest.mark.covering("name", "attach", "dtype")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_starts_as_the_checkpoint_to_the_bit(self, name: str, attach: Attach, dtype: torch.dtype) -> None:
        model, x = make(name)
        model, x = model.to(dtype), x.to(dtype)
        before = logits(model, x)
        attached = attach(model)
        assert torch.equal(logits(model, x), before)
        shake(attached)
        assert not torch.equal(logits(model, x), before)
        with attached.disabled():
            assert torch.equal(logits(model, x), before)
        assert not torch.equal(logits(model, x), before)

    def test_starts_as_the_checkpoint_under_autocast(self, name: str, attach: Attach) -> None:
        model, x = make(name)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            before = logits(model, x)
            attach(model)
            assert torch.equal(logits(model, x), before)

    def test_removed_without_trace(self, name: str, attach: Attach) -> None:
        model, x = make(name)
        next(model.parameters()).requires_grad_(False)  # what was frozen before stays frozen
        before, answer = trace(model), logits(model, x)
        attached = attach(model)
        assert all(
            parameter.requires_grad == name.startswith(f"{attached.kind}.")
            for name, parameter in model.named_parameters()
        )
        shake(attached)
        attached.remove()
        assert_same(trace(model), before)
        assert torch.equal(logits(model, x), answer)
        attach(model)  # and may come again

    def test_trained_alone_by_any_trainer(self, name: str, attach: Attach, tmp_path: Path) -> None:
        """Running statistics included: ResNet and EfficientNet have some, and Trainer trains in training mode."""
        model, x = make(name)
        before, answer = trace(model), logits(model, x)
        attached = attach(model)
        start = {name: value.clone() for name, value in attached.named_parameters()}
        key = "input_features" if name == "whisper" else "pixel_values"
        args = TrainingArguments(
            str(tmp_path),
            max_steps=3,
            learning_rate=1e-2,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        data = [{key: one, "labels": index % 2} for index, one in enumerate(x)]
        Trainer(model=model, args=args, train_dataset=data).train()
        transformed = {name for name, value in attached.named_parameters() if not torch.equal(value, start[name])}
        # What an `up` of zeros is multiplied with may be slower.
        assert transformed and transformed >= {name for name in start if not name.endswith("_down")}
        assert not torch.equal(logits(model.eval(), x), answer)
        attached.remove()
        after = trace(model)
        after["modules"] = before["modules"]  # Trainer leaves marks of its own on them
        assert_same(after, before)
        assert torch.equal(logits(model, x), answer)

    def test_saved_small_and_loaded(self, name: str, attach: Attach, tmp_path: Path) -> None:
        model, x = make(name)
        attached = attach(model)
        shake(attached)
        answer = logits(model, x)
        (tmp_path / "saved").mkdir()
        (tmp_path / "saved" / "notes.txt").write_text("mine")
        attached.save_pretrained(tmp_path / "saved")
        files = {f"{attached.kind}.json", f"{attached.kind}.safetensors"}
        assert {path.name for path in (tmp_path / "saved").iterdir()} == {"notes.txt", *files}
        saved = load_file(tmp_path / "saved" / f"{attached.kind}.safetensors")
        assert saved.keys() == attached.state_dict().keys()
        plain, _ = make(name)
        loaded = type(attached).from_pretrained(plain, tmp_path / "saved")
        assert torch.equal(logits(copied(plain), x), answer)
        assert loaded.settings() == attached.settings() and type(attached).of(plain) is loaded
        assert loaded.get_nb_trainable_parameters() == attached.get_nb_trainable_parameters()

    def test_copies_and_pickles_are_their_own(self, name: str, attach: Attach) -> None:
        model, x = make(name)
        plain = logits(model, x)
        attached = attach(model)
        shake(attached)
        answer = logits(model, x)
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(logits(twin, x), answer)
            type(attached).of(twin).remove()
            assert torch.equal(logits(twin, x), plain)
        assert torch.equal(logits(model, x), answer)  # and this one keeps its own

    @pytest.mark.covering()
    def test_compiles(self, name: str, attach: Attach) -> None:
        model, x = make(name)
        attached = attach(model)
        shake(attached)
        # Estimates of a gain are not compiled, and whether one is asked for is looked up before every pass.
        whole = not isinstance(attached, Comodulation)
        compiled = torch.compile(model, fullgraph=whole, backend="eager")
        assert torch.allclose(logits(compiled, x), logits(model, x), atol=1e-5)

    def test_device(self, name: str, attach: Attach, second_device: torch.device) -> None:
        model, x = make(name)
        shake(attach(model))
        here = logits(model, x)
        assert torch.allclose(logits(model.to(second_device), x.to(second_device)).cpu(), here, atol=1e-3)


@pytest.mark.parametrize("first_off", [0, 1])
@pytest.mark.parametrize("order", [0, 1])
def test_two_at_once_are_taken_off_in_any_order(order: int, first_off: int) -> None:
    model, x = make("resnet")
    model.train()
    before = trace(model)
    attach = [quadratic_lift, comodulate] if order == 0 else [comodulate, quadratic_lift]
    attached = [one(model) for one in attach]
    for one in attached:
        shake(one)
    attached[first_off].remove()
    assert not model.resnet.embedder.embedder.convolution.weight.requires_grad  # the other one keeps it frozen
    attached[1 - first_off].remove()
    assert_same(trace(model), before)


@pytest.mark.parametrize("attach", [comodulate, quadratic_lift])
def test_behind_a_canonicalizer_both_are_saved_with_the_adapter(attach: Any, tmp_path: Path) -> None:
    model, x = make("resnet")
    model.save_pretrained(tmp_path / "checkpoint")
    bare = logits(copied(model), x)
    wrapped = CanonicalizedModel.wrap(tmp_path / "checkpoint", group="d4")
    attached = [attach(wrapped), (quadratic_lift if attach is comodulate else comodulate)(wrapped)]
    for one in attached:
        shake(one)
    assert check_equivariance(wrapped) == 0.0
    answer = logits(copied(wrapped), x)
    wrapped.save_pretrained(tmp_path / "adapter")
    loaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(copied(loaded), x), answer)
    for kind in (QuadraticLift, Comodulation):
        kind.of(loaded).remove()
    with torch.no_grad():
        assert torch.equal(loaded(x, canonicalize=False).logits, bare)
    again = AutoModelForImageClassification.from_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(copied(again), x), answer)
