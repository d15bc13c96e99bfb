"""Images with a margin: corners that a turn brings in are real pixels, and come in the same single resampling."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from hf_canon import CanonicalizedModel, get_group
from hf_canon.groups import Planar, Product
from hf_canon.groups.planar import centre
from hf_canon.outputs import Inputs


def planar(name: str) -> Planar:
    group = get_group(name)
    assert isinstance(group, Planar)
    return group


def waves(height: int, width: int, angle: float = 0.0) -> Tensor:
    """A smooth image that goes on for ever, turned counter-clockwise by `angle` about its middle."""
    y, x = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    # Where the turned image's pixels were; y points down.
    u = math.cos(angle) * x - math.sin(angle) * y
    v = math.sin(angle) * x + math.cos(angle) * y
    return (torch.sin(0.2 * u + 0.5) + torch.cos(0.15 * v) + 0.01 * u)[None, None]


@pytest.mark.parametrize("name", ["c2", "c4", "d4", "c8", "d5"])
@given(data=st.data(), rows=st.integers(4, 20), margins=st.tuples(st.integers(0, 6), st.integers(0, 6)))
@settings(deadline=None, max_examples=15)
def test_the_centre_of_the_whole(name: str, data: st.DataObject, rows: int, margins: tuple[int, int]) -> None:
    """With a margin or by cropping afterwards: the same pixels, to the bit where they are only permuted."""
    group = planar(name)
    margins = margins if name == "c2" else (margins[0], margins[0])  # or turning the whole would not be allowed
    above, left = margins
    x = torch.rand(2, 3, rows + 2 * above, rows + 2 * left, generator=torch.Generator().manual_seed(rows))
    element = torch.tensor(data.draw(st.lists(st.integers(0, group.order - 1), min_size=2, max_size=2)))
    cropped = group.act(x, element, crop=rows)
    expected = group.act(x, element)[..., above : above + rows, left : left + rows]
    exact = torch.isin(element, group.exact_elements)
    assert torch.equal(cropped[exact], expected[exact])
    assert torch.allclose(cropped, expected, atol=1e-4)


def test_corners_hold_what_was_there() -> None:
    """An image turned by 45 degrees is turned back: without a margin its corners are made up."""
    side, margin = 32, 10
    turned = waves(side + 2 * margin, side + 2 * margin, math.pi / 4)
    undo = torch.tensor([7])
    c8 = planar("c8")
    with_margin = c8.act(turned, undo, crop=side)
    without = c8.act(turned[..., margin:-margin, margin:-margin], undo)
    truth = waves(side, side)
    assert (with_margin - truth).abs().max() < 0.03
    assert (without - truth).abs().max() > 0.5


def test_oblong_images_with_a_square_centre_turn() -> None:
    x = torch.rand(1, 3, 20, 28)
    assert torch.equal(planar("c4").act(x, torch.tensor([1]), crop=16), torch.rot90(x[..., 2:18, 6:22], 1, (2, 3)))


@pytest.mark.parametrize("crop", [18, 32, (16, 18)])
def test_a_margin_without_a_middle_is_refused(crop: int) -> None:
    with pytest.raises(ValueError, match="as many pixels on either side"):
        planar("c4").act(torch.rand(1, 3, 20, 21), torch.tensor([1]), crop=crop)


def vit() -> ViTForImageClassification:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    return ViTForImageClassification(config)


def test_a_model_asks_about_the_centre() -> None:
    predictor = vit()
    model = CanonicalizedModel.wrap(predictor, group="c8", canonicalizer="shift")
    x = torch.rand(3, 3, 24, 24)
    with torch.inference_mode():
        out = model(pixel_values=x, crop=16)
        assert out.canonicalization.canonical.shape == (3, 3, 16, 16)
        # The decision is that about the centre; the turn has the margin's pixels.
        assert torch.equal(out.canonicalization.logits, model.canonicalize(x[..., 4:20, 4:20]).logits)
        undo = model.group.inverse(out.canonicalization.element)
        seen = planar("c8").act(x, undo, crop=16)
        assert torch.equal(out.logits, predictor(pixel_values=seen).logits)
        bare = model(pixel_values=x, crop=16, canonicalize=False).logits
        assert torch.equal(bare, predictor(pixel_values=x[..., 4:20, 4:20]).logits)


@pytest.mark.parametrize("name", ["c8*channels", "hue3*d8", "channels"])
def test_products_take_the_margin_too(name: str) -> None:
    """The corners hold what was there, whatever else happened to the colours."""
    group = get_group(name)
    x = torch.rand(6, 3, 24, 24)
    element = torch.randint(group.elements.numel(), (6,), generator=torch.Generator().manual_seed(0))
    model = CanonicalizedModel.wrap(vit(), group=name, processor=ViTImageProcessorPil())
    expected = centre(group.act(x, element), 16)
    transformed = Inputs(x, crop=16).transformed(model.group, element).x
    assert torch.allclose(transformed, expected, atol=1e-5)
    if isinstance(group, Product):
        assert torch.allclose(group.act_cropped(x, element, 16), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["c8", "c8*channels", "hue6"])
def test_a_gradient_changes_no_answer(name: str) -> None:
    """Where gradients are taken, which is in training, the canonical image has the margin's pixels as well."""
    model = CanonicalizedModel.wrap(vit(), group=name, processor=ViTImageProcessorPil()).train()
    x = torch.rand(3, 3, 24, 24)
    learned = model.canonicalize(x, crop=16)
    with torch.no_grad():
        plain = model.canonicalize(x, crop=16)
    assert learned.canonical is not None and learned.canonical.requires_grad
    assert torch.allclose(learned.canonical, plain.canonical, atol=1e-5)


def test_maps_of_the_whole_are_labels_of_the_centre() -> None:
    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        depths=[1, 1, 1, 1],
        decoder_hidden_size=8,
        num_labels=3,
    )
    model = CanonicalizedModel.wrap(SegformerForSemanticSegmentation(config), group="d4")
    x, maps = torch.rand(2, 3, 48, 48), torch.randint(3, (2, 48, 48))
    with torch.no_grad():
        of_the_whole = model(pixel_values=x, labels=maps, crop=32).loss
        assert of_the_whole == model(pixel_values=x, labels=centre(maps, 32), crop=32).loss
        bare = model(pixel_values=x, labels=maps, crop=32, canonicalize=False).loss
        assert bare == model.predictor(pixel_values=centre(x, 32), labels=centre(maps, 32)).loss
