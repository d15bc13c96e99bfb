"""Answers land in the right place: predictors that see where something is, whichever way the image is turned.

They answer alike for every pose by themselves, so the answer through a canonicalizer has to be their own, and not
merely one that turns with the image somehow.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import dense
from images import images
from PIL import Image
from torch import Tensor
from transformers import (
    DetrConfig,
    DetrForSegmentation,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessorPil,
    PreTrainedModel,
    ResNetConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
    SuperPointConfig,
    SuperPointForKeypointDetection,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessorPil,
    pipeline,
)
from transformers.modeling_outputs import DepthEstimatorOutput, SemanticSegmenterOutput
from transformers.models.detr.modeling_detr import DetrSegmentationOutput
from transformers.models.superpoint.modeling_superpoint import SuperPointKeypointDescriptionOutput
from transformers.models.yolos.modeling_yolos import YolosObjectDetectionOutput

from hf_canon import CanonicalizedModel

SIDE = 24


def bright(x: Tensor) -> Tensor:
    """Where the mark is, `(batch, height, width)`."""
    return x[:, 0] > 5


def box_of(x: Tensor) -> Tensor:
    """Centre and size of the mark, as shares of the image."""
    found = []
    for mask in bright(x):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        low = torch.stack([columns[0], rows[0]]).flatten()
        high = torch.stack([columns[-1], rows[-1]]).flatten() + 1
        found.append(torch.cat([(low + high) / 2, (high - low).float()]) / SIDE)
    return torch.stack(found)


def maps(self: Any, pixel_values: Tensor, **kwargs: Any) -> SemanticSegmenterOutput:
    mask = bright(pixel_values).float()
    return SemanticSegmenterOutput(logits=torch.stack([mask, 1 - mask], 1))


def depth(self: Any, pixel_values: Tensor, **kwargs: Any) -> DepthEstimatorOutput:
    return DepthEstimatorOutput(predicted_depth=bright(pixel_values).float())


def boxes(self: Any, pixel_values: Tensor, **kwargs: Any) -> YolosObjectDetectionOutput:
    box = box_of(pixel_values).unsqueeze(1)
    return YolosObjectDetectionOutput(logits=torch.zeros(len(box), 1, 3), pred_boxes=box)


def masks(self: Any, pixel_values: Tensor, **kwargs: Any) -> DetrSegmentationOutput:
    box = box_of(pixel_values).unsqueeze(1)
    mask = bright(pixel_values).float().unsqueeze(1)
    return DetrSegmentationOutput(logits=torch.zeros(len(box), 1, 3), pred_boxes=box, pred_masks=mask)


def keypoints(self: Any, pixel_values: Tensor, **kwargs: Any) -> SuperPointKeypointDescriptionOutput:
    flat = pixel_values[:, 0].flatten(1).argmax(1)
    pixel = torch.stack([flat % SIDE, flat // SIDE], -1).unsqueeze(1) / SIDE
    return SuperPointKeypointDescriptionOutput(keypoints=pixel, scores=torch.ones(len(pixel), 1))


BACKBONE = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", out_features=["stage1"])
SEEING: dict[str, tuple[type[PreTrainedModel], Any, Any]] = {
    "maps": (SegformerForSemanticSegmentation, SegformerConfig(depths=[1] * 4, hidden_sizes=[8] * 4), maps),
    "depth": (DPTForDepthEstimation, DPTConfig(is_hybrid=False, backbone_config=BACKBONE), depth),
    "boxes": (YolosForObjectDetection, YolosConfig(hidden_size=12, num_hidden_layers=1, image_size=[24, 24]), boxes),
    "masks": (DetrForSegmentation, DetrConfig(backbone_config=BACKBONE, d_model=64, encoder_layers=1), masks),
    "keypoints": (SuperPointForKeypointDetection, SuperPointConfig(), keypoints),
}


def predictor(kind: str, forward: Any) -> PreTrainedModel:
    """A predictor of that kind with this forward pass. It has the name of its kind: a live model is what its class is
    called."""
    model_class, config, _ = SEEING[kind]
    made = type(model_class.__name__, (PreTrainedModel,), {"config_class": type(config), "forward": forward})(config)
    made.register_parameter("weight", torch.nn.Parameter(torch.zeros(1)))
    return made


@pytest.mark.parametrize("kind", SEEING)
@pytest.mark.parametrize("group", ["c4", "d4"])
def test_answers_land_where_the_things_are(kind: str, group: str) -> None:
    seeing = predictor(kind, SEEING[kind][2])
    x = images(8, SIDE)
    for i, image in enumerate(x):  # a mark like no other in each
        image[:, 3 + i : 6 + 2 * i, 2 : 8 + i] = 9.0
        image[:, 4 + i, 3] = 10.0
    model = CanonicalizedModel.wrap(seeing, group=group)
    out, expected = model(pixel_values=x), seeing(pixel_values=x)
    assert out.canonicalization.element.unique().numel() > 1  # or nothing was turned
    for name, value in expected.items():
        torch.testing.assert_close(out[name], value, rtol=0, atol=1e-6)


def test_processors_give_coordinates_of_the_image_as_it_came() -> None:
    """At another size than the answer's own, as `post_process_*` is used."""
    x = images(6, SIDE)
    for i, image in enumerate(x):
        image[:, 4 : 8 + i, 4 : 16 + i] = 9.0
    sizes = [(2 * SIDE, 2 * SIDE)] * len(x)
    detector = CanonicalizedModel.wrap(predictor("boxes", boxes), group="d4")
    out = detector(pixel_values=x)
    out.logits[:, :, 0] = 9.0
    found = YolosImageProcessorPil().post_process_object_detection(out, threshold=0.5, target_sizes=sizes)
    for i, one in enumerate(found):
        expected = torch.tensor([[8.0, 8.0, 32.0 + 2 * i, 16.0 + 2 * i]])
        torch.testing.assert_close(one["boxes"], expected, rtol=0, atol=1e-4)
    segmenter = CanonicalizedModel.wrap(predictor("maps", maps), group="d4")
    out = segmenter(pixel_values=x)
    assert out.canonicalization.element.unique().numel() > 1
    for mask, found in zip(
        bright(x), SegformerImageProcessorPil().post_process_semantic_segmentation(out, sizes), strict=True
    ):
        large = mask.repeat_interleave(2, 0).repeat_interleave(2, 1)
        assert torch.equal(found == 0, large)


