"""Percentiles are measured values, by nearest rank."""

import math

import pytest

from benchmarks.load.latencies import percentile


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 1), (0.5, 50), (0.501, 51), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_shares_that_floating_point_cannot_write_fall_on_the_right_rank() -> None:
    assert percentile(range(1, 101), 0.07) == 7
    assert percentile(range(1, 1001), 0.999) == 999


def test_percentiles_of_few_values() -> None:
    assert percentile([3.0], 0.5) == percentile([3.0], 0.99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0


def test_no_value_has_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))
