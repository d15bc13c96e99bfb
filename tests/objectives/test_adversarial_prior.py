"""The adversarial prior: what it asks of the canonicalizer, when its critic learns, and that upright is found."""

import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
import torch
from architectures import audio
from images import images
from torch import Tensor
from transformers import TrainerCallback, ViTConfig, ViTForImageClassification, ViTImageProcessorPil

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel
from hf_canon.objectives import AdversarialPrior
from hf_canon.objectives.adversarial import undone, upright
from hf_canon.training.reference import CRITIC_FILE

PROCESSOR = ViTImageProcessorPil(do_resize=False, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def wrapped(group: str = "c4", canonicalizer: str = "orbit") -> CanonicalizedModel:
    torch.manual_seed(0)
    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    vit = ViTForImageClassification(ViTConfig(**tiny, image_size=16, patch_size=8))  # type: ignore[arg-type]
    settings = {"resolution": 16, "width": 8} if canonicalizer == "orbit" else None
    return CanonicalizedModel.wrap(vit, group, canonicalizer, settings, processor=PROCESSOR).train()


def scenes(count: int, seed: int) -> Tensor:
    """Light above and dark below, with something in between: a right way up."""
    return images(count, 16, seed=seed) * 0.15 + torch.linspace(0.8, -0.8, 16)[:, None]


def weights(objective: AdversarialPrior) -> list[Tensor]:
    return [one.detach().clone() for one in objective.critic.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("group", ["c4", "d4", "c8", "hue12", "channels"])
def test_the_gradient_is_that_of_the_formula(group: str) -> None:
    """- mean over x of sum over g of p(g | x) D(g^-1 x), each member of the orbit scored on its own."""
    model, x = wrapped(group), scenes(3, seed=1).rot90(1, (2, 3))
    objective = AdversarialPrior(model, scenes(9, seed=2), width=4, critic_steps=0)
    torch.manual_seed(5)
    loss = objective(model, x)
    found = torch.autograd.grad(loss, list(model.canonicalizer.parameters()))

    torch.manual_seed(5)
    transformed, _, _ = model.group.random_act(x)
    posterior = model.canonicalizer(transformed).softmax(-1)
    total = torch.zeros(())
    for i in range(len(x)):
        for g in model.group.elements:
            look = undone(model, transformed[i : i + 1])[0, g]
            total = total - posterior[i, g] * objective.critic(look[None]).detach()[0]
    expected = torch.autograd.grad(total / len(x), list(model.canonicalizer.parameters()))
    assert sum(float(one.abs().sum()) for one in found) > 0
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("group", ["c4", "d4", "channels"])
def test_looks_are_thumbnails_of_what_the_model_would_hand_on(group: str) -> None:
    model, x = wrapped(group), scenes(2, seed=1)
    looks = undone(model, x)
    for g in model.group.elements:
        canonical = model.group.act(x, model.group.inverse(g).expand(2))
        assert torch.allclose(looks[:, g], undone(model, canonical)[:, 0], atol=1e-6)


@pytest.mark.parametrize("group", ["c4", "d4", "channels", "c8"])
def test_the_reference_is_upright_again(group: str) -> None:
    """To the last bits where the group is exact; else resampled as often as the inputs are, and no sharper."""
    model, x = wrapped(group), scenes(32, seed=1)
    found = torch.cat(list(upright(model, x, torch.Generator().manual_seed(0))))
    plain = undone(model, x)[:, 0]
    assert len(found) == 32 and found.shape == plain.shape
    assert torch.allclose(found, plain, atol=1e-6) == model.group.is_exact
    assert float((found - plain).abs().mean()) < 0.1


def test_a_critic_that_sees_no_pose_asks_for_none() -> None:
    """Constant on every orbit, it gives the posterior no gradient."""
    model = wrapped()
    objective = AdversarialPrior(model, scenes(8, seed=2), width=4, critic_steps=0)
    objective.critic = Brightness()  # type: ignore[assignment]
    loss = objective(model, scenes(4, seed=1))
    gradients = torch.autograd.grad(loss, list(model.canonicalizer.parameters()))
    assert float(loss.detach().abs()) > 1e-3
    assert all(float(one.abs().max()) < 1e-6 for one in gradients)


class Brightness(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).mean(1)


def test_the_critic_learns_in_training_alone() -> None:
    model = wrapped()
    objective, x = AdversarialPrior(model, scenes(8, seed=2), width=4), scenes(4, seed=1)
    before = weights(objective)
    with torch.no_grad():
        assert objective(model, x).isfinite()
    model.eval()
    assert objective(model, x).isfinite() and same(weights(objective), before)
    model.train()
    loss = objective(model, x)
    assert not same(weights(objective), before)
    after = weights(objective)
    loss.backward()  # reaches the canonicalizer, and not the critic
    assert same(weights(objective), after)
    assert any(one.grad is not None for one in model.canonicalizer.parameters())
    assert all(one.grad is None for one in model.predictor.parameters())


def test_critics_begin_alike_whatever_was_drawn_before() -> None:
    """So they do in every process."""
    model = wrapped()
    one = AdversarialPrior(model, scenes(8, seed=2), seed=3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert same(weights(AdversarialPrior(model, scenes(8, seed=2), seed=3)), weights(one))
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(weights(AdversarialPrior(model, scenes(8, seed=2), seed=4)), weights(one))


def test_it_does_not_learn_from_numbers_of_half_precision() -> None:
    model, x = wrapped(), scenes(4, seed=1)
    objective = AdversarialPrior(model, scenes(8, seed=2), width=4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(model, x)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(one.dtype == torch.float32 for one in objective.critic.parameters())


@pytest.mark.parametrize("group", ["reverse", "polarity*time_shift4"])
def test_of_clips_of_several_lengths(group: str) -> None:
    torch.manual_seed(0)
    model = CanonicalizedModel.wrap(audio.build("Wav2Vec2ForSequenceClassification"), group=group).train()
    x, lengths = torch.randn(3, 4000), torch.tensor([4000, 3000, 3500])
    objective = AdversarialPrior(model, [(x, lengths), (x, None)], width=4)
    loss = objective(model, x, lengths=lengths)
    loss.backward()
    assert loss.isfinite() and len(objective.real) == 6
    assert sum(float(p.grad.abs().sum()) for p in model.canonicalizer.parameters() if p.grad is not None) > 0


def trainer_for(folder: Path, model: CanonicalizedModel | None = None, **changes: Any) -> CanonicalizationTrainer:
    element = torch.arange(96) % 4
    turned = wrapped().group.act(scenes(96, seed=1), element)
    reference = changes.pop("reference_dataset", [{"pixel_values": one} for one in scenes(24, seed=2)])
    settings: dict[str, Any] = {
        "prior": "reference",
        "max_steps": 60,
        "learning_rate": 3e-3,
        "per_device_train_batch_size": 16,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_strategy": "no",
    }
    return CanonicalizationTrainer(
        model=wrapped() if model is None else model,
        args=CanonicalizationArguments(str(folder), **{**settings, **changes}),
        train_dataset=[{"pixel_values": one} for one in turned],
        eval_dataset=[{"pixel_values": one} for one in scenes(64, seed=3)],
        reference_dataset=reference,
    )


@pytest.mark.covering()
@pytest.mark.parametrize("accumulation", [1, 2])
def test_it_finds_upright_from_inputs_of_any_pose(tmp_path: Path, accumulation: int) -> None:
    trainer = trainer_for(tmp_path, gradient_accumulation_steps=accumulation, max_steps=60 // accumulation)
    assert trainer.evaluate()["eval_pose_accuracy"] < 0.6
    trainer.train()
    assert trainer.evaluate()["eval_pose_accuracy"] > 0.95


class StopAfter(TrainerCallback):
    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step >= self.step


@pytest.mark.slow
def test_resumes_with_its_critic(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Eight steps in one go, or stopped after four, end with the same canonicalizer and the same critic."""
    folder = tmp_path / "checkpoint"
    wrapped().predictor.save_pretrained(folder)

    def train(name: str, stop: int | None = None, resume: bool = False) -> list[Tensor]:
        torch.manual_seed(0)
        model = CanonicalizedModel.wrap(folder, "c4", "orbit", {"resolution": 16, "width": 8})
        trainer = trainer_for(tmp_path / name, model, max_steps=8, save_strategy="steps", save_steps=4)
        if stop is not None:
            trainer.add_callback(StopAfter(stop))
        trainer.train(resume_from_checkpoint=resume)
        assert trainer.kept_critic is not None
        parameters = [*model.canonicalizer.parameters(), *trainer.kept_critic.prior.critic.parameters()]
        return [one.detach().clone() for one in parameters]

    whole = train("whole")
    train("halves", stop=4)
    halves = train("halves", resume=True)
    for one, other in zip(whole, halves, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    (tmp_path / "halves/checkpoint-8" / CRITIC_FILE).unlink()
    train("halves", resume=True)
    assert "holds no critic: the training goes on with one that knows nothing yet" in caplog.text


TWO = """
import sys, torch
import torch.distributed as dist
from transformers import ViTConfig, ViTForImageClassification
from hf_canon import CanonicalizedModel
from hf_canon.objectives import AdversarialPrior
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=int(sys.argv[2]), world_size=2)
vit = ViTForImageClassification(ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=16))
model = CanonicalizedModel.wrap(vit, "c4", "orbit", {"resolution": 16, "width": 8}).train()
objective = AdversarialPrior(model, torch.rand(8, 3, 16, 16), width=4)
torch.manual_seed(int(sys.argv[2]))
for step in range(2):
    objective(model, torch.rand(4, 3, 16, 16))
print(sum(float(one.detach().double().sum()) for one in objective.critic.parameters()))
"""


def test_processes_share_one_critic(tmp_path: Path) -> None:
    """Each looks at its own inputs, and draws its own reference."""
    start = [sys.executable, "-c", TWO, str(tmp_path / "meet")]
    both = [Popen([*start, rank], stdout=PIPE, text=True) for rank in "01"]
    one, other = (process.communicate(timeout=120)[0].split() for process in both)
    assert one and one == other


class TestRefusals:
    def test_a_continuous_group(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="compares all elements of a group, and so2 has infinitely many"):
            AdversarialPrior(wrapped("so2", "shift"), scenes(4, seed=2))

    def test_no_reference(self) -> None:
        with pytest.raises(ValueError, match="no reference data, and nothing to look like"):
            AdversarialPrior(wrapped(), [])

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"reference_dataset": None}, "prior='reference' compares with data .* Give reference_dataset="),
            ({"prior": "identity"}, "prior='identity' looks at no reference data"),
            ({"realign_rounds": 2}, "prior='reference' goes by reference data"),
            ({"prior": "referense"}, "A prior is 'identity', 'predictor', 'reference' or one probability"),
        ],
    )
    def test_what_does_not_go_together(self, tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            trainer_for(tmp_path, **changes)
