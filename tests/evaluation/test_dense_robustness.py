"""Maps, boxes and keypoints: answers that transform with the image, and have a score between right and wrong."""

import math
from typing import Any

import pytest
import torch
from architectures.test_places import SEEING, SIDE, bright, predictor
from evaluation.conftest import SaysAlways
from images import images
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from hf_canon import CanonicalizedModel, RobustnessReport, evaluate_robustness, get_group
from hf_canon.evaluation import plot_report
from hf_canon.evaluation.metrics import Boxes, Depth, Maps, Place, f1, measure_for, same
from hf_canon.evaluation.transforms import Rotation


class Told(SaysAlways):
    """Reads which element happened from a mark in the first pixel of the four corners: the one that is brightest."""

    name = "told"

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        members = self.group.orbit(x, self.group.inverse(self.group.elements))
        return 100 * members[:, :, 0, 0, 1] + members[:, :, 0, 0, 2]


@pytest.fixture
def x() -> Tensor:
    """With a bright thing of another place and size in each, and a mark that no mirror or turn leaves where it is."""
    x = images(5, SIDE).clamp(-2, 2)
    for i, image in enumerate(x):
        image[:, 5 + i : 9 + 2 * i, 3 : 9 + i] = 9.0
        image[:, 5 + i, 4] = 10.0
        image[0, 0, 1], image[0, 0, 2] = 4.0, 3.0
    return x


def sure(kind: str, found: Any) -> Any:
    """The answer of a predictor that has no doubt; of one with masks, that the rest is of another class."""
    if kind == "boxes":
        found.logits = torch.tensor([9.0, 0.0, 0.0]).expand_as(found.logits).clone()
    if kind == "masks":
        found.pred_masks = 20 * torch.cat([found.pred_masks, 1 - found.pred_masks], 1) - 10
        found.logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]).expand(len(found.logits), 2, 3).clone()
    return found


def confident(kind: str) -> Any:
    def forward(self: Any, pixel_values: Tensor, **kwargs: Any) -> Any:
        return sure(kind, SEEING[kind][2](self, pixel_values, **kwargs))

    made = predictor(kind, forward)
    made.config.num_labels = 2
    return made


def skewed(kind: str) -> Any:
    """The same, blind to what is in the left third of an image: no pose looks like another."""

    def forward(self: Any, pixel_values: Tensor, **kwargs: Any) -> Any:
        seen = pixel_values.clone()
        seen[..., : SIDE // 3] = 0
        seen[..., 1, -2] = 9.5
        return sure(kind, SEEING[kind][2](self, seen, **kwargs))

    made = predictor(kind, forward)
    made.config.num_labels = 2
    return made


def items(x: Tensor) -> list[dict[str, Any]]:
    return [{"pixel_values": image} for image in x]


@pytest.mark.parametrize("kind", SEEING)
def test_a_predictor_that_turns_with_the_image_scores_one_everywhere(kind: str, x: Tensor) -> None:
    model = CanonicalizedModel.wrap(confident(kind), group="d4", canonicalizer=SaysAlways(get_group("d4"), 0))
    report = evaluate_robustness(model, items(x), "d4", batch_size=2)
    assert set(report.upright.scores) == {"before", "after", "oracle"}
    assert all(score.agreement == 1 for row in report.sets["d4"].transforms for score in row.scores.values())


@pytest.mark.parametrize("kind", SEEING)
def test_the_oracle_and_whoever_finds_the_pose_agree_wholly(kind: str, x: Tensor) -> None:
    model = CanonicalizedModel.wrap(skewed(kind), group="d4", canonicalizer=Told(get_group("d4"), 0))
    report = evaluate_robustness(model, items(x), "d4", batch_size=2)
    found = report.sets["d4"]
    assert found.pose_accuracy == 1
    assert found.worst["oracle"].agreement == 1 and found.worst["after"].agreement == 1
    assert found.before < 1 and found.gain.value == pytest.approx(100 * (1 - found.before))
    assert found.right_to_wrong == 0 and (found.wrong_to_right > 0 or kind == "depth")  # most of it is far away
    assert report.upright_tax.value == 0


@pytest.mark.parametrize("kind", SEEING)
def test_a_canonicalizer_that_does_nothing_changes_nothing(kind: str, x: Tensor) -> None:
    model = CanonicalizedModel.wrap(skewed(kind), group="c4", canonicalizer=SaysAlways(get_group("c4"), 0))
    report = evaluate_robustness(model, items(x), ["d4", 30], baselines=False)
    for found in report.sets.values():
        assert all(row.before == row.after for row in found.transforms)
        assert (found.gain.value, found.right_to_wrong, found.wrong_to_right) == (0, 0, 0)
    assert report.upright.before.agreement == 1


def test_maps_are_compared_with_labels_that_turn_along(x: Tensor) -> None:
    labels = 1 - bright(x).long()  # what the predictor says, to the last place
    data = [{"pixel_values": one, "labels": label} for one, label in zip(x, labels, strict=True)]
    model = CanonicalizedModel.wrap(confident("maps"), group="d4", canonicalizer=SaysAlways(get_group("d4"), 3))
    report = evaluate_robustness(model, data, "d4")
    assert report.labelled and report.upright.after.accuracy == 1
    assert all(row.after.accuracy == 1 for row in report.sets["d4"].transforms)
    wrong = [{**item, "labels": 1 - item["labels"]} for item in data]
    assert evaluate_robustness(model, wrong, "d4").sets["d4"].after == 0
    finished = [{"pixel_values": x, "labels": labels}]
    assert evaluate_robustness(model, finished, "d4").sets == report.sets


def test_what_a_turn_brings_into_the_corners_does_not_count(x: Tensor) -> None:
    place = Place(Rotation(45).steps, (SIDE, SIDE))
    inside = place.inside(SIDE, SIDE)
    middle = torch.arange(SIDE) - (SIDE - 1) / 2
    diamond = middle.abs()[:, None] + middle.abs() <= SIDE / math.sqrt(2)
    assert torch.equal(inside, diamond)
    assert Place(Rotation(90, True).steps, (SIDE, SIDE)).inside(5, 7).all()


def test_mean_iou_by_hand() -> None:
    """Class 0: 3 of 5 places; class 1: 1 of 3; class 2 is nowhere expected; one place is ignored."""
    wanted = torch.tensor([[[0, 0, 0, 0], [1, 1, 255, 0]]])
    found = torch.tensor([[[0, 0, 0, 2], [1, 0, 1, 2]]])
    logits = torch.nn.functional.one_hot(found, 3).permute(0, 3, 1, 2).float()
    score = Maps().accuracy({"logits": logits}, wanted, Place([], (2, 4)))
    assert score.tolist() == pytest.approx([(3 / 6 + 1 / 2) / 2])


def test_depth_by_hand() -> None:
    wanted = torch.tensor([[[1.0, 2.0], [4.0, 0.0]]])
    found = torch.tensor([[[1.2, 2.6], [3.3, 0.0]]])
    place = Place([], (2, 2))
    answer, expected = {"predicted_depth": found}, {"predicted_depth": wanted}
    assert Depth().agreement(answer, expected, place).item() == 0.75
    # Labels of 0 are unknown, and a common factor is nobody's fault: 1.2 / 2.6 * 2 is 0.92, 3.3 is 2.54.
    assert Depth().accuracy({"predicted_depth": 7 * found}, wanted, place).item() == pytest.approx(2 / 3)


def test_boxes_by_hand() -> None:
    here = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.2, 0.2, 0.1, 0.1], [1.2, 0.5, 0.5, 0.5]])
    classes = torch.tensor([0, 1, 0])
    logits = torch.tensor([[[9.0, 0, 0], [9.0, 0, 0], [0, 0, 9.0]]])
    answer = {"logits": logits, "pred_boxes": here.roll(1, 1)[None]}
    answer["pred_boxes"] = torch.tensor([[[0.52, 0.5, 0.2, 0.2], [0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.1, 0.1]]])
    label = {"class_labels": classes, "boxes": here}
    # One of two is found, one of two is of the wrong class; one is nothing, and one has left the image.
    assert Boxes(2).accuracy(answer, [label], Place([], (9, 9))).tolist() == [0.5]
    assert Boxes(2).agreement(answer, answer, Place([], (9, 9))).tolist() == [1.0]
    none = {**answer, "logits": -answer["logits"] * torch.tensor([1.0, 1.0, -9.0]) + torch.tensor([0, 0, 99.0])}
    assert Boxes(2).agreement(none, none, Place([], (9, 9))).tolist() == [1.0]
    assert Boxes(2).agreement(none, answer, Place([], (9, 9))).tolist() == [0.0]
    transformed = (classes, torch.tensor([[0.61, 0.5, 0.2, 0.2], [0.2, 0.2, 0.1, 0.1], [1.2, 0.5, 0.5, 0.5]]))
    assert (same((classes, here), transformed) > 0).tolist() == [
        [False] * 3,
        [False, True, False],
        [False, False, True],
    ]


