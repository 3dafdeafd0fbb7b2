"""The order of measurements, with subjects that only note when they are asked."""

from itertools import pairwise
from pathlib import Path
from statistics import mean, pstdev

import pytest

from benchmarks.bench import Bench
from benchmarks.sections import SECTIONS, alone, bursts, load, steady, throughput
from benchmarks.workloads import Workloads
from tests.benchmarks.noting import EVERY_TASK, Noting


@pytest.fixture
def calls() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def bench(default_model: Path, calls: list[tuple[str, str]]) -> Bench:
    subjects = [Noting("A", EVERY_TASK, calls), Noting("B", frozenset({"embed"}), calls)]
    return Bench(
        subjects,
        Workloads(default_model / "tokenizer.json"),
        32,
        1.0,
        quick=True,
        lengths=("short",),
    )


def test_subjects_take_turns_and_only_at_what_they_can_do(
    bench: Bench, calls: list[tuple[str, str]]
) -> None:
    for _ in range(2):
        list(throughput(bench))
    once = [("A", "short fill-mask"), ("A", "short embed"), ("B", "short embed")]
    assert calls == once * 2


def test_one_connection_is_measured_in_half_the_time(bench: Bench) -> None:
    samples = list(alone(bench))
    assert {sample.measure for sample in samples} == {"rate", "p50", "p99", "generator", "CPU"}


def test_offered_rates_are_shares_of_capacity_and_stay_the_same(
    bench: Bench, calls: list[tuple[str, str]]
) -> None:
    first, second = list(load(bench)), list(load(bench))
    rates = [sample.value for sample in first if sample.measure == "rate"]
    assert rates[0] == 100.0
    assert rates == [sample.value for sample in second if sample.measure == "rate"]
    # 200 a second, at 50 and 80 %, for a quarter second of warm-up and a second.
    assert calls[1:3] == [("A", "125 requests"), ("A", "200 requests")]


def test_every_section_says_what_it_measures() -> None:
    assert all(section.__doc__ for section in SECTIONS.values())


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