PIPELINES: dict[str, tuple[str, Any, Any]] = {
    "image-segmentation": (
        "SegformerForSemanticSegmentation",
        SegformerImageProcessorPil(size={"height": 64, "width": 64}),
        lambda found: {one["mask"].size for one in found} == {(90, 70)},
    ),
    "depth-estimation": (
        "DepthAnythingForDepthEstimation",
        DPTImageProcessorPil(size={"height": 64, "width": 64}),
        lambda found: found["depth"].size == (90, 70),
    ),
    "object-detection": (
        "YolosForObjectDetection",
        YolosImageProcessorPil(size={"height": 64, "width": 64}, do_pad=False),
        lambda found: all(set(one) == {"score", "label", "box"} for one in found),
    ),
}


@pytest.mark.parametrize("task", PIPELINES)
def test_pipelines(task: str, tmp_path: Path) -> None:
    name, processor, right = PIPELINES[task]
    dense.build(name).save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    CanonicalizedModel.wrap(tmp_path / "base", group="d4").save_pretrained(tmp_path / "adapter")
    photo = Image.fromarray((torch.rand(70, 90, 3) * 255).byte().numpy())
    answer = pipeline(task, str(tmp_path / "adapter"))
    assert isinstance(answer.model, CanonicalizedModel)
    assert right(answer(photo))


