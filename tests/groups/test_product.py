"""A product does what its factors do, one after the other, in any order."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_canon import get_group
from hf_canon.groups import Group, Images, Product, Waveforms
from hf_canon.groups.audio import Polarity, Reverse, TimeShift

PRODUCTS = ["d4*channels", "channels*d4", "d4*negative", "c4*hue12", "c8*hue3", "hue2*hue3", "d2*channels*negative"]
EXACT = ["d4*channels", "channels*d4", "d4*negative", "d2*channels*negative", "c1*hue3"]


def product(name: str) -> Product:
    group = get_group(name)
    assert isinstance(group, Product)
    return group


def pairs(group: Group) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.meshgrid(group.elements, group.elements, indexing="ij")
    return first.flatten(), second.flatten()


@pytest.mark.parametrize("name", PRODUCTS)
class TestProduct:
    def test_elements_are_those_of_its_factors(self, name: str) -> None:
        group = product(name)
        assert group.name == name and group.order == len(group.elements)
        parts = group.split(group.elements)
        assert torch.equal(group.join(parts), group.elements)
        table = torch.cartesian_prod(*[factor.elements for factor in group.factors])
        assert torch.equal(torch.stack(parts, -1), table)
        assert group.elements.unflatten(-1, group.orders).shape == tuple(factor.order for factor in group.factors)

    def test_composition_is_that_of_its_factors(self, name: str) -> None:
        group = product(name)
        a, b = pairs(group)
        composed = group.split(group.compose(a, b))
        for factor, one, other, both in zip(group.factors, group.split(a), group.split(b), composed, strict=True):
            assert torch.equal(factor.compose(one, other), both)

    def test_factors_act_in_any_order(self, name: str) -> None:
        group = product(name)
        x = torch.rand(group.order, 3, 9, 9)
        transformed = group.act(x, group.elements)
        for order in permutations(zip(group.factors, group.split(group.elements), strict=True)):
            other = x
            for factor, part in order:
                other = factor.act(other, part)
            assert torch.allclose(transformed, other, atol=1e-6)

    def test_exact_elements(self, name: str) -> None:
        group = product(name)
        exact = group.exact_elements
        is_exact = torch.isin(group.elements, exact)
        expected = torch.stack(
            [
                torch.isin(part, factor.exact_elements)
                for factor, part in zip(group.factors, group.split(group.elements), strict=True)
            ]
        ).all(0)
        assert torch.equal(is_exact, expected)
        assert group.is_exact == all(factor.is_exact for factor in group.factors)
        closed = group.compose(exact[:, None], exact)
        assert torch.isin(closed, exact).all() and torch.isin(group.inverse(exact), exact).all()

    def test_descriptions_and_meaning_name_every_factor(self, name: str) -> None:
        group = product(name)
        for element in group.elements.tolist():
            words = [
                f.describe(int(part))
                for f, part in zip(group.factors, group.split(torch.tensor(element)), strict=True)
            ]
            assert group.describe(element) == ", ".join(words)
        assert all(factor.meaning in group.meaning for factor in group.factors)

    def test_random_act_is_undone_by_its_element(self, name: str) -> None:
        group = product(name)
        x = torch.rand(32, 3, 8, 8)
        transformed, element, offset = group.random_act(x, torch.Generator().manual_seed(0))
        assert element.shape == offset.shape == (32,) and len(element.unique()) > group.order / 4
        assert bool(offset.any()) == (not group.is_exact)
        if group.is_exact:
            assert torch.allclose(group.act(transformed, group.inverse(element)), x, atol=1e-6)

    def test_places_move_with_the_planar_factor(self, name: str) -> None:
        group, points, maps = product(name), torch.rand(24 * 7, 5, 2), torch.rand(24 * 7, 2, 3, 6, 6)
        planar = [factor.name[0] in "cd" and factor.name != "channels" for factor in group.factors]
        element = group.elements.repeat(24 * 7)[: 24 * 7]
        if not any(planar):
            assert group.planar is None and group.act_points(points, element) is points
            return
        index = planar.index(True)
        factor, part = group.factors[index], group.split(element)[index]
        assert group.planar == factor and group.temporal is None
        assert torch.equal(group.act_points(points, element), factor.act_points(points, part))
        assert torch.equal(group.act_maps(maps, element), factor.act_maps(maps, part))


@pytest.mark.parametrize("name", EXACT)
@given(size=st.integers(1, 12), seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_exact_products_are_exact(name: str, size: int, seed: int) -> None:
    """To the bit, where black and white are opposite numbers."""
    group = product(name).on(Images((2.0,) * 3, (-1.0,) * 3))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(16, 3, size, size, generator=generator)
    a, b = group.sample(16, generator), group.sample(16, generator)
    assert torch.equal(group.act(group.act(x, a), b), group.act(x, group.compose(b, a)))


def test_a_product_is_bound_with_its_factors() -> None:
    kind = Images((2.0,) * 3, (-1.0,) * 3)
    group = product("d4*negative")
    bound = group.on(kind)
    assert bound.kind == kind and all(factor.kind == kind for factor in bound.factors)
    assert group.kind == Images((1.0,) * 3, (0.0,) * 3) and group.acts_on == (Images,)
    x = torch.randn(1, 3, 5, 5)
    negative = torch.tensor([1])
    assert torch.equal(bound.act(x, negative), -x) and torch.equal(group.act(x, negative), 1 - x)


@pytest.mark.parametrize(("factor", "orders"), [(Reverse(), (2, 2)), (TimeShift(7), (7, 2))])
def test_clips(factor: Group, orders: tuple[int, int]) -> None:
    """Moments transform with the factor that transforms them, and padding stays where it is."""
    group = Product([factor, Polarity()])
    assert group.orders == orders and group.kind == Waveforms() and group.acts_on == (Waveforms,)
    x, lengths = torch.randn(group.order, 28), torch.full((group.order,), 21)
    x[:, 21:] = 0
    assert group.temporal == factor and group.planar is None
    transformed = group.act(x, group.elements, lengths)
    sign = 1 - 2 * (group.elements % 2).unsqueeze(1)
    assert (
        torch.equal(transformed, sign * factor.act(x, group.split(group.elements)[0], lengths))
        and not transformed[:, 21:].any()
    )
    assert torch.equal(group.act(transformed, group.inverse(group.elements), lengths), x)


@pytest.mark.parametrize(
    ("factors", "reason"),
    [
        ((get_group("c4"), Reverse()), "c4 acts on images, and reverse acts on audio"),
        ((get_group("channels"), Polarity()), "channels acts on images, and polarity acts on audio"),
        ((Reverse(), TimeShift(4)), "reverse and time_shift4 both move audio in time"),
    ],
)
def test_clips_that_do_not_fit(factors: tuple[Group, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Product(factors)


def test_compiles_without_graph_breaks() -> None:
    group = product("d4*channels")
    x = torch.randn(48, 3, 6, 6)
    compiled = torch.compile(group.act, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x, group.elements), group.act(x, group.elements))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("d4*hue", "hue is continuous"),
        ("so2*channels", "so2 is continuous"),
        ("c4*gamma", "gamma is continuous"),
        ("channels*channels", "channels is in it twice"),
        ("d4*channels*d4", "d4 is in it twice"),
        ("c4*d4", "c4 and d4 both turn the image"),
        ("c2*d1", "c2 and d1 both turn the image"),
        ("channels*hue12", "channels after hue12 is not hue12 after channels"),
        ("hue3*channels", "hue3 after channels is not"),
        ("hue4*hue12", "hue4 and hue12 have elements in common"),
        ("c4*hue2*hue8", "hue2 and hue8 have elements in common"),
        ("hue997*hue12*channels", "hue997 after channels is not"),
    ],
)
def test_refusals_quote_the_name(name: str, reason: str) -> None:
    with pytest.raises(ValueError) as error:
        get_group(name)
    assert repr(name) in str(error.value) and reason in str(error.value)


@pytest.mark.parametrize(
    ("name", "part"), [("d4*colours", "colours"), ("d4*", ""), ("*", ""), ("d4 * channels", "d4 ")]
)
def test_unknown_factors_are_quoted(name: str, part: str) -> None:
    with pytest.raises(ValueError, match="Known groups: c<n>") as error:
        get_group(name)
    assert f"There is no group {part!r} in {name!r}" in str(error.value)


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="10 x 20"):
        get_group("d4*channels").check_shape((1, 3, 10, 20))
    with pytest.raises(ValueError, match="convert it to RGB"):
        get_group("d4*channels").check_shape((1, 1, 10, 10))
    with pytest.raises(ValueError, match="preprocessor_config.json"):
        get_group("d4*channels").on(Images())
    with pytest.raises(ValueError, match="d4\\*channels .*these inputs are audio"):
        get_group("d4*channels").on(Waveforms())


def test_names_are_cached() -> None:
    assert get_group("d4*channels") is get_group("d4*channels")
