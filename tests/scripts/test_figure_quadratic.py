"""What the benchmark of quadratic neurons says of two curves."""

import pytest
from figure_quadratic import Measured, linear_at, linear_needs
from seeds import standard_error


def measured(parameters: int, *accuracies: float) -> Measured:
    return Measured({}, {}, [{"parameters": parameters, "macs": 0, "test": value} for value in accuracies])


LINEAR = [measured(100, 70, 72), measured(1_000, 80, 84), measured(10_000, 90, 90)]


@pytest.mark.parametrize(
    ("parameters", "expected"), [(100, 71), (316.23, 76.5), (1_000, 82), (3_162.3, 86), (10_000, 90)]
)
def test_between_two_sizes_accuracy_is_straight_in_the_logarithm(parameters: int, expected: float) -> None:
    assert linear_at(measured(parameters, 50, 50), LINEAR)[0] == pytest.approx(expected, abs=0.01)


def test_the_error_is_that_of_a_difference() -> None:
    (_, at_one), (_, between) = (linear_at(measured(size, 79, 81), LINEAR) for size in (100, 316.228))
    own = standard_error([79, 81])
    assert own == pytest.approx(1.0)
    assert at_one == pytest.approx((own**2 + 1**2) ** 0.5)
    assert between == pytest.approx((own**2 + 0.5**2 * 1 + 0.5**2 * 2**2) ** 0.5, rel=1e-4)


def test_beyond_what_was_trained_nothing_is_said() -> None:
    for size in (99, 10_001):
        with pytest.raises(ValueError, match="lie beyond the linear networks"):
            linear_at(measured(size, 50, 50), LINEAR)


@pytest.mark.parametrize(
    ("accuracy", "said"), [(60, "at most 0.1 x"), (82, "1.0 x"), (86, "3.2 x"), (95, "more than 10.0 x")]
)
def test_how_many_parameters_a_linear_network_needs(accuracy: float, said: str) -> None:
    assert linear_needs(measured(1_000, accuracy, accuracy), LINEAR) == said
