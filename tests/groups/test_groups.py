"""One suite for every group: a new group joins `GROUPS` and gets all of it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_canon import get_group
from hf_canon.groups import Group, OneParameter, Planar

FINITE = ["c1", "c2", "c3", "c4", "c5", "c8", "c12", "d1", "d2", "d3", "d4", "d6", "d8"]
PLANAR = [*FINITE, "so2"]
COLORS = ["channels", "negative", "hue1", "hue2", "hue3", "hue12", "hue", "white_balance", "gamma"]
PRODUCTS = ["d4*channels", "d2*negative", "c4*hue12", "c8*hue3", "c1*channels*negative"]
GROUPS = [*PLANAR, *COLORS, *PRODUCTS]
EXACT = ["c1", "c2", "c4", "d1", "d2", "d4"]


def some_elements(group: Group, n: int = 24) -> torch.Tensor:
    return group.elements if group.finite else group.sample(n, torch.Generator().manual_seed(0))


def pairs(group: Group) -> tuple[torch.Tensor, torch.Tensor]:
    elements = some_elements(group)
    first, second = torch.meshgrid(elements, elements, indexing="ij")
    return first.flatten(), second.flatten()


def same(group: Group, a: torch.Tensor, b: torch.Tensor) -> bool:
    if group.finite:
        return bool((a == b).all())
    assert isinstance(group, OneParameter)
    return bool((group.wrap(a - b).abs() < 1e-5).all())


def smooth(size: int, batch: int = 1, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Images that a resampling hardly changes, fading out before the border."""
    noise = torch.randn(batch, channels, 5, 5, generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.interpolate(noise, size, mode="bicubic", align_corners=True)
    r = torch.linspace(-1, 1, size)
    return x * torch.exp(-8 * (r.square()[:, None] + r.square()))


@pytest.mark.parametrize("name", GROUPS)
class TestGroup:
    def test_name_and_equality(self, name: str) -> None:
        assert get_group(name).name == name
        assert get_group(name) == get_group(name)
        assert hash(get_group(name)) == hash(get_group(name))

    def test_axioms(self, name: str) -> None:
        group = get_group(name)
        a, b = pairs(group)
        c = a.flip(0)
        identity = torch.zeros_like(a)
        assert same(group, group.compose(a, identity), a)
        assert same(group, group.compose(identity, a), a)
        assert same(group, group.compose(a, group.inverse(a)), identity)
        assert same(group, group.compose(group.inverse(a), a), identity)
        assert same(group, group.compose(a, group.compose(b, c)), group.compose(group.compose(a, b), c))

    def test_closed(self, name: str) -> None:
        group = get_group(name)
        if group.finite:
            products = group.compose(*pairs(group)).view(group.order, group.order)
            for row in (*products, *products.T):
                assert sorted(row.tolist()) == group.elements.tolist()

    def test_composition_is_the_action(self, name: str) -> None:
        """act(act(x, a), b) is act(x, compose(b, a)), up to what two resamplings blur."""
        group = get_group(name)
        a, b = pairs(group)
        x = smooth(65).expand(len(a), -1, -1, -1)
        twice, once = group.act(group.act(x, a), b), group.act(x, group.compose(b, a))
        assert (twice - once).abs().max() < (1e-6 if group.is_exact else 0.03 * x.abs().max())

    def test_identity_touches_nothing(self, name: str) -> None:
        group = get_group(name)
        x = torch.randn(2, 3, 9, 9)
        identity = torch.tensor([group.identity] * 2)
        assert torch.equal(group.act(x, identity), x)

    @pytest.mark.covering("name", "dtype")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    def test_dtypes_and_shapes(self, name: str, dtype: torch.dtype) -> None:
        group = get_group(name)
        element = some_elements(group)
        x = torch.randn(len(element), 3, 12, 12).to(dtype)
        transformed = group.act(x, element)
        assert transformed.shape == x.shape and transformed.dtype == dtype and transformed.isfinite().all()

    def test_input_is_not_written_to(self, name: str) -> None:
        group = get_group(name)
        element = some_elements(group)
        x = torch.randn(len(element), 3, 8, 8)
        before, element_before = x.clone(), element.clone()
        group.act(x, element)
        assert torch.equal(x, before) and torch.equal(element, element_before)

    def test_orbit(self, name: str) -> None:
        group = get_group(name)
        element = some_elements(group, 5)
        x = torch.randn(2, 3, 8, 8)
        orbit = group.orbit(x, element)
        for k, one in enumerate(element):
            assert torch.equal(orbit[:, k], group.act(x, one.expand(2)))

    def test_random_act_stays_in_its_cell(self, name: str) -> None:
        group = get_group(name)
        x = smooth(33, batch=64, channels=2 if isinstance(group, Planar) else 3)
        transformed, element, offset = group.random_act(x, torch.Generator().manual_seed(0))
        assert transformed.shape == x.shape and element.shape == offset.shape == (64,)
        assert (offset.abs() <= 0.5).all()
        if group.is_exact:
            assert torch.equal(transformed, group.act(x, element)) and not offset.any()
        elif group.finite:
            # Nearest element means nearest image: no other element transforms the image closer to what came out.
            candidates = group.orbit(x)
            distance = (candidates - transformed.unsqueeze(1)).square().sum((2, 3, 4))
            near = offset.abs() < 0.3
            assert (distance.argmin(1) == element)[near].float().mean() > 0.95

    def test_descriptions_are_distinct(self, name: str) -> None:
        group = get_group(name)
        words = [group.describe(one) for one in some_elements(group).tolist()]
        assert len(set(words)) == len(words)

    def test_distance_is_one_of_elements(self, name: str) -> None:
        """It is zero from an element to itself alone, symmetric, and the same after one more element."""
        group = get_group(name)
        a, b = pairs(group)
        apart = group.distance(a, b)
        assert torch.equal(apart, group.distance(b, a)) and not bool(group.distance(a, a).any())
        different = (group.compose(a, group.inverse(b)).double().abs() > 1e-5) if not group.finite else a != b
        assert torch.equal(apart > 1e-5, different)
        if group.finite or getattr(group, "period", None):
            c = a.flip(0)
            again = group.distance(group.compose(c, a), group.compose(c, b))
            assert torch.allclose(again, apart, atol=1e-5)

    def test_what_is_nearest_to_an_element_of_the_grid_is_itself(self, name: str) -> None:
        group = get_group(name)
        grid = group.grid(8)
        assert torch.equal(group.nearest(grid, 8), torch.arange(len(grid)))
        logits = torch.nn.functional.one_hot(torch.arange(len(grid)), len(grid)).float()
        assert len(grid) < 3 or bool((group.distance(group.peak(logits), grid) <= group.tolerance + 1e-5).all())

    def test_maps_points_and_boxes_move_together(self, name: str) -> None:
        """A marked pixel of a map lies where its place goes; what moves no places returns what it is given."""
        group, size = get_group(name), 9
        element = group.exact_elements
        maps = torch.zeros(len(element), 2, size, size)
        maps[..., 1, 6] = 1.0
        place = (torch.tensor([6.0, 1.0]) + 0.5).expand(len(element), 1, 2) / size
        boxes = torch.cat([place, torch.tensor([0.2, 0.1]).expand_as(place)], -1)
        transformed, points, found = (
            group.act_maps(maps, element),
            group.act_points(place, element),
            group.act_boxes(boxes, element),
        )
        if group.planar is None:
            assert transformed is maps and points is place and found is boxes
        column, row = (points[:, 0] * size).floor().long().unbind(-1)
        assert (
            bool((transformed[torch.arange(len(element)), :, row, column] == 1).all())
            and transformed.sum() == maps.sum()
        )
        assert torch.allclose(found[..., :2], points) and torch.allclose(found[..., 2:].sum(-1), torch.tensor(0.3))

    def test_every_device(self, name: str, second_device: torch.device) -> None:
        group = get_group(name)
        element = some_elements(group)
        x = torch.randn(len(element), 3, 10, 10)
        transformed = group.act(x.to(second_device), element)
        assert transformed.device.type == second_device.type
        assert torch.allclose(transformed.cpu(), group.act(x, element), atol=1e-5)


@pytest.mark.parametrize("name", PLANAR)
def test_gradient(name: str) -> None:
    """Each pixel of the transformed image pulls on the pixels that it came from, with weights that add up to one."""
    group = get_group(name)
    element = some_elements(group)
    x = torch.randn(len(element), 1, 7, 7, requires_grad=True)
    group.act(x, element).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad.sum((1, 2, 3)), torch.full((len(element),), 49.0), rtol=1e-4)


