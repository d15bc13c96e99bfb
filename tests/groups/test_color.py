"""Colours move as they would on plain RGB, however the images are normalised."""

import colorsys
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch import Tensor

from hf_canon import get_group
from hf_canon.groups import Group, Images, Waveforms
from hf_canon.groups.color import Color, Gamma, Hue, WhiteBalance

FINITE = ["channels", "negative", "hue1", "hue2", "hue3", "hue6", "hue12", "hue7"]
COLORS = [*FINITE, "hue", "white_balance", "gamma"]
GREY = ["negative", "gamma"]
PERMUTING = ["channels", "hue1", "hue3"]

PLAIN = Images((1.0,) * 3, (0.0,) * 3)
HALVES = Images((2.0,) * 3, (-1.0,) * 3)
BYTES = Images((255.0,) * 3, (0.0,) * 3)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Images(tuple(1 / d for d in DEVIATION), tuple(-m / d for m, d in zip(MEAN, DEVIATION, strict=True)))
KINDS = [PLAIN, HALVES, BYTES, IMAGENET]


def color(name: str, kind: Images = PLAIN) -> Color:
    group = get_group(name).on(kind)
    assert isinstance(group, Color)
    return group


def some_elements(group: Group, n: int = 9) -> Tensor:
    return group.elements if group.finite else group.sample(n, torch.Generator().manual_seed(0))


def normalized(v: Tensor, kind: Images) -> Tensor:
    return v * torch.tensor(kind.scale).view(3, 1, 1) + torch.tensor(kind.offset).view(3, 1, 1)


def shown(x: Tensor, kind: Images) -> Tensor:
    return (x - torch.tensor(kind.offset).view(3, 1, 1)) / torch.tensor(kind.scale).view(3, 1, 1)


def by_hand(name: str, v: Tensor, element: Tensor) -> Tensor:
    """What an element does to RGB `(3, height, width)`, in double precision."""
    v, t = v.double(), element.double()
    if name == "channels":
        return v[["RGB".index(letter) for letter in get_group(name).describe(int(element))]]
    if name == "negative":
        return 1 - v if element else v
    if name == "white_balance":
        return v * torch.stack([2**t, torch.ones_like(t), 2**-t]).view(3, 1, 1)
    if name == "gamma":
        return torch.where(v > Gamma.FLOOR, v.clamp(min=Gamma.FLOOR) ** (2**t), v)
    # Rodrigues' formula about (1, 1, 1): k (k . v) + cos (v - k (k . v)) + sin k x v
    angle = t * (2 * math.pi / int(name[3:] or 0)) if name != "hue" else t
    grey = v.mean(0, keepdim=True)
    cross = torch.stack([v[2] - v[1], v[0] - v[2], v[1] - v[0]]) / math.sqrt(3)
    return grey + angle.cos() * (v - grey) + angle.sin() * cross