def test_things_are_matched_one_to_one_the_most_alike_first() -> None:
    alike = torch.tensor([[0.9, 0.8], [0.7, -1.0]])
    assert f1(alike) == pytest.approx(2 / 4)  # the pair of 0.9 leaves nothing for the others
    assert f1(torch.zeros(0, 0)) == 1 and f1(torch.zeros(0, 3)) == 0


def test_boxes_are_compared_with_labels_that_turn_along(x: Tensor) -> None:
    seeing = confident("boxes")
    boxes = seeing(pixel_values=x).pred_boxes
    data = [
        {"pixel_values": one, "labels": {"class_labels": torch.tensor([0]), "boxes": box}}
        for one, box in zip(x, boxes, strict=True)
    ]
    model = CanonicalizedModel.wrap(seeing, group="d4", canonicalizer=SaysAlways(get_group("d4"), 6))
    report = evaluate_robustness(model, data, "d4", batch_size=3)
    assert report.labelled and all(row.after.accuracy == 1 for row in report.sets["d4"].transforms)


def test_a_report_of_maps_survives_a_file_and_says_what_it_counts(x: Tensor, tmp_path: Any) -> None:
    model = CanonicalizedModel.wrap(skewed("maps"), group="c8", canonicalizer="shift")
    report = evaluate_robustness(model, items(x), ["c8", 10])
    report.save(tmp_path / "report.json")
    assert RobustnessReport.load(tmp_path / "report.json") == report
    text = str(report)
    assert "mean IoU with the untouched model's upright answers in %" in text
    assert "gain over 10 points" in text and "right -> wrong" not in text and "orbit" not in text
    assert max(map(len, text.splitlines())) <= 100
    plot_report(report, model, x[:1], tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_a_class_beside_a_image_is_no_map(x: Tensor) -> None:
    model = CanonicalizedModel.wrap(confident("maps"), group="c4", canonicalizer="shift")
    assert not evaluate_robustness(model, [{**item, "label": 1} for item in items(x)], "c4").labelled


def test_tasks_without_a_score_are_refused_in_a_sentence() -> None:
    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = CLIPConfig(
        text_config={**tiny, "vocab_size": 9}, vision_config={**tiny, "image_size": 8, "patch_size": 4}
    )
    model = CanonicalizedModel.wrap(CLIPModel(config), group="c4", canonicalizer="shift")
    with pytest.raises(ValueError, match="this is a model for zero-shot-image-classification"):
        measure_for(model)