@pytest.mark.parametrize("name", EXACT)
class TestExactGroup:
    @given(size=st.integers(1, 40), batch=st.integers(1, 3), channels=st.integers(1, 4), seed=st.integers(0, 2**16))
    @settings(max_examples=25, deadline=None)
    def test_bit_exact_at_every_size(self, name: str, size: int, batch: int, channels: int, seed: int) -> None:
        group = get_group(name)
        x = torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(seed))
        first, second = (one.repeat_interleave(batch) for one in pairs(group))
        x = x.repeat(len(first) // batch, 1, 1, 1)
        assert torch.equal(group.act(group.act(x, first), second), group.act(x, group.compose(second, first)))

    def test_against_rot90_and_flip(self, name: str) -> None:
        group = get_group(name)
        x = torch.randn(1, 2, 6, 6)
        angle, mirror = group.angle_and_mirror(group.elements)  # type: ignore[attr-defined]
        for one, turn, mirrored in zip(group.elements, angle, mirror, strict=True):
            expected = torch.rot90(x.flip(-1) if mirrored else x, round(float(turn) / (math.pi / 2)), (-2, -1))
            assert torch.equal(group.act(x, one[None]), expected)

    @pytest.mark.covering()
    def test_compiles_without_graph_breaks(self, name: str) -> None:
        group = get_group(name)
        element = group.elements
        x = torch.randn(len(element), 3, 16, 16)
        compiled = torch.compile(group.act, fullgraph=True, backend="eager")
        assert torch.equal(compiled(x, element), group.act(x, element))


@pytest.mark.parametrize("name", ["c8", "d8", "so2", "c3"])
def test_turns_are_counter_clockwise_about_the_true_centre(name: str) -> None:
    """A resampled quarter turn is the permutation, at odd and even sizes."""
    from hf_canon.groups.planar import turn_pixels

    for size in (2, 3, 8, 9, 32, 33):
        x = torch.randn(1, 1, size, size)
        for k in range(4):
            for mirror in (False, True):
                turned = turn_pixels(x, torch.tensor([k * math.pi / 2]), torch.tensor([mirror]))
                expected = torch.rot90(x.flip(-1) if mirror else x, k, (-2, -1))
                assert torch.allclose(turned, expected, atol=1e-5), (size, k, mirror)


@pytest.mark.parametrize("name", ["c8", "d8", "c12", "so2"])
def test_exact_elements_stay_exact_among_others(name: str) -> None:
    group = get_group(name)
    exact = group.exact_elements
    other = group.sample(len(exact), torch.Generator().manual_seed(1))
    x = torch.randn(2 * len(exact), 1, 11, 11)
    transformed = group.act(x, torch.cat([exact, other]))
    for i, one in enumerate(exact):
        turned, mirrored = group.angle_and_mirror(one[None])  # type: ignore[attr-defined]
        expected = torch.rot90(x[i].flip(-1) if mirrored else x[i], round(float(turned) / (math.pi / 2)), (-2, -1))
        assert torch.equal(transformed[i], expected)


def test_autocast_does_not_move_pixels() -> None:
    group, x = get_group("c8"), smooth(224)
    with torch.autocast("cpu", torch.bfloat16):
        transformed = group.act(x, torch.tensor([1]))
    assert torch.equal(transformed, group.act(x, torch.tensor([1])))


def test_bytes_are_rounded() -> None:
    x = torch.full((1, 1, 9, 9), 200, dtype=torch.uint8)
    assert (get_group("c8").act(x, torch.tensor([1]), interpolation="bicubic") == 200).all()


@pytest.mark.parametrize("name", ["c2", "d2", "d1"])
def test_oblong_inputs_where_the_frame_stays(name: str) -> None:
    group = get_group(name)
    x = torch.randn(len(group.elements), 2, 4, 7)
    transformed = group.act(x, group.elements)
    assert torch.equal(group.act(transformed, group.inverse(group.elements)), x)


@pytest.mark.parametrize(("name", "instead"), [("c4", "c2"), ("d4", "d2"), ("c8", "c2"), ("so2", "c2")])
def test_oblong_inputs_are_refused_with_a_way_out(name: str, instead: str) -> None:
    group = get_group(name)
    with pytest.raises(ValueError, match=f"10 x 20.*'{instead}'"):
        group.act(torch.randn(1, 3, 10, 20), torch.tensor([group.identity]))


@pytest.mark.parametrize("name", ["e8", "c0", "c", "C4", "d-1", "so3", "c4 ", "", "c4000"])
def test_unknown_names_are_quoted_and_the_known_listed(name: str) -> None:
    with pytest.raises(ValueError, match="Known groups: c<n>.*d<n>.*so2") as error:
        get_group(name)
    assert repr(name) in str(error.value)


def test_waveform_is_refused() -> None:
    with pytest.raises(ValueError, match=r"c4 acts on images .* is \(2, 16000\)"):
        get_group("c4").act(torch.randn(2, 16000), torch.tensor([0, 1]))


def test_a_table_cached_in_inference_mode_serves_autograd() -> None:
    group = get_group("c4")
    with torch.inference_mode():
        group.act(torch.randn(1, 1, 37, 37), torch.tensor([1]))
    x = torch.randn(1, 1, 37, 37, requires_grad=True)
    group.act(x, torch.tensor([1])).sum().backward()
    assert x.grad is not None