@pytest.mark.covering("name", "kind")
@pytest.mark.parametrize("kind", KINDS, ids=["plain", "halves", "bytes", "imagenet"])
@pytest.mark.parametrize("name", COLORS)
class TestOnEveryNormalisation:
    @given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 2**16))
    @settings(max_examples=15, deadline=None)
    def test_acts_on_rgb(self, name: str, kind: Images, height: int, width: int, seed: int) -> None:
        group = color(name, kind)
        v = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * 1.4 - 0.2
        element = some_elements(group)
        transformed = shown(group.act(normalized(v, kind).expand(len(element), -1, -1, -1), element), kind)
        for one, there in zip(element, transformed, strict=True):
            # Rounding, in units of the whole range; a steep power of nearly black makes more of it.
            allowed = 2e-3 if name == "gamma" else 2e-6
            assert (there - by_hand(name, v, one)).abs().max() < allowed

    def test_pairs_of_elements(self, name: str, kind: Images) -> None:
        group = color(name, kind)
        a, b = (one.flatten() for one in torch.meshgrid(*[some_elements(group)] * 2, indexing="ij"))
        v = torch.rand(1, 3, 8, 8) * 0.9 + 0.05
        x = normalized(v, kind).expand(len(a), -1, -1, -1)
        twice, once = group.act(group.act(x, a), b), group.act(x, group.compose(b, a))
        assert (shown(twice, kind) - shown(once, kind)).abs().max() < (1e-4 if name == "gamma" else 5e-6)
        back = group.act(group.act(x, a), group.inverse(a))
        assert (shown(back, kind) - v).abs().max() < (1e-4 if name == "gamma" else 5e-6)

    @pytest.mark.covering("name", "kind", "dtype")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.uint8])
    def test_identity_touches_nothing_among_others(self, name: str, kind: Images, dtype: torch.dtype) -> None:
        group = color(name, kind)
        x = (torch.rand(6, 3, 4, 4) * (200 if dtype == torch.uint8 else 1)).to(dtype)
        x[:, :, 0, 0] = torch.tensor([-0.0, 0.0, 1e-30]).to(dtype)
        other = some_elements(group)[-1]
        element = torch.stack([torch.zeros_like(other), other]).repeat(3)
        transformed = group.act(x, element)
        assert transformed.dtype == dtype
        bits = (
            torch.uint8 if dtype == torch.uint8 else {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
        )
        assert torch.equal(transformed[::2].view(bits), x[::2].view(bits))
        if name != "hue1":
            assert not torch.equal(transformed[1::2], x[1::2])

    def test_half_precision_is_computed_in_single(self, name: str, kind: Images) -> None:
        group = color(name, kind)
        element = some_elements(group)
        x = normalized(torch.rand(len(element), 3, 5, 5), kind).bfloat16()
        assert torch.equal(group.act(x, element), group.act(x.float(), element).bfloat16())
        with torch.autocast("cpu", torch.bfloat16):
            inside = group.act(x.float(), element)
        assert torch.equal(inside, group.act(x.float(), element))

    def test_gradient_is_the_slope(self, name: str, kind: Images) -> None:
        group = color(name, kind)
        element = some_elements(group)
        x = normalized(torch.rand(1, 3, 2, 2) * 0.8 + 0.1, kind).double().expand(len(element), -1, -1, -1).clone()
        torch.autograd.gradcheck(lambda x: group.act(x, element), x.requires_grad_(), eps=1e-4, atol=1e-4)


@pytest.mark.covering("name", "kind", "dtype")
@pytest.mark.parametrize("name", PERMUTING)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float16, torch.float32])
@pytest.mark.parametrize("kind", [PLAIN, HALVES, BYTES], ids=["plain", "halves", "bytes"])
@given(seed=st.integers(0, 2**16), height=st.integers(1, 6), width=st.integers(1, 6))
@settings(max_examples=10, deadline=None)
def test_permutations_only_move_values(
    name: str, dtype: torch.dtype, kind: Images, seed: int, height: int, width: int
) -> None:
    group = color(name, kind)
    x = (torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed)).abs() * 90).to(dtype)
    orbit = group.orbit(x[None])[0]
    for transformed, one in zip(orbit, group.elements, strict=True):
        source = by_hand(name, torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1), one).flatten().round().long()
        assert torch.equal(transformed, x[source])
    assert group.is_exact


@pytest.mark.parametrize("name", ["hue6", "hue12", "hue999", "hue"])
def test_thirds_among_others_are_permutations(name: str) -> None:
    group = color(name)
    exact = group.exact_elements
    assert len(exact) == 3
    x = torch.randn(6, 3, 4, 4)
    other = group.sample(3, torch.Generator().manual_seed(3))
    transformed = group.act(x, torch.stack([exact, other], 1).flatten())
    for third in range(3):
        assert torch.equal(transformed[2 * third], x[2 * third].roll(third, 0))
    assert torch.equal(group.act(transformed, group.inverse(torch.stack([exact, other], 1).flatten()))[::2], x[::2])


def test_whole_numbers_are_bytes_under_any_normalisation() -> None:
    x = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    for kind in KINDS:
        assert torch.equal(color("negative", kind).act(x, torch.tensor([0, 1]))[1], 255 - x[1])
        assert torch.equal(color("channels", kind).act(x, torch.tensor([0, 5]))[1], x[1].flip(0))
        warm = color("white_balance", kind).act(x, torch.tensor([0.0, 1.0]))[1]
        assert torch.equal(warm[0], (2 * x[1, 0].int()).clamp(max=255).byte()) and torch.equal(warm[1], x[1, 1])


