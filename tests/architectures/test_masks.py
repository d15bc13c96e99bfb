"""Prompts point at the same thing in every pose, and masks land where the thing is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import masks
from images import images
from PIL import Image
from torch import Tensor
from transformers import (
    PreTrainedModel,
    SamConfig,
    SamImageProcessorPil,
    SamProcessor,
    Swin2SRForImageSuperResolution,
    Swin2SRImageProcessorPil,
    pipeline,
)
from transformers.models.sam.modeling_sam import SamImageSegmentationOutput

from hf_canon import CanonicalizedModel, get_group
from hf_canon.outputs import PLACED

SIDE = 24


def cut_out(
    self: Any,
    pixel_values: Tensor | None = None,
    input_points: Tensor | None = None,
    input_boxes: Tensor | None = None,
    input_masks: Tensor | None = None,
    image_embeddings: Tensor | None = None,
    **kwargs: Any,
) -> SamImageSegmentationOutput:
    """Whatever is as light as what is pointed at; what is in the box; and the mask that was given."""
    light = (pixel_values if image_embeddings is None else image_embeddings)[:, 0]
    place = torch.arange(light.shape[-1])
    found = []
    if input_points is not None:
        x, y = input_points[:, :, 0].round().long().unbind(-1)
        pointed = light[torch.arange(len(light))[:, None], y, x]
        found.append((light[:, None] - pointed[..., None, None]).abs() < 0.1)
    if input_boxes is not None:
        left, top, right, bottom = (edge[..., None] for edge in input_boxes.unbind(-1))
        rows, columns = (place >= top) & (place <= bottom), (place >= left) & (place <= right)
        found.append(rows.unsqueeze(-1) & columns.unsqueeze(-2))
    if input_masks is not None:
        found.append(input_masks.repeat(1, found[0].shape[1], 1, 1) > 0)
    drawn = torch.stack(found, 2).float() * 2 - 1
    return SamImageSegmentationOutput(pred_masks=drawn, iou_scores=torch.ones(drawn.shape[:3]))


def seeing(side: int = SIDE) -> PreTrainedModel:
    config = SamConfig(
        vision_config={"image_size": side, "num_hidden_layers": 1}, prompt_encoder_config={"image_size": side}
    )
    methods = {
        "config_class": SamConfig,
        "forward": cut_out,
        "get_image_embeddings": lambda self, pixel_values: pixel_values.clone(),
    }
    made = type("SamModel", (PreTrainedModel,), methods)(config)
    made.register_parameter("weight", torch.nn.Parameter(torch.zeros(1)))
    return made


def marked(batch: int = 8) -> tuple[Tensor, dict[str, Tensor]]:
    """Images with two marks of their own, and prompts that point at both."""
    x = images(batch, SIDE)
    points, boxes = torch.zeros(batch, 2, 1, 2), torch.zeros(batch, 2, 4)
    for i in range(batch):
        for j, (left, top, right, bottom) in enumerate([(2, 3 + i, 6, 6 + i), (10 + i, 1, 13 + i, 2)]):
            x[i, :, top : bottom + 1, left : right + 1] = 9.0 + j
            boxes[i, j] = torch.tensor([left, top, right, bottom])
            points[i, j] = torch.tensor([left, bottom])
    return x, {"input_points": points, "input_boxes": boxes, "input_masks": images(batch, SIDE, 1, seed=3)}


@pytest.mark.parametrize("group", ["c4", "d4"])
def test_masks_are_of_what_was_pointed_at(group: str) -> None:
    x, prompts = marked()
    model = CanonicalizedModel.wrap(seeing(), group=group)
    out, expected = model(pixel_values=x, **prompts), model.predictor(pixel_values=x, **prompts)
    assert out.canonicalization.element.unique().numel() > 1  # or nothing was turned
    assert torch.equal(out.pred_masks, expected.pred_masks)
    for j in range(2):
        drawn = expected.pred_masks[:, j, 0] > 0
        assert torch.equal(drawn, (x[:, 0] - (9.0 + j)).abs() < 0.1)


def test_embeddings_are_asked_for_once_and_know_their_pose() -> None:
    x, prompts = marked()
    model = CanonicalizedModel.wrap(seeing(), group="d4")
    expected = model(pixel_values=x, **prompts)
    embeddings = model.get_image_embeddings(x)
    for name in ("input_points", "input_boxes"):
        out = model(image_embeddings=embeddings, **{name: prompts[name]})
        place = list(prompts).index(name)
        assert torch.equal(out.pred_masks[:, :, 0], expected.pred_masks[:, :, place])
        assert torch.equal(out.canonicalization.element, expected.canonicalization.element)
    with pytest.raises(ValueError, match="The pose of these image_embeddings is not known.*the very ones"):
        model(image_embeddings=embeddings[:4], input_points=prompts["input_points"][:4])
    with pytest.raises(ValueError, match="target_embedding were found for an image in another pose"):
        model(pixel_values=x, target_embedding=embeddings, **prompts)


@pytest.mark.parametrize("name", masks.MASK_GENERATION)
@torch.inference_mode()
def test_embeddings_of_every_architecture(name: str) -> None:
    inputs = masks.example(name)
    x = inputs.pop("pixel_values")
    model = CanonicalizedModel.wrap(masks.build(name), group="d4")
    expected = model(pixel_values=x, **inputs)
    embeddings: Any = model.get_image_embeddings(x)
    if name == "SamHQModel":
        embeddings, inputs["intermediate_embeddings"] = embeddings
    assert torch.equal(model(image_embeddings=embeddings, **inputs).pred_masks, expected.pred_masks)
    bare = model(image_embeddings=embeddings, canonicalize=False, **inputs)
    assert not torch.equal(bare.pred_masks, expected.pred_masks)


@pytest.mark.parametrize("name", masks.MASK_GENERATION)
@torch.inference_mode()
def test_hidden_states_move_with_the_image(name: str) -> None:
    inputs = masks.example(name)
    x = inputs.pop("pixel_values")
    model = CanonicalizedModel.wrap(masks.build(name), group="d4")
    upright = model(pixel_values=x, output_hidden_states=True, **inputs)["vision_hidden_states"]
    assert len([one for one in upright if one is not None]) > 1
    for g in model.group.elements:
        element = g.expand(len(x))
        turned = model.canonical_arguments(inputs, element)
        there = model(model.group.act(x, element), output_hidden_states=True, **turned)["vision_hidden_states"]
        for one, other in zip(upright, there, strict=True):
            assert torch.equal(model.group.act(one.movedim(-1, 1), element).movedim(1, -1), other)


@pytest.mark.parametrize("size", [(48, 48), (48, 32), (32, 48)])
def test_processors_give_masks_of_the_image_as_it_came(size: tuple[int, int]) -> None:
    """Also where the processor has made it square by a border."""
    height, width = size
    processor = SamProcessor(
        SamImageProcessorPil(
            size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE}, do_normalize=False, resample=0
        )
    )
    photos, points, truth = [], [], []
    for i in range(6):
        photo = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(i)) * 0.5
        mark = torch.zeros(height, width, dtype=torch.bool)
        mark[2 + 2 * i : 14 + 2 * i, 4 : 18 + 2 * i] = True
        photo[mark] = 1.0
        photos.append(Image.fromarray((photo * 255).byte().numpy()))
        points.append([[[8, 8 + 2 * i]]])
        truth.append(mark)
    inputs = processor(images=photos, input_points=points, return_tensors="pt")
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    model = CanonicalizedModel.wrap(seeing(), group="d4")
    out, expected = model(**inputs), model.predictor(**inputs)
    assert out.canonicalization.element.unique().numel() > 1
    found, bare = (processor.post_process_masks(one.pred_masks, *sizes) for one in (out, expected))
    for one, other, mark in zip(found, bare, truth, strict=True):
        assert torch.equal(one, other)
        assert (one[0, 0] & mark).sum() > 0.8 * (one[0, 0] | mark).sum()


@pytest.mark.filterwarnings("ignore:.*torchvision")
def test_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last step, in which it drops masks that are nearly alike, needs torchvision."""
    masks.build("SamModel").save_pretrained(tmp_path / "base")
    processor = SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    processor.save_pretrained(tmp_path / "base")
    CanonicalizedModel.wrap(tmp_path / "base", group="d4").save_pretrained(tmp_path / "adapter")
    answer = pipeline("mask-generation", str(tmp_path / "adapter"))
    assert isinstance(answer.model, CanonicalizedModel)
    monkeypatch.setattr(
        answer.image_processor,
        "post_process_for_mask_generation",
        lambda masks, scores, boxes, threshold: (masks, scores, None, boxes),
    )
    photo = Image.fromarray((torch.rand(70, 90, 3) * 255).byte().numpy())
    found = answer(photo, points_per_crop=3, points_per_batch=4, pred_iou_thresh=-9.0, stability_score_thresh=0.0)
    assert len(found["masks"]) == len(found["scores"]) > 0
    points = answer.image_processor.generate_crop_boxes(photo, 64, 0, 0, 3, 1)[1]
    inputs = processor(photo, return_tensors="pt")
    out = answer.model(inputs["pixel_values"], input_points=points.transpose(0, 1).reshape(1, -1, 1, 2).float())
    torch.testing.assert_close(found["scores"], out.iou_scores.flatten(), rtol=1e-4, atol=1e-4)


