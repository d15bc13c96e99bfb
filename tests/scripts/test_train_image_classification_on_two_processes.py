"""The training script on two processes: it learns what one process learns, from every image once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import ViTForImageClassification

pytestmark = pytest.mark.slow

RECORDED = Path(__file__).parent / "recorded_training.py"
LEVELS = sorted(range(40, 200, 10))
MODES = {
    "label-free": ["--gradient_accumulation_steps", "2"],
    "lora": ["--lora_rank", "2", "--task_weight", "1"],
    "end-to-end": ["--train_predictor", "--task_weight", "1"],
}

Outcomes = dict[str, list[dict[str, Any]]]


def start(processes: int, jobs: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    (folder / "jobs.json").write_text(json.dumps(jobs))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return subprocess.Popen(
        [sys.executable, *torchrun, str(RECORDED), str(folder / "jobs.json"), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, photos: Path, table: Path
) -> tuple[Outcomes, Outcomes]:
    """What one process and what two saw and learned, of every job; a list has an entry for each process."""

    def job(name: str, processes: int, *more: str, same_turns: bool = True, data: Path = photos) -> dict[str, Any]:
        words = ["--checkpoint", checkpoint, "--data", data, "--group", "c4", "--canonicalizer", "shift"]
        # Plain gradient descent: Adam would make a difference in the last bit of a small gradient into a step.
        words += ["--max_steps", 4, "--optim", "sgd", "--learning_rate", 0.05, "--save_strategy", "no"]
        words += ["--per_device_train_batch_size", 4 // processes, "--output_dir", folders[processes] / name]
        words += ["--report_to", "none", "--use_cpu", "--ddp_backend", "gloo", "--disable_tqdm", "True"]
        return {"words": [*map(str, words), *more], "same_turns": same_turns}

    folders = {processes: tmp_path_factory.mktemp(f"processes-{processes}") for processes in (1, 2)}
    jobs = {processes: {name: job(name, processes, *more) for name, more in MODES.items()} for processes in folders}
    best = ["--eval_strategy", "steps", "--eval_steps", "1", "--save_strategy", "steps", "--save_steps", "1"]
    best += ["--load_best_model_at_end", "--metric_for_best_model", "loss", "--validation_share", "0.25"]
    jobs[2] |= {
        "stream": job("stream", 2, "--streaming", "--max_steps", "8", data=table),
        "own-turns": job("own-turns", 2, "--max_steps", "8", same_turns=False),
        "best": job("best", 2, *best, "--learning_rate", "10", same_turns=False),
    }
    running = {processes: start(processes, jobs[processes], folders[processes]) for processes in folders}
    for process in running.values():
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output

    def read(processes: int) -> Outcomes:
        files = {
            name: [folders[processes] / f"{name}-{rank}.pt" for rank in range(processes)] for name in jobs[processes]
        }
        return {name: [torch.load(file) for file in each] for name, each in files.items()}

    return read(1), read(2)


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_learn_what_one_learns(outcomes: tuple[Outcomes, Outcomes], mode: str) -> None:
    (one,), (first, second) = (each[mode] for each in outcomes)
    pairs = zip(first["seen"], second["seen"], strict=True)
    assert [a + b for a, b in pairs] == one["seen"]  # the same global batches
    mean = torch.tensor([first["losses"], second["losses"]]).mean(0)
    torch.testing.assert_close(mean, torch.tensor(one["losses"]), rtol=1e-5, atol=1e-6)
    # Both processes hold the same weights, to the bit, and one process the same up to rounding.
    assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())
    for name, value in one["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-4, atol=1e-6)


def test_every_mode_trains_what_it_says(outcomes: tuple[Outcomes, Outcomes], checkpoint: Path) -> None:
    before = ViTForImageClassification.from_pretrained(checkpoint).state_dict()
    for mode in MODES:
        after = {name.replace(".base_layer", ""): value for name, value in outcomes[1][mode][0]["weights"].items()}
        changed = [name for name, value in before.items() if not torch.equal(after[f"predictor.{name}"], value)]
        assert bool(changed) == (mode == "end-to-end"), mode
    lora = outcomes[1]["lora"][0]["weights"]
    # LoRA starts with B at zero.
    assert all(value.abs().sum() > 0 for name, value in lora.items() if "lora_B" in name)


@pytest.mark.parametrize("job", ["stream", "own-turns"])
def test_every_image_is_seen_once_an_epoch(outcomes: tuple[Outcomes, Outcomes], job: str) -> None:
    first, second = (process["seen"] for process in outcomes[1][job])
    batches = [a + b for a, b in zip(first, second, strict=True)]
    epochs = [sum(batches[:4], []), sum(batches[4:], [])]
    assert [sorted(epoch) for epoch in epochs] == [LEVELS, LEVELS]
    assert epochs[0] != epochs[1] and LEVELS not in epochs  # shuffled, and anew


def test_processes_draw_turns_of_their_own(outcomes: tuple[Outcomes, Outcomes]) -> None:
    first, second = (process["turns"] for process in outcomes[1]["own-turns"])
    assert first != second


def test_the_best_is_loaded_by_every_process(outcomes: tuple[Outcomes, Outcomes]) -> None:
    """Steps this large make it worse at once, so that the best is not the last."""
    first, second = outcomes[1]["best"]
    assert first["best"] == second["best"] and not first["best"].endswith("checkpoint-4")
    for name, value in load_file(f"{first['best']}/model.safetensors").items():
        assert torch.equal(first["weights"][name], value) and torch.equal(second["weights"][name], value)