def test_negatives_are_negations_where_black_and_white_are_opposite() -> None:
    x = torch.randn(2, 3, 8, 8)
    halves = Images((1 / 255 / 0.5 * 255,) * 3, (-0.5 / 0.5,) * 3)  # as a processor's numbers come out
    assert torch.equal(color("negative", halves).act(x, torch.ones(2, dtype=torch.long)), -x)


def photograph() -> Image.Image:
    """Every corner of the colour cube, and what lies between, as bytes."""
    levels = torch.linspace(0, 255, 9).round().byte()
    return Image.fromarray(torch.cartesian_prod(levels, levels, levels).view(27, 27, 3).numpy())


def as_tensor(image: Image.Image) -> Tensor:
    return (
        torch.tensor(list(image.tobytes()), dtype=torch.uint8)
        .view(1, image.height, image.width, 3)
        .permute(0, 3, 1, 2)
    )


def test_against_pillow() -> None:
    image = photograph()
    x = as_tensor(image)
    assert torch.equal(get_group("negative").act(x, torch.tensor([1])), as_tensor(ImageOps.invert(image)))
    bgr = Image.merge("RGB", image.split()[::-1])
    assert torch.equal(get_group("channels").act(x, torch.tensor([5])), as_tensor(bgr))
    darker = image.point([round(255 * (level / 255) ** 2) for level in range(256)] * 3)
    assert torch.equal(get_group("gamma").act(x, torch.tensor([1.0])), as_tensor(darker))


@pytest.mark.parametrize("sixth", range(6))
def test_hue_turns_as_in_hsv(sixth: int) -> None:
    """Sixths of a turn take pure colours to pure colours; so do HSV's, and others agree within 1.2 degrees."""
    hue = sixth / 6
    pure = torch.tensor(colorsys.hsv_to_rgb(hue, 1, 1)).view(1, 3, 1, 1)
    chroma = get_group("hue").moment(pure)[0]  # type: ignore[attr-defined]
    assert abs(math.remainder(math.atan2(chroma[1], chroma[0]) - 2 * math.pi * hue, 2 * math.pi)) < 1e-5
    for turn in range(0, 360, 5):
        red = torch.tensor([1.0, 0.5, 0.5]).view(1, 3, 1, 1)
        transformed = get_group("hue").act(red, torch.tensor([math.radians(turn)])).flatten()
        found = 360 * colorsys.rgb_to_hsv(*transformed.tolist())[0]
        assert abs(math.remainder(found - turn, 360)) < 1.2


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "halves", "bytes", "imagenet"])
class TestMoments:
    @given(seed=st.integers(0, 2**16), size=st.integers(2, 12))
    @settings(max_examples=20, deadline=None)
    def test_lines(self, kind: Images, seed: int, size: int) -> None:
        """An element adds itself, whatever is black or white."""
        generator = torch.Generator().manual_seed(seed)
        for name, allowed in (("white_balance", 1e-5), ("gamma", 1e-3)):
            group = color(name, kind)
            assert isinstance(group, WhiteBalance | Gamma)
            v = torch.rand(4, 3, size, size, generator=generator) * 0.9 + 0.05
            v[:, :, 0, 0], v[:, :, 0, 1] = (0.0, 1.0) if name == "gamma" else (0.2, 0.3)
            element = group.sample(4, generator)
            x = normalized(v, kind)
            transformed = group.moment(group.act(x, element))
            assert torch.allclose(transformed, group.moment(x) + element, rtol=0, atol=allowed)

    @pytest.mark.parametrize("name", ["hue", "hue5", "hue12"])
    @given(seed=st.integers(0, 2**16))
    @settings(max_examples=20, deadline=None)
    def test_circles(self, name: str, kind: Images, seed: int) -> None:
        group = color(name, kind)
        assert isinstance(group, Hue)
        generator = torch.Generator().manual_seed(seed)
        x = normalized(torch.rand(5, 3, 4, 4, generator=generator), kind)
        element = group.sample(5, generator)
        here = torch.view_as_complex(group.moment(x))
        there = torch.view_as_complex(group.moment(group.act(x, element)))
        assert torch.allclose(there, here * torch.polar(torch.ones(5), group.angle(element).float()), atol=2e-6)


