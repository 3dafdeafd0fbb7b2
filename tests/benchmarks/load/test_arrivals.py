"""Arrivals: how many, when, and the same every time."""

from itertools import pairwise
from statistics import mean, pstdev

import pytest

from benchmarks.load.arrivals import bursts, steady


def test_as_many_requests_are_due_as_the_rate_says() -> None:
    assert len(steady(rate=70, seconds=3)) == 210
    assert len(steady(rate=0.5, seconds=3)) == 2


def test_arrivals_lie_in_the_time_and_in_order() -> None:
    due_s = steady(rate=100, seconds=2.5)
    assert due_s == sorted(due_s)
    assert due_s[0] >= 0
    assert due_s[-1] < 2.5


def test_gaps_are_those_of_independent_clients() -> None:
    due_s = steady(rate=1000, seconds=20)
    gaps = [later - earlier for earlier, later in pairwise(due_s)]
    assert mean(gaps) == pytest.approx(0.001, rel=0.01)
    # Exponential gaps spread as far as their mean; those of a metronome would not at all.
    assert pstdev(gaps) == pytest.approx(mean(gaps), rel=0.05)


def test_every_subject_meets_the_same_arrivals() -> None:
    assert steady(rate=50, seconds=1) == steady(rate=50, seconds=1)
    assert steady(rate=50, seconds=1) != steady(rate=50, seconds=1, seed=1)


def test_requests_of_a_burst_are_due_at_once() -> None:
    assert bursts(size=3, every_s=2.0, count=3) == [0.0] * 3 + [2.0] * 3 + [4.0] * 3
