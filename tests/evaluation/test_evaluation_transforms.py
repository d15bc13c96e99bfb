import math

import pytest
import torch

from hf_canon import get_group
from hf_canon.evaluation.transforms import Rotation, parse_transforms


@pytest.mark.parametrize("name", ["c4", "c8", "d8", "c12", "c7", "d3"])
def test_a_shift_is_the_groups_own_action_with_bicubic_pixels(name, x):
    group = get_group(name)
    for element, transform in zip(group.elements, parse_transforms(name)[name], strict=True):
        expected = group.act(x, element.expand(len(x)), interpolation="bicubic")
        # Turns beyond 90 degrees are a permutation of a smaller one, equal up to rounding.
        torch.testing.assert_close(transform(x), expected, rtol=0, atol=2e-4)
        if element in group.exact_elements:
            assert torch.equal(transform(x), expected)


@pytest.mark.parametrize("name", ["c4", "c8", "d4", "d7", "c100"])
def test_every_element_is_told_apart_and_described_as_the_group_does(name):
    group = get_group(name)
    shifts = parse_transforms(group)[name]
    for element, transform in zip(group.elements.tolist(), shifts, strict=True):
        assert transform.element(group) == element
        assert transform.recovered(group.elements, group).tolist() == [
            other == element for other in group.elements.tolist()
        ]
        if name != "d7":
            assert transform.name == group.describe(element)


def test_angles_between_elements_are_recovered_by_the_nearest():
    c4, so2 = get_group("c4"), get_group("so2")
    assert Rotation(30).recovered(c4.elements, c4).tolist() == [True, False, False, False]
    assert Rotation(350).recovered(c4.elements, c4).tolist() == [True, False, False, False]
    assert Rotation(45).recovered(c4.elements, c4).tolist() == [True, True, False, False]
    angles = torch.tensor([350.0, 12.0, 22.0, 23.0, -22.0]).deg2rad()
    assert Rotation(0).recovered(angles, so2).tolist() == [True, True, True, False, True]
    assert Rotation(180).element(so2) == pytest.approx(math.pi)
    assert Rotation(100).element(c4) == 1 and Rotation(359).element(c4) == 0


def test_a_mirror_that_the_group_lacks_leaves_the_turn_to_find():
    c4, d4 = get_group("c4"), get_group("d4")
    assert Rotation(90, True).recovered(c4.elements, c4).tolist() == [False, True, False, False]
    assert Rotation(90, True).recovered(d4.elements, d4).nonzero().tolist() == [[5]]
    assert Rotation(90, True).element(c4) == 1 and Rotation(90, True).element(d4) == 5


def test_groups_and_angles_share_one_list():
    sets = parse_transforms(["c4", 10, get_group("d2"), -20, 370.5])
    assert {name: len(shifts) for name, shifts in sets.items()} == {"c4": 4, "angles": 3, "d2": 4}
    assert [transform.angle for transform in sets["angles"]] == [10, 340, 10.5]
    assert parse_transforms(90) == {"angles": [Rotation(90)]}


@pytest.mark.parametrize(
    ("transforms", "sentence"),
    [
        ("e8", "no group 'e8'"),
        (["c4", "90"], "no group '90'"),
        ("so2", "give|angles in degrees"),
        ([], "no transforms in an empty list"),
        ([math.inf], "inf degrees"),
        ([None], "None"),
    ],
)
def test_what_is_no_transform_is_refused(transforms, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_transforms(transforms)
