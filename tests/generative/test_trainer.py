"""Trainings of a generator: resumed, in mixed precision, on two processes, and ended when they go wrong."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor, nn

from hf_canon import get_group
from hf_canon.generative import (
    GANArguments,
    GANTrainer,
    GeneratorConfig,
    InvariantGenerator,
    SymmetrizedGenerator,
    critic_of,
    orbit_diversity,
    orbit_uniformity,
)
from hf_canon.generative.health import PATIENCE, Health, vital_signs
from hf_canon.groups import Images

SHAPE = (1, 8, 8)
C4 = get_group("c4")


def data(n: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    upright = 0.3 * torch.rand(n, *SHAPE, generator=generator) + torch.linspace(0, 0.7, 8)
    return C4.act(upright, C4.sample(n, generator))


def trainer(folder: Path, symmetry: str = "output", invariance: str = "orbit", **settings: Any) -> GANTrainer:
    torch.manual_seed(0)
    generator = InvariantGenerator(GeneratorConfig("c4", symmetry, SHAPE, latent_size=4, width=4))
    critic = critic_of(invariance, generator.group, SHAPE, 4)
    usual: dict[str, Any] = {"steps": 6, "batch_size": 8, "logging_steps": 2, "save_steps": 100, "sample_steps": 100}
    return GANTrainer(generator, critic, data(), GANArguments(str(folder), **{**usual, **settings}))


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")
    whole.train()
    first = trainer(tmp_path / "parts")
    first.args.steps = 3
    first.train()
    second = trainer(tmp_path / "parts")
    result = second.train(resume_from_checkpoint=True)
    assert result.steps == 6
    assert same(weights(second.generator), weights(whole.generator))
    assert same(weights(second.critic), weights(whole.critic))
    assert same(weights(second.average), weights(whole.average))
    assert not same(weights(second.average.module), weights(second.generator))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    rows = [[json.loads(line) for line in log.splitlines()] for log in logs]
    assert rows[0] == [row for row in rows[1] if row["step"] != 3]


def test_it_leaves_checkpoints_a_log_grids_and_a_generator_with_a_card(tmp_path: Path) -> None:
    trainer(tmp_path, sample_steps=3, save_steps=2).train()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "checkpoint-4",
        "checkpoint-6",
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "samples-3.png",
        "samples-6.png",
        "samples.png",
    ]
    for folder in (tmp_path, tmp_path / "checkpoint-4"):
        assert InvariantGenerator.from_pretrained(folder).sample(2).isfinite().all()
    with Image.open(tmp_path / "samples-6.png") as grid:
        assert len(grid.convert("L").getcolors() or range(999)) > 50
    card = (tmp_path / "README.md").read_text()
    assert "Learned from 40 samples" in card and "| critic | OrbitCritic |" in card and "| steps | 6 |" in card


def test_the_loss_goes_down_and_the_samples_come_near(tmp_path: Path) -> None:
    one = trainer(
        tmp_path, steps=100, generator_learning_rate=2e-3, critic_learning_rate=4e-3, ema_decay=0.9, logging_steps=20
    )
    before = one.generator.sample(200)
    result = one.train()
    after = one.average.module.sample(200)
    real = data(200)
    distances = [float(torch.cdist(x.flatten(1), real.flatten(1)).amin(0).mean()) for x in (before, after)]
    assert distances[1] < 0.7 * distances[0]
    assert result.log[-1]["diversity"] > 0.9 and result.trouble is None


@pytest.mark.parametrize(("precision", "computed"), [("bf16", torch.bfloat16), ("no", torch.float32)])
def test_mixed_precision(tmp_path: Path, precision: str, computed: torch.dtype) -> None:
    one = trainer(tmp_path, mixed_precision=precision)
    seen: dict[str, set[torch.dtype]] = {"generator": set(), "critic": set()}
    for name, module in (("generator", one.generator), ("critic", one.critic)):
        convolution = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
        convolution.register_forward_hook(lambda module, args, out, name=name: seen[name].add(out.dtype))
    result = one.train()
    assert result.steps == 6 and result.trouble is None
    assert computed in seen["generator"] and computed in seen["critic"]
    assert InvariantGenerator.from_pretrained(tmp_path).dtype == torch.float32


@pytest.mark.covering("divergence", "symmetry", "invariance")
@pytest.mark.parametrize("divergence", ["lipschitz", "wasserstein", "relativistic"])
@pytest.mark.parametrize(("symmetry", "invariance"), [("features", "convolution"), ("none", "none")])
def test_every_divergence_trains_both(tmp_path: Path, divergence: str, symmetry: str, invariance: str) -> None:
    one = trainer(tmp_path, symmetry, invariance, divergence=divergence, steps=2)
    before = weights(one.generator), weights(one.critic)
    one.train()
    after = weights(one.generator), weights(one.critic)
    assert all(not same(was, now) for was, now in zip(before, after, strict=True))


class Sabotaged(nn.Module):
    """Becomes nan after so many calls."""

    def __init__(self, module: nn.Module, calls: int):
        super().__init__()
        self.module, self.calls = module, calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= 1
        return self.module(x) * (float("nan") if self.calls < 0 else 1.0)


@pytest.mark.parametrize(("calls", "what"), [(17, "the critic's loss"), (19, "the generator's loss")])
def test_what_is_not_finite_ends_it_before_it_does_harm(tmp_path: Path, calls: int, what: str) -> None:
    """Of a step the critic is called twice for each of its two updates, and twice for the generator's; thrice before
    the first step, to see whether it is blind to poses."""
    generator = InvariantGenerator(GeneratorConfig("c4", "output", SHAPE, latent_size=4, width=4))
    critic = Sabotaged(critic_of("orbit", C4, SHAPE, 4), calls)
    args = GANArguments(str(tmp_path), steps=9, batch_size=8)
    result = GANTrainer(generator, critic, data(), args).train()
    assert result.trouble == "non-finite" and result.steps == 2
    assert result.sentence is not None
    assert result.sentence.startswith(f"The training stopped at step 3, because {what}")
    assert all(one.isfinite().all() for one in (*generator.parameters(), *critic.parameters()))
    assert InvariantGenerator.from_pretrained(tmp_path / "checkpoint-2").sample(4).isfinite().all()
    again = GANTrainer(
        InvariantGenerator(generator.config), Sabotaged(critic_of("orbit", C4, SHAPE, 4), 999), data(), args
    )
    assert again.train(resume_from_checkpoint=True).steps == 9


def test_a_good_checkpoint_is_not_replaced_after_a_fault(tmp_path: Path) -> None:
    generator = InvariantGenerator(GeneratorConfig("c4", "output", SHAPE, latent_size=4, width=4))
    critic = Sabotaged(critic_of("orbit", C4, SHAPE, 4), 19)
    args = GANArguments(str(tmp_path), steps=9, batch_size=8, save_steps=2)
    one = GANTrainer(generator, critic, data(), args)
    saved: list[dict[str, Tensor]] = []
    save = one.save_checkpoint

    def watched(trouble: str | None = None) -> None:
        save(trouble)
        saved.append(weights(one.critic))

    one.save_checkpoint = watched  # type: ignore[method-assign]
    assert one.train().trouble == "non-finite"
    assert len(saved) == 1 and not same(saved[0], weights(one.critic))  # it has had updates of the third step


def test_an_invariant_critic_with_a_plain_generator_collapses_and_says_so(tmp_path: Path) -> None:
    one = trainer(tmp_path, "none", "orbit", steps=200, logging_steps=5)
    result = one.train()
    assert result.trouble == "collapse" and result.steps < 200
    assert result.sentence is not None
    assert "the critic cannot see poses, so symmetrize the generator too" in result.sentence
    assert "should have 100 %" in result.sentence
    assert InvariantGenerator.from_pretrained(tmp_path).config.training["trouble"] == result.sentence
    assert "| stopped | The training shows collapse" in (tmp_path / "README.md").read_text()


@pytest.mark.slow
def test_a_plain_critic_asks_for_the_poses_of_the_data_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = InvariantGenerator(GeneratorConfig("c4", "none", SHAPE, latent_size=4, width=4))
    upright = 0.3 * torch.rand(40, *SHAPE) + torch.linspace(0, 0.7, 8)
    args = GANArguments(str(tmp_path), steps=100, batch_size=16, logging_steps=10, generator_learning_rate=2e-3)
    result = GANTrainer(generator, critic_of("none", C4, SHAPE, 4), upright, args).train()
    assert result.log[-1]["diversity_of_data"] < 0.6 and result.trouble is None


def test_a_critic_that_nothing_holds_diverges_and_says_so(tmp_path: Path) -> None:
    one = trainer(
        tmp_path, divergence="wasserstein", penalty=0.0, critic_learning_rate=0.05, steps=200, logging_steps=5
    )
    result = one.train()
    assert result.trouble == "divergence" and result.steps < 200
    assert result.sentence is not None and "no longer held by its penalty" in result.sentence


def test_one_sample_in_all_poses_is_a_collapse(tmp_path: Path) -> None:
    """Of which plain distances between samples see nothing."""
    real, one = data(64), data(1).expand(64, *SHAPE)
    turned = C4.act(one, C4.sample(64))
    spread = [vital_signs(real, fake, torch.zeros(()), C4)[2] for fake in (real.flip(0), turned)]
    assert spread[0] == pytest.approx(1.0, abs=0.01) and spread[1] < 0.02
    health = Health(steps=100, invariant=True)
    found = [health(50 + step, vital_signs(real, turned, torch.zeros(()), C4)) for step in range(5)]
    assert found[:4] == [None] * 4 and found[4] is not None
    assert found[4][0] == "collapse" and "the samples differ by" in found[4][1]


@pytest.mark.parametrize("group", ["c4", "c8", "d4*channels", "c36*hue12", "gain", "gamma", "hue12", "so2"])
def test_distributions_that_are_invariant_raise_no_alarm(group: str) -> None:
    known = get_group(group)
    audio = group == "gain"
    known = known if audio else known.on(Images((1.0,) * 3, (0.0,) * 3))
    x = 0.1 * torch.randn(200, 96) if audio else torch.rand(200, 3, 8, 8)
    turned = [known.act(x, known.sample(200)) for _ in range(2)]
    signs = vital_signs(*turned, torch.zeros(()), known)
    health = Health(steps=100, invariant=True)
    assert [health(50 + step, signs) for step in range(6)] == [None] * 6
    assert signs[3] > 0.85


def test_samples_that_look_the_same_in_every_pose_are_in_all_of_them() -> None:
    grey = torch.rand(400, 1, 1, 1).expand(400, 1, 8, 8)
    mirrored = torch.rand(400, 1, 8, 8)
    mirrored = mirrored + mirrored.flip(-1)
    d4 = get_group("d4")
    for samples in (grey, d4.act(mirrored, d4.sample(400))):
        assert orbit_diversity(samples, d4) > 0.9 and orbit_uniformity(samples, d4) > 1e-3


@pytest.mark.covering()
@pytest.mark.parametrize("group", ["c4", "d4", "c8", "hue12"])
def test_the_test_of_uniformity_keeps_its_level(group: str) -> None:
    known = get_group(group).on(Images((1.0,) * 3, (0.0,) * 3))
    p = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(200, 3, 10, 10, generator=generator) + torch.linspace(0, 1, 10)
        p.append(orbit_uniformity(known.act(x / 2, known.sample(200, generator)), known))
    assert sum(one < 0.05 for one in p) <= 9  # of 60; 3 are to be expected, and more come in one of 400 cases


@pytest.mark.parametrize("group", ["c8", "d6", "c36*hue12"])
def test_resampling_does_not_make_a_critic_see(tmp_path: Path, group: str) -> None:
    shape = (3, 16, 16)
    generator = InvariantGenerator(GeneratorConfig(group, "none", shape, latent_size=4, width=4))
    for invariance in ("orbit", "none"):
        critic = critic_of(invariance, generator.group, shape, 4)
        one = GANTrainer(generator, critic, torch.rand(40, *shape), GANArguments(str(tmp_path)))
        assert one._blind_to_poses() is (invariance == "orbit")


def test_a_critic_is_asked_whether_it_sees_poses(tmp_path: Path) -> None:
    for invariance, blind in (("orbit", True), ("convolution", True), ("none", False)):
        one = trainer(tmp_path, invariance=invariance)
        assert one._blind_to_poses() is blind
    wrapped = nn.Sequential(critic_of("orbit", C4, SHAPE, 4))
    generator = InvariantGenerator(GeneratorConfig("d4", "output", SHAPE, latent_size=4, width=4))
    assert not GANTrainer(generator, wrapped, data(), GANArguments(str(tmp_path)))._blind_to_poses()


def test_any_module_is_trained_if_a_group_is_known(tmp_path: Path) -> None:
    base = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, SHAPE))
    generator = SymmetrizedGenerator(base, C4, 4)
    args = GANArguments(str(tmp_path), steps=2, batch_size=8)
    one = GANTrainer(generator, critic_of("orbit", C4, SHAPE, 4), data(), args)
    assert one.train().steps == 2
    assert (tmp_path / "model.safetensors").is_file()
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "vit"}')
    (other / "model.safetensors").write_text("its weights")
    with pytest.raises(ValueError, match="holds a vit checkpoint, which a generator would overwrite"):
        one.save_model(other)
    with pytest.raises(ValueError, match="holds a vit checkpoint, which a generator would overwrite"):
        GANTrainer(generator, critic_of("orbit", C4, SHAPE, 4), data(), replace(args, output_dir=str(other)))
    assert (other / "model.safetensors").read_text() == "its weights"


def test_clips(tmp_path: Path) -> None:
    generator = InvariantGenerator(GeneratorConfig("reverse*polarity", "output", (256,), latent_size=4, width=4))
    clips = Dataset.from_dict({"audio": [(2 * torch.rand(200 + 20 * i) - 1).tolist() for i in range(6)]})
    critic = critic_of("orbit", generator.group, (256,), 4)
    args = GANArguments(str(tmp_path), steps=2, batch_size=4, sample_steps=1)
    assert GANTrainer(generator, critic, clips, args).train().steps == 2
    assert (tmp_path / "samples-2.png").is_file()


def test_images_of_a_data_set_are_fitted(tmp_path: Path) -> None:
    images = [Image.new("RGB", (30 + i, 20), (40 * i, 0, 0)) for i in range(6)]
    generator = InvariantGenerator(GeneratorConfig("d4", "output", (3, 12, 12), latent_size=4, width=4))
    critic = critic_of("orbit", generator.group, (3, 12, 12), 4)
    args = GANArguments(str(tmp_path), steps=1, batch_size=4)
    one = GANTrainer(generator, critic, Dataset.from_dict({"image": images}), args)
    assert one.samples[3].shape == (3, 12, 12)
    assert torch.allclose(one.samples[3][0], torch.tensor(120 / 255), atol=1e-3)
    one.train()
    assert "Learned from 6 samples" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (torch.rand(5, 1, 9, 9), r"is \(1, 9, 9\), and the generator makes \(1, 8, 8\). Give GeneratorConfig\(shape"),
        (torch.rand(5, 8, 8), r"Sample 0 is \(8, 8\), .* with x.unsqueeze\(1\)"),
        (torch.rand(5, 8, 8, 3), r"Sample 0 is \(8, 8, 3\), .* with x.permute\(0, 3, 1, 2\)"),
        (torch.full((5, *SHAPE), float("nan")), "Sample 0 holds numbers that are not finite"),
        (torch.rand(1, *SHAPE), "A distribution cannot be learned from 1 samples"),
        (iter([{"pixel_values": torch.rand(SHAPE)}]), "a data set with a length, and this is a list_iterator"),
        ({"pixel_values": torch.rand(5, *SHAPE)}, "and this is a dict"),
        (torch.randint(256, (5, *SHAPE), dtype=torch.uint8), "images are learned from 0 to 1"),
        (2 * torch.rand(5, *SHAPE) - 1, "undo their normalization"),
        ([(torch.rand(SHAPE), 1)] * 3, "An item of the data set is a tuple"),
        ([{"image": Image.new("I;16", (8, 8))}] * 3, "of mode 'I;16', and images"),
        ([{"audio": [0.0]}] * 3, "There is no image among the columns 'audio'"),
    ],
)
def test_wrong_data_are_refused(tmp_path: Path, given: Any, sentence: str) -> None:
    generator = InvariantGenerator(GeneratorConfig("c4", "output", SHAPE, latent_size=4, width=4))
    with pytest.raises(ValueError, match=sentence):
        GANTrainer(generator, critic_of("orbit", C4, SHAPE, 4), given, GANArguments(str(tmp_path)))


def test_a_folder_with_checkpoints_is_not_trained_into_anew(tmp_path: Path) -> None:
    trainer(tmp_path).train()
    one = trainer(tmp_path)
    with pytest.raises(ValueError, match="holds checkpoints of a training. Go on with"):
        one.train()
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 3
    assert trainer(tmp_path, steps=8).train(resume_from_checkpoint=True).steps == 8
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [2, 4, 6, 8]


def test_a_training_goes_on_from_the_branch_that_was_written_last(tmp_path: Path) -> None:
    trainer(tmp_path, steps=8, save_steps=4).train()
    trainer(tmp_path, steps=6, generator_learning_rate=1e-3).train(resume_from_checkpoint=tmp_path / "checkpoint-4")
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]
    one = trainer(tmp_path, steps=8)
    assert one.train(resume_from_checkpoint=True).steps == 8
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [2, 4, 6, 8]


@pytest.mark.slow
def test_checkpoints_of_another_training_are_left(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trainer(tmp_path / name).train()
    with pytest.raises(ValueError, match="holds checkpoints of another training than"):
        trainer(tmp_path / "a", steps=9).train(resume_from_checkpoint=tmp_path / "b/checkpoint-6")
    assert (tmp_path / "a/checkpoint-6").is_dir()
    assert trainer(tmp_path / "c", steps=9).train(resume_from_checkpoint=tmp_path / "b/checkpoint-6").steps == 9


def test_other_networks_cannot_be_resumed(tmp_path: Path) -> None:
    trainer(tmp_path).train()
    generator = InvariantGenerator(GeneratorConfig("c4", "output", SHAPE, latent_size=4, width=8))
    one = GANTrainer(generator, critic_of("orbit", C4, SHAPE, 4), data(), GANArguments(str(tmp_path), steps=9))
    with pytest.raises(ValueError, match="is of another generator or critic than these"):
        one.train(resume_from_checkpoint=True)


@pytest.mark.slow
def test_interruptions_do_not_hide_a_collapse(tmp_path: Path) -> None:
    def collapsing(name: str) -> GANTrainer:
        return trainer(tmp_path / name, "none", "orbit", steps=200, logging_steps=5, save_steps=10)

    def killed_after_each(one: GANTrainer) -> GANTrainer:
        save = one.save_checkpoint

        def save_and_die(trouble: str | None = None) -> None:
            save(trouble)
            if trouble is None:
                raise InterruptedError

        one.save_checkpoint = save_and_die  # type: ignore[method-assign]
        return one

    whole = collapsing("whole").train()
    assert whole.trouble == "collapse" and whole.steps > 40
    for part in range(whole.steps // 10):  # of two looks each, and five have to be bad
        with pytest.raises(InterruptedError):
            killed_after_each(collapsing("parts")).train(resume_from_checkpoint=part > 0)
    last = collapsing("parts").train(resume_from_checkpoint=True)
    assert (last.trouble, last.steps, last.sentence) == (whole.trouble, whole.steps, whole.sentence)
    again = collapsing("parts").train(resume_from_checkpoint=True)  # and is given as long again
    assert again.trouble == "collapse" and again.steps == last.steps + PATIENCE * 5


def test_other_learning_rates_are_taken_when_it_is_resumed(tmp_path: Path) -> None:
    trainer(tmp_path).train()
    one = trainer(tmp_path, steps=7, generator_learning_rate=1e-9, critic_learning_rate=0.5)
    before = weights(one.generator)
    one.train(resume_from_checkpoint=True)
    assert [o.param_groups[0]["lr"] for o in one._optimizers] == [1e-9, 0.5]
    assert one.average.module.config.training["arguments"]["critic_learning_rate"] == 0.5
    assert not same(before, weights(one.generator))  # which is that of the checkpoint


def test_the_average_forgets_the_first_weights(tmp_path: Path) -> None:
    one = trainer(tmp_path, steps=60, generator_learning_rate=1e-2, logging_steps=100)
    first = weights(one.generator)
    one.train()
    transformed, left = (
        sum(float((a[name] - b[name]).square().sum()) for name in first) ** 0.5
        for a, b in (
            (weights(one.average.module), first),
            (weights(one.average.module), weights(one.generator)),
        )
    )
    assert left < transformed


def test_another_checkpoint_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="holds a vit checkpoint, which a generator would overwrite"):
        trainer(tmp_path)


def test_there_has_to_be_something_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no checkpoint in"):
        trainer(tmp_path).train(resume_from_checkpoint=True)
    with pytest.raises(ValueError, match="holds no state of a training"):
        trainer(tmp_path).train(resume_from_checkpoint=tmp_path)


TWO = """
import sys
sys.path.insert(0, sys.argv[2])
import torch
from pathlib import Path
from generative.test_trainer import trainer, weights
one = trainer(Path(sys.argv[1]), symmetry="features", invariance="convolution")
one.train()
torch.save((weights(one.generator), weights(one.critic)), f"{sys.argv[1]}/rank-{one.accelerator.process_index}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_one_generator(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    tests = str(Path(__file__).parent.parent)
    words, env = [*launch, str(script), str(tmp_path / "out"), tests], {**os.environ, "ACCELERATE_USE_CPU": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    (generator, critic), (other, its_critic) = (torch.load(tmp_path / f"out/rank-{i}.pt") for i in range(2))
    assert same(generator, other) and same(critic, its_critic)
    alone = trainer(tmp_path / "alone", symmetry="features", invariance="convolution")
    alone.train()
    assert not same(weights(alone.generator), generator)  # it has seen half as much
    assert InvariantGenerator.from_pretrained(tmp_path / "out").sample(2).isfinite().all()
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] != []