@pytest.mark.parametrize("name", ["white_balance", "gamma", "hue"])
def test_moments_are_finite_for_every_flat_image(name: str) -> None:
    group = color(name)
    for level in (-1.0, 0.0, 0.5, 1.0, 2.0):
        x = torch.full((1, 3, 4, 4), level, requires_grad=True)
        moment = group.moment(x)  # type: ignore[attr-defined]
        moment.sum().backward()
        assert moment.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_gamma_has_finite_gradients_and_leaves_what_is_not_between_alone() -> None:
    group = color("gamma")
    x = torch.tensor([-1.0, 0.0, 1e-9, 1e-6, 2e-6, 0.5, 1.0, 2.0]).expand(3, 8).reshape(1, 3, 2, 4).requires_grad_()
    for t in (-1.0, -0.5, 0.5, 1.0):
        element = torch.tensor([t], requires_grad=True)
        transformed = group.act(x, element)
        assert torch.equal(transformed.flatten()[:4], x.flatten()[:4]) and transformed.flatten()[6] == 1
        assert transformed.flatten()[7].item() == pytest.approx(2 ** (2**t))
        for gradient in torch.autograd.grad(transformed.sum(), (x, element)):
            assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["channels", "negative", "hue1", "hue3", "hue12"])
@pytest.mark.parametrize("kind", [PLAIN, IMAGENET], ids=["plain", "imagenet"])
def test_compiles_without_graph_breaks(name: str, kind: Images) -> None:
    group = color(name, kind)
    x = torch.randn(group.elements.numel(), 3, 6, 6)
    compiled = torch.compile(group.act, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x, group.elements), group.act(x, group.elements))


@pytest.mark.parametrize("name", GREY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8], ids=str)
def test_grey_images_move_as_each_channel_does(name: str, dtype: torch.dtype) -> None:
    halves = get_group(name).on(Images((2.0,), (-1.0,)))
    x = torch.rand(4, 1, 5, 6) * 255 if dtype == torch.uint8 else normalized(torch.rand(4, 1, 5, 6), HALVES)[:, :1]
    x = x.to(dtype)
    element = some_elements(halves, 4).expand(4) if name == "gamma" else torch.tensor([0, 1, 1, 0])
    in_colour = color(name, HALVES).act(x.expand(-1, 3, -1, -1), element)[:, :1]
    atol = {torch.float32: 1e-6, torch.bfloat16: 0.01, torch.uint8: 1}[dtype] if name == "gamma" else 0  # of a power
    assert torch.allclose(halves.act(x, element).double(), in_colour.double(), rtol=0, atol=atol)
    if isinstance(halves, Gamma):
        assert torch.allclose(halves.moment(x), Gamma().on(HALVES).moment(x.expand(-1, 3, -1, -1)), atol=1e-5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COLORS)
class TestRefusals:
    def test_unknown_normalisation(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"^{name} .*preprocessor_config.json.*`processor=`"):
            get_group(name).on(Images())

    def test_other_channels(self, name: str) -> None:
        for shape in [(1, 1, 8, 8), (1, 4, 8, 8), (2, 3, 8), (3, 8, 8)]:
            with pytest.raises(ValueError, match=f"^{name} acts on images in red, green and blue.*convert it to RGB"):
                get_group(name).act(torch.rand(shape), torch.zeros(shape[0], dtype=torch.long))
        with pytest.raises(ValueError, match=f"^{name} acts on .*and the channels of these images are 4"):
            get_group(name).on(Images((2.0,) * 4, (-1.0,) * 4))
        if name not in GREY:
            with pytest.raises(
                ValueError, match="the channels of these images are 1. Grey ones have negative and gamma"
            ):
                get_group(name).on(Images((2.0,), (-1.0,)))

    def test_audio(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"^{name} .*acts on images, and these inputs are audio"):
            get_group(name).on(Waveforms())


def test_places_stay() -> None:
    for name in COLORS:
        group = get_group(name)
        element = some_elements(group)
        boxes = torch.rand(len(element), 3, 4)
        assert group.planar is None and group.act_boxes(boxes, element) is boxes


def test_bound_groups_are_their_own() -> None:
    """`on` leaves the cached group as it was."""
    bound = get_group("negative").on(HALVES)
    assert bound.kind == HALVES and get_group("negative").kind == PLAIN and bound == get_group("negative")