CONFIG = SamConfig(prompt_encoder_config={"image_size": SIDE})


@pytest.mark.parametrize("name", ["c4", "d4", "c8", "so2"])
def test_points_and_boxes_follow_the_pixels(name: str) -> None:
    """Exactly for quarter turns and mirrors; at other angles to within a pixel."""
    group = get_group(name)
    elements = group.elements if group.finite else torch.linspace(-3, 3, 7)
    exact = group.is_exact
    x = torch.zeros(1, 1, SIDE, SIDE)
    x[..., 6:9, 5:14] = 1.0  # within the circle that stays in the image
    dot = torch.zeros(1, 1, SIDE, SIDE)
    dot[..., 6, 5] = 1.0
    point, box = torch.tensor([[[[5.0, 6.0]]]]), torch.tensor([[[5.0, 6.0, 13.0, 8.0]]])
    for g in elements:
        element = g.expand(1)
        transformed = group.act(x, element)
        brightest = group.act(dot, element).flatten().argmax()
        seen = torch.tensor([brightest % SIDE, brightest // SIDE])
        found = PLACED["input_points"](group, element, point, CONFIG).flatten()
        assert (found - seen).abs().max() <= (0.0 if exact else 1.0)
        rows, columns = (transformed[0, 0] > 0.5).any(1).nonzero(), (transformed[0, 0] > 0.5).any(0).nonzero()
        hull = torch.stack([columns[0], rows[0], columns[-1], rows[-1]]).flatten()
        found = PLACED["input_boxes"](group, element, box, CONFIG).flatten()
        assert (found[2:] >= found[:2]).all()
        if exact:
            assert torch.equal(found, hull.float())
        else:
            assert (found[:2] <= hull[:2] + 1).all() and (found[2:] >= hull[2:] - 1).all()


@pytest.mark.parametrize("group", ["c4", "d4", "c8"])
def test_patches_and_maps_follow_the_pixels(group: str) -> None:
    acting = get_group(group)
    element = acting.sample(6, torch.Generator().manual_seed(0))
    hidden = torch.rand(6, 16) > 0.5
    transformed = PLACED["bool_masked_pos"](acting, element, hidden, None)
    assert transformed.dtype == torch.bool
    grid = hidden.view(6, 1, 4, 4).float()
    assert torch.equal(transformed.view(6, 1, 4, 4).float(), acting.act(grid, element, interpolation="nearest"))
    known = images(6, 8, channels=1)
    for name, value in (("prompt_depth", known), ("input_masks", known)):
        assert torch.equal(PLACED[name](acting, element, value, None), acting.act(known, element))
    labels = [torch.rand(k + 1, 8, 8).round() for k in range(6)]
    for one, mask, g in zip(PLACED["mask_labels"](acting, element, labels, None), labels, element, strict=True):
        turned = acting.act(mask.unsqueeze(0), g.expand(1), interpolation="nearest")
        assert torch.equal(one, turned.squeeze(0))
        assert set(one.unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(ValueError, match="15 patches are masked, and an image of so many is no square"):
        PLACED["bool_masked_pos"](acting, element, hidden[:, :15], None)


def test_the_predictor_is_told_the_same_in_the_pose_in_which_it_sees() -> None:
    told: dict[str, Tensor] = {}

    def listening(self: Any, pixel_values: Tensor, **kwargs: Any) -> SamImageSegmentationOutput:
        told.update(kwargs, pixel_values=pixel_values)
        return SamImageSegmentationOutput(iou_scores=torch.ones(len(pixel_values), 1))

    x, prompts = marked()
    model = CanonicalizedModel.wrap(seeing(), group="d4")
    type(model.predictor).forward = listening
    out = model(pixel_values=x, **prompts)
    assert out.canonicalization.element.unique().numel() > 1
    columns, rows = told["input_points"][:, 0, 0].long().unbind(-1)
    assert bool((told["pixel_values"][torch.arange(len(x)), 0, rows, columns] == 9.0).all())


@pytest.mark.parametrize("group", ["d4", "channels", "d4*channels"])
def test_enlarged_images_are_those_of_the_image_as_it_came(group: str) -> None:
    def enlarge(self: Any, pixel_values: Tensor, **kwargs: Any) -> Any:
        from transformers.modeling_outputs import ImageSuperResolutionOutput

        large = pixel_values.repeat_interleave(2, -1).repeat_interleave(2, -2)
        return ImageSuperResolutionOutput(reconstruction=large)

    predictor = masks.build("Swin2SRForImageSuperResolution")
    made = type("Swin2SRForImageSuperResolution", (Swin2SRForImageSuperResolution,), {"forward": enlarge})
    predictor.__class__ = made
    x = images(8, 32)
    out = CanonicalizedModel.wrap(predictor, group=group, processor=Swin2SRImageProcessorPil())(pixel_values=x)
    assert out.canonicalization.element.unique().numel() > 1
    assert torch.equal(out.reconstruction, x.repeat_interleave(2, -1).repeat_interleave(2, -2))