@pytest.mark.parametrize("kind", ["boxes", "maps"])
def test_labels_are_for_the_image_as_it_came(kind: str) -> None:
    """The predictor learns from labels in the pose in which it sees the image."""
    seen: dict[str, Any] = {}

    def learning(self: Any, pixel_values: Tensor, labels: Any = None, **kwargs: Any) -> Any:
        seen.update(pixel_values=pixel_values, labels=labels)
        return SEEING[kind][2](self, pixel_values)

    x = images(6, SIDE)
    x[:, :, 2:7, 4:16] = 9.0
    model = CanonicalizedModel.wrap(predictor(kind, learning), group="d4")
    if kind == "maps":
        out = model(pixel_values=x, labels=bright(x).long())
        assert torch.equal(seen["labels"], bright(seen["pixel_values"]).long())
    else:
        labels = [
            {"boxes": box.unsqueeze(0), "masks": mask.unsqueeze(0)}
            for box, mask in zip(box_of(x), bright(x), strict=True)
        ]
        out = model(pixel_values=x, labels=labels)
        torch.testing.assert_close(torch.cat([one["boxes"] for one in seen["labels"]]), box_of(seen["pixel_values"]))
        assert torch.equal(torch.cat([one["masks"] for one in seen["labels"]]), bright(seen["pixel_values"]))
    assert out.canonicalization.element.unique().numel() > 1


@pytest.mark.parametrize(
    "name", ["DetrForObjectDetection", "DetrForSegmentation", "MaskFormerForInstanceSegmentation"]
)
@pytest.mark.parametrize("asked", ["output_hidden_states", "output_attentions"])
def test_inner_workings_may_be_asked_for(name: str, asked: str) -> None:
    """Of queries they are left out, and the answer is the same."""
    predictor = dense.build(name)
    predictor.set_attn_implementation("eager")
    model = CanonicalizedModel.wrap(predictor, group="d4")
    inputs = dense.example(name)
    with torch.no_grad():
        assert any("decoder" in field for field in predictor(**inputs, **{asked: True}))
        out, plain = model(**inputs, **{asked: True}), model(**inputs)
    assert set(out) == set(plain)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("object-detection", "YolosForObjectDetection"),
        ("image-segmentation", "SegformerForSemanticSegmentation"),
        ("image-segmentation", "MaskFormerForInstanceSegmentation"),
        ("depth-estimation", "DPTForDepthEstimation"),
    ],
)
def test_pipelines_know_our_classes(task: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And do not log that they are not supported."""
    said: list[str] = []
    monkeypatch.setattr("transformers.pipelines.base.logger.error", said.append)
    model = CanonicalizedModel.wrap(dense.build(name), group="c4")
    assert pipeline(task, model=model, image_processor=SegformerImageProcessorPil()).model is model
    assert not said


def test_padded_images_are_refused() -> None:
    config = YolosConfig(hidden_size=12, num_hidden_layers=1, num_attention_heads=2, image_size=[24, 24], patch_size=8)
    model = CanonicalizedModel.wrap(YolosForObjectDetection(config), group="c4")
    x = images(1, SIDE)
    mask = torch.ones(1, SIDE, SIDE, dtype=torch.long)
    mask[:, 12:] = 0
    with pytest.raises(ValueError, match="The images are padded to one size.*do_pad=False"):
        model(pixel_values=x, pixel_mask=mask)


def test_without_training_the_surest_pose_is_chosen() -> None:
    """A segmenter is more or less sure at every place; the mean over them decides."""

    def sure(self: Any, pixel_values: Tensor, **kwargs: Any) -> SemanticSegmenterOutput:
        light = pixel_values[:, :1, : SIDE // 3].mean((1, 2, 3), keepdim=True)  # sure where the top is light
        mask = bright(pixel_values).float().unsqueeze(1)
        return SemanticSegmenterOutput(logits=torch.cat([light * (mask + 1), -light * (mask + 1)], 1))

    x = images(4, SIDE)
    x[:, :, :6, 2:20] = 9.0
    model = CanonicalizedModel.wrap(predictor("maps", sure), group="c4", canonicalizer="predictor")
    for g in model.group.elements:
        found = model.canonicalize(model.group.act(x, g.expand(len(x)))).element
        assert torch.equal(found, g.expand(len(x)))
    nameless = CanonicalizedModel.wrap(predictor("depth", depth), group="c4", canonicalizer="predictor")
    with pytest.raises(ValueError, match="needs a predictor that is more or less sure of its classes"):
        nameless(pixel_values=x)
