"""Hidden states, attentions and feature maps of every encoder: each token stands for the place that its row says.

Whatever a row does, an answer that is carried back turns with the image. So a mark is put into an image, and the
same mark into its turned place: what changes in the one answer, transformed by the row, has to be what changes in the
other."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from architectures import exactness
from architectures.classifiers import BACKBONES, CLASSIFIERS, ENCODERS
from architectures.dense import TINY as DENSE
from images import images
from torch import Tensor
from transformers import (
    DeiTConfig,
    DeiTForImageClassification,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    PerceiverConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    SwinConfig,
    SwinModel,
)

from hf_canon import CanonicalizedModel, get_group
from hf_canon.evaluation.equivariance import tensors
from hf_canon.outputs import BACKBONE, CANNOT, Move, Rows, attention, carry_back, features, plane
from hf_canon.outputs.tokens import LAYOUTS, Layout, grid_of, layout_of
from hf_canon.tasks import (
    TASKS,
    CanonicalizedForDepthEstimation,
    CanonicalizedForImageClassification,
    CanonicalizedForKeypointDetection,
    CanonicalizedForSemanticSegmentation,
)

D4 = get_group("d4")
IMAGES = 8
"""With a mark in one place each, so that what differs from image to image averages out."""

WINDOWED = {
    **dict.fromkeys(
        [
            "DonutSwinModel",
            "HieraModel",
            "MaskFormerSwinBackbone",
            "SwinBackbone",
            "SwinModel",
            "Swin2SRModel",
            "Swinv2Backbone",
            "Swinv2Model",
            "VitDetBackbone",
            "VitDetModel",
        ],
        {"attentions"},
    ),
    **dict.fromkeys(["LwDetrViTBackbone", "RfDetrDinov2Backbone"], {"attentions", "hidden_states"}),
    # Of queries.
    **dict.fromkeys(["LwDetrForObjectDetection", "RfDetrForObjectDetection"], {"attentions", "hidden_states"}),
}
"""What is refused because it is of windows, or of queries, and has no place in the image."""

# One has oblong maps, and another sees the whole image from everywhere.
UNCLEAR = ("PPLCNetV4Backbone", "UVDocBackbone")
NAMES = [name for name in (*ENCODERS, *BACKBONES, *DENSE) if name in TASKS and name not in UNCLEAR]


def marks(side: int) -> Tensor:
    """Small squares in two places, that no element but the identity leaves where they are."""
    found = torch.zeros(2 * IMAGES, 1, side, side)
    for mask, (x, y) in zip(found, [(8, 24), (40, 8)] * IMAGES, strict=True):
        mask[:, y * side // 64 : (y + 8) * side // 64, x * side // 64 : (x + 8) * side // 64] = 1
    return found


def placed(model: PreTrainedModel, inputs: dict[str, Tensor], rows: Rows) -> dict[str, Any]:
    """The fields that stand for places, of everything that the model can be asked for."""
    with torch.no_grad():
        for names in (["output_hidden_states", "output_attentions"], ["output_hidden_states"], []):
            try:
                out = model(**inputs, **dict.fromkeys(names, True))
            except TypeError:  # not every class takes them
                continue
            return {
                name: out[name] for name in out if rows.get(name) in (features, attention) or name == "feature_maps"
            }
    raise AssertionError


def profiles(field: str, value: Tensor, channels_last: bool) -> Iterator[Tensor]:
    """How much changes at each token or place, `(batch, places)`: of attentions, where one looks from and to."""
    if field == "attentions":
        yield value.sum((1, 3))
        yield value.sum((1, 2))
    elif value.ndim == 3 or channels_last:
        yield value.sum(-1).flatten(1)
    else:
        yield value.sum(1).flatten(1)


def likeness(one: Tensor, other: Tensor) -> float:
    one, other = (value - value.mean(1, keepdim=True) for value in (one, other))
    return float(torch.cosine_similarity(one, other).sum())


def shares(name: str, rows: Rows) -> dict[str, list[float]]:
    """For each layer of each field, the share of elements whose effect is explained best by the row for that element;
    NaN for a layer that is refused."""
    model = exactness.module_of(name).build(name)
    model.set_attn_implementation("eager")
    inputs = exactness.module_of(name).example(name, batch=2 * IMAGES)
    x = inputs["pixel_values"]
    mark, plain = marks(x.shape[-1]), placed(model, inputs, rows)

    def change(element: Tensor) -> dict[str, list[Tensor]]:
        marked = placed(model, {**inputs, "pixel_values": x + 6 * D4.act(mark, element)}, rows)
        pairs = {field: zip(tensors(marked[field]), tensors(plain[field]), strict=True) for field in plain}
        return {field: [(a - b).abs() for a, b in both] for field, both in pairs.items()}

    moves = [Move(D4, g.expand(len(x)), (x.shape[-2], x.shape[-1]), model.config) for g in D4.elements]
    changes = [change(g.expand(len(x))) for g in D4.elements]
    found: dict[str, list[float]] = {}
    for field, layers in changes[0].items():
        last = field == "reshaped_hidden_states" and model.config.model_type == "hiera"
        for i, layer in enumerate(layers):
            try:
                candidates = [list(profiles(field, rows[field](move, layer), last)) for move in moves]
            except ValueError:
                found.setdefault(field, []).append(math.nan)
                continue
            right = 0
            for g in range(1, 8):
                there = list(profiles(field, changes[g][field][i], last))
                fits = [sum(map(likeness, candidate, there)) for candidate in candidates]
                right += max(range(8), key=fits.__getitem__) == g
            found.setdefault(field, []).append(right / 7)
    return found


def row_of(name: str) -> str:
    """The row of `LAYOUTS` that says how the tokens of an architecture are ordered; what has none gives maps."""
    model_type = exactness.module_of(name).TINY[name].model_type
    return model_type if model_type in LAYOUTS else "maps"


@pytest.mark.covering("row", "task")
@pytest.mark.parametrize(("row", "task", "name"), [(row_of(name), TASKS[name].__name__, name) for name in NAMES])
def test_tokens_stand_for_the_places_that_their_row_says(row: str, task: str, name: str) -> None:
    found = shares(name, TASKS[name].rows)
    refused = {field for field, values in found.items() if any(map(math.isnan, values))}
    assert refused == WINDOWED.get(name, set()) & found.keys()
    layout = layout_of(exactness.module_of(name).build(name).config)
    for field, values in found.items():
        known = [value for value in values if not math.isnan(value)]
        if field not in refused and field != "last_hidden_state":
            assert known[0] == 1, field
        if layout is not None and not layout.pyramid and field != "attentions":
            assert min(known) == 1, field  # a token sees itself best, however deep; what is convolved soon sees all


ANSWERS = (
    CanonicalizedForImageClassification,
    CanonicalizedForSemanticSegmentation,
    CanonicalizedForDepthEstimation,
    CanonicalizedForKeypointDetection,
)
# Of latents and of words, which have no place.
OF_LATENTS = ("PerceiverForImageClassification", "ShieldGemma2ForImageClassification")


ANSWERING = [name for name in (*CLASSIFIERS, *DENSE) if TASKS.get(name) in ANSWERS and not name.startswith(OF_LATENTS)]


@pytest.mark.covering("row", "task")
@pytest.mark.parametrize(("row", "task", "name"), [(row_of(name), TASKS[name].__name__, name) for name in ANSWERING])
def test_hidden_states_come_with_the_answer(row: str, task: str, name: str) -> None:
    """For the image as it came, in the shapes that the checkpoint gives them."""
    model, inputs = exactness.wrapped(name)
    x = inputs["pixel_values"]
    identity, quarter = torch.tensor(0).expand(len(x)), torch.tensor(1).expand(len(x))
    bare = exactness.answers(model, inputs, identity, canonicalize=False, output_hidden_states=True)
    here = exactness.answers(model, inputs, identity, output_hidden_states=True)
    there = exactness.answers(model, inputs, quarter, output_hidden_states=True)
    assert here["hidden_states"]
    assert [one.shape for one in here["hidden_states"]] == [one.shape for one in bare["hidden_states"]]
    assert exactness.difference(here["hidden_states"], there["hidden_states"]) > 0
    move = Move(model.group, quarter, (x.shape[-2], x.shape[-1]), model.predictor.config)
    assert exactness.difference(carry_back(here, model.rows, move), there) <= exactness.ROUNDING


def test_the_scrambled_backbone_is_scrambled() -> None:
    """When this fails, transformers has put its patches in order, and it can be wrapped."""
    assert "HieraBackbone" in CANNOT
    assert shares("HieraBackbone", {"feature_maps": plane})["feature_maps"][0] < 0.5


@pytest.mark.parametrize(
    ("model_type", "tokens", "found"),
    [
        ("vit", 1 + 6 * 4, (1, (6, 4), 0)),
        ("deit", 2 + 6 * 4, (2, (6, 4), 0)),
        ("siglip_vision_model", 6 * 4, (0, (6, 4), 0)),
        ("dinov2_with_registers", 5 + 6 * 4, (5, (6, 4), 0)),
        ("pixio", 3 + 6 * 4, (3, (6, 4), 0)),
        ("yolos", 1 + 6 * 4 + 7, (1, (6, 4), 7)),
        ("swin", 12 * 8, (0, (12, 8), 0)),
        ("pvt", 3 * 2, (0, (3, 2), 0)),
        ("pvt", 1 + 3 * 2, (1, (3, 2), 0)),
        ("vit", 6 * 4, None),  # no class token?
        ("vit", 1 + 5 * 5, None),  # other proportions
    ],
)
def test_oblong_grids(model_type: str, tokens: int, found: Any) -> None:
    class Config:
        num_register_tokens = 4 if model_type == "dinov2_with_registers" else 0
        n_cls_tokens, num_detection_tokens = 3, 7

    Config.model_type = model_type  # type: ignore[attr-defined]
    layout = layout_of(Config())
    assert layout is not None
    assert grid_of(layout, tokens, (96, 64)) == found


def test_oblong_patches_have_oblong_grids() -> None:
    assert grid_of(Layout(patch=(16, 4)), 4 * 16, (64, 64)) == (0, (4, 16), 0)
    assert grid_of(Layout(), 4 * 16, (64, 64)) == (0, (8, 8), 0)


VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}


def vit() -> PreTrainedModel:
    model = DeiTForImageClassification(DeiTConfig(**VIT, intermediate_size=32)).eval()
    model.set_attn_implementation("eager")
    return model


def test_a_classifier_gives_its_hidden_states_and_attentions() -> None:
    model, x = CanonicalizedModel.wrap(vit(), group="d4"), images(4, 32)
    asked = {"output_hidden_states": True, "output_attentions": True}
    upright = model(pixel_values=x, **asked)
    assert [value.shape for value in upright.hidden_states] == [(4, 18, 16)] * 3
    assert [value.shape for value in upright.attentions] == [(4, 2, 18, 18)] * 2
    assert upright.canonicalization.element.unique().numel() > 1
    turned = model(pixel_values=D4.act(x, torch.full((4,), 1)), **asked)
    for here, there in zip(upright.hidden_states, turned.hidden_states, strict=True):
        assert torch.equal(here[:, :2], there[:, :2])
        grid = here[:, 2:].unflatten(1, (4, 4)).rot90(1, (1, 2)).flatten(1, 2)
        assert torch.equal(grid, there[:, 2:])


def test_oblong_images_have_tokens_too() -> None:
    config = Dinov2WithRegistersConfig(**VIT, num_register_tokens=4, mlp_ratio=2)
    model = CanonicalizedModel.wrap(Dinov2WithRegistersModel(config).eval(), group="d2")
    x = images(4, 48)[..., :32]
    here = model(pixel_values=x).last_hidden_state
    there = model(pixel_values=x.rot90(2, (2, 3))).last_hidden_state
    assert torch.equal(here[:, :5], there[:, :5])
    assert torch.equal(here[:, 5:].unflatten(1, (6, 4)).rot90(2, (1, 2)).flatten(1, 2), there[:, 5:])


def test_other_angles_resample_tokens_as_maps() -> None:
    so2, tokens = get_group("so2"), torch.rand(3, 2 + 64, 5)
    element = torch.tensor([0.3, 1.0, -2.0])
    config = DeiTConfig()
    found = features(Move(so2, element, (32, 32), config), tokens)
    maps = tokens[:, 2:].mT.unflatten(2, (8, 8))
    assert torch.equal(found[:, :2], tokens[:, :2])
    assert torch.equal(found[:, 2:], so2.act(maps, element).flatten(2).mT)


def test_where_nothing_moves_nothing_is_asked() -> None:
    """What happens to colours alone leaves every token where it is, also those of which no place is known."""

    move = Move(get_group("channels"), torch.ones(2, dtype=torch.long), (32, 32), PerceiverConfig())
    for value, row in [(torch.rand(2, 7, 3), features), (torch.rand(8, 2, 5, 5), attention)]:
        assert row(move, value) is value


def test_what_has_no_known_place_is_refused_in_a_sentence() -> None:
    swin = SwinModel(SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1], num_heads=[1], window_size=4))
    swin.set_attn_implementation("eager")
    model = CanonicalizedModel.wrap(swin, group="c4")
    model(pixel_values=images(2, 32), output_hidden_states=True)
    with pytest.raises(ValueError, match="The field attentions cannot .* each window .* output_attentions"):
        model(pixel_values=images(2, 32), output_attentions=True)
    move = Move(D4, torch.zeros(2, dtype=torch.long), (32, 32), PerceiverConfig())
    with pytest.raises(ValueError, match="which of the 9 tokens of a perceiver model .* 32 x 32"):
        features(move, torch.rand(2, 9, 4))
    with pytest.raises(ValueError, match="neither a map nor a sequence"):
        features(move, torch.rand(2, 3, 4, 4, 4))


def test_gradients_reach_the_image_through_tokens() -> None:
    model, x = CanonicalizedModel.wrap(vit(), group="d4"), images(2, 32).requires_grad_()
    model(pixel_values=x, output_hidden_states=True).hidden_states[-1].square().sum().backward()
    assert x.grad is not None and bool(x.grad.any())


def test_every_layout_is_of_a_type_of_model() -> None:
    from transformers import CONFIG_MAPPING

    assert LAYOUTS.keys() <= set(CONFIG_MAPPING.keys())
    assert BACKBONE["feature_maps"] is features
    resnet = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic"))
    assert layout_of(resnet.config) is None  # maps need none
