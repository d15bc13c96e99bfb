"""Runs trainings one after the other and writes what this process saw and what came out.

torchrun --nproc_per_node 2 tests/scripts/recorded_training.py jobs.json output/

`jobs.json` holds `{name: {"words": [...], "same_turns": bool}}`. For every name, `output/name-RANK.pt` holds `seen`,
the brightness of every image by batch; `turns`, the elements drawn by batch; `losses`, by batch; `weights`; and
`best`, the best checkpoint.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import datasets
import torch
import train_image_classification
from torch import Tensor

from hf_canon import CanonicalizationTrainer
from hf_canon.groups import FinitePlanar

datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0  # it waits for seconds after every epoch of a shuffled stream


def levels(pixel_values: Tensor) -> Tensor:
    """How bright each image is on average, which tells the images of the tests apart."""
    return ((pixel_values.double().mean((1, 2, 3)) * 0.5 + 0.5) * 255).round().long()


@contextmanager
def recording(same_turns: bool) -> Iterator[dict[str, Any]]:
    """Record training batches; with `same_turns`, an image is turned the same way whoever sees it, and when."""
    record: dict[str, Any] = {"seen": [], "turns": [], "losses": []}
    random_act, compute_loss = FinitePlanar.random_act, CanonicalizationTrainer.compute_loss

    def recorded_act(
        group: Any, x: Tensor, generator: Any = None, lengths: None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if generator is not None:  # an evaluation
            return random_act(group, x, generator)
        if same_turns:
            element = levels(x) // 10 % group.order
            transformed, offset = group.act(x, element), torch.zeros(len(x))
        else:
            transformed, element, offset = random_act(group, x)
        record["turns"].append(element.tolist())
        return transformed, element, offset

    def recorded_loss(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        record["seen"].append(levels(inputs["pixel_values"]).tolist())
        loss = compute_loss(self, model, inputs, *args, **kwargs)
        record["losses"].append(float(loss))
        return loss

    with (
        mock.patch.object(FinitePlanar, "random_act", recorded_act),
        mock.patch.object(CanonicalizationTrainer, "compute_loss", recorded_loss),
    ):
        yield record


def main(jobs: Path, output: Path) -> None:
    for name, job in json.loads(jobs.read_text()).items():
        with recording(job["same_turns"]) as record:
            trainer = train_image_classification.main(job["words"])
        weights = {key: value.clone() for key, value in trainer.model.state_dict().items()}
        record["best"] = trainer.state.best_model_checkpoint
        torch.save({**record, "weights": weights}, output / f"{name}-{trainer.args.process_index}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
