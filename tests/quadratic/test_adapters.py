"""Canonicalizers of quadratic neurons as adapters: trained at two rates, saved, loaded, described and counted."""

from pathlib import Path
from typing import Any

import pytest
import torch
from images import images
from transformers import ViTConfig, ViTForImageClassification

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel, check_equivariance
from hf_canon.cli import main
from hf_canon.quadratic import second_order_parameters

SETTINGS: dict[str, dict[str, Any]] = {
    "orbit": {"neuron": "quadratic", "head": "quadratic"},
    "equivariant": {"neuron": "quadratic"},
    "shift": {"neuron": "compact"},
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tiny = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    ViTForImageClassification(tiny).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def arguments(folder: Path, **changes: Any) -> CanonicalizationArguments:
    settings = {"max_steps": 4, "per_device_train_batch_size": 4, "logging_steps": 1}
    quiet = {"report_to": "none", "use_cpu": True, "disable_tqdm": True}
    return CanonicalizationArguments(str(folder), **{**settings, **quiet, **changes})


@pytest.mark.covering()
@pytest.mark.parametrize("name", SETTINGS)
def test_trained_saved_and_loaded(
    checkpoint: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = CanonicalizedModel.wrap(checkpoint, "d4", name, canonicalizer_settings=SETTINGS[name])
    data = [{"pixel_values": one} for one in images(8, 32)]
    trainer = CanonicalizationTrainer(model=model, args=arguments(tmp_path / "out"), train_dataset=data)
    trainer.train()
    second = second_order_parameters(model)
    rates = {id(p): group["initial_lr"] for group in trainer.optimizer.param_groups for p in group["params"]}
    slow = {id(parameter) for parameter in second}
    assert len(rates) == len(list(model.canonicalizer.parameters()))
    assert all(rates[one] == pytest.approx(2e-4 if one in slow else 2e-3) for one in rates)
    assert all(parameter.abs().sum() > 0 for parameter in second)  # it has learned
    assert check_equivariance(model.eval()) == 0.0

    model.save_pretrained(tmp_path / "adapter")
    x = images(4, 32)
    for folder in (tmp_path / "adapter", tmp_path / "out" / "checkpoint-4"):
        loaded = CanonicalizedModel.from_pretrained(folder)
        assert loaded.config.canonicalizer_settings == model.canonicalizer.settings
        with torch.inference_mode():
            found, expected = (one._apply(torch.clone).eval()(x) for one in (loaded, model))
        assert torch.equal(found.canonicalization.probabilities, expected.canonicalization.probabilities)

    count = sum(parameter.numel() for parameter in second)
    assert main(["info", str(tmp_path / "adapter")]) == 0
    total = sum(parameter.numel() for parameter in model.canonicalizer.parameters())
    assert f"{total:,}, of which {count:,} are of second order" in capsys.readouterr().out
    assert f"({count:,} of second order)" in (tmp_path / "adapter" / "README.md").read_text()


@pytest.mark.covering()
@pytest.mark.parametrize("name", SETTINGS)
def test_trained_in_half_precision(checkpoint: Path, tmp_path: Path, name: str) -> None:
    model = CanonicalizedModel.wrap(checkpoint, "c4", name, canonicalizer_settings=SETTINGS[name])
    data = [{"pixel_values": one} for one in images(8, 32)]
    args = arguments(tmp_path / "out", bf16=True, eval_strategy="steps", save_strategy="no")
    trainer = CanonicalizationTrainer(model=model, args=args, train_dataset=data, eval_dataset=data)
    mixed = []
    model.canonicalizer.register_forward_hook(lambda *_: mixed.append(torch.is_autocast_enabled("cpu")))
    trainer.train()
    assert mixed and all(mixed)
    assert all(
        parameter.isfinite().all() and parameter.dtype == torch.float32
        for parameter in model.canonicalizer.parameters()
    )
    losses = [one[key] for one in trainer.state.log_history for key in ("loss", "eval_loss") if key in one]
    assert len(losses) == 8 and all(0 < loss < 20 for loss in losses)


@pytest.mark.slow
def test_a_resumed_training_goes_on_at_both_rates(checkpoint: Path, tmp_path: Path) -> None:
    """Interrupted after two steps and resumed, it has the weights of a training that was not."""
    states = []
    data = [{"pixel_values": one} for one in images(8, 32)]
    for seed, resume in enumerate((None, str(tmp_path / "out" / "checkpoint-2"))):
        torch.manual_seed(seed)  # so that what it begins with has to come from the checkpoint
        model = CanonicalizedModel.wrap(checkpoint, "c4", "shift", canonicalizer_settings={"neuron": "quadratic"})
        args = arguments(tmp_path / "out", save_strategy="steps", save_steps=2)
        trainer = CanonicalizationTrainer(model=model, args=args, train_dataset=data)
        trainer.train(resume_from_checkpoint=resume)
        states.append({name: value.clone() for name, value in model.canonicalizer.state_dict().items()})
    assert all(torch.allclose(value, states[1][name], atol=1e-6) for name, value in states[0].items())


def test_a_ratio_of_zero_leaves_neurons_linear(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, "c4", "shift", canonicalizer_settings={"neuron": "quadratic"})
    data = [{"pixel_values": one} for one in images(8, 32)]
    args = arguments(tmp_path / "out", quadratic_lr_ratio=0.0, save_strategy="no")
    CanonicalizationTrainer(model=model, args=args, train_dataset=data).train()
    second = second_order_parameters(model)
    assert second and all((parameter == 0).all() for parameter in second)


def test_an_optimizer_of_ones_own_is_left_alone(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, "c4", "shift", canonicalizer_settings={"neuron": "quadratic"})
    optimizer = torch.optim.SGD(model.canonicalizer.parameters(), lr=1e-3)
    data = [{"pixel_values": one} for one in images(8, 32)]
    args = arguments(tmp_path / "out", save_strategy="no")
    CanonicalizationTrainer(model=model, args=args, train_dataset=data, optimizers=(optimizer, None)).train()
    assert len(optimizer.param_groups) == 1


def test_a_negative_ratio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be -0.1 times that of the rest"):
        arguments(tmp_path, quadratic_lr_ratio=-0.1)
