"""Sums over processes: whoever is asked, dead ones included, and what falls out of date."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from server.process.shared_memory import Board, Member
from server.process.statistics import Totals, merged, packed, unpacked


class Counting:
    """What one process counts, and the totals that it would answer."""

    def __init__(self, board: Board, place: int) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("requests", "Answered.", ["route"], registry=self.registry)
        self.seconds = Histogram("seconds", "Taken.", buckets=(1, 2), registry=self.registry)
        self.queued = Gauge("queued", "Waiting.", registry=self.registry)
        self.heartbeat = Gauge("cloze_worker_heartbeat_age_s", "Age.", registry=self.registry)
        self.totals = Totals(self.registry, Member(place, board, control=-1, late=False))

    def lines(self) -> dict[str, float]:
        lines = generate_latest(self.totals).decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of `time.monotonic()` everywhere, to be set."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_whoever_is_asked_answers_for_all() -> None:
    board = Board(2)
    one, other = Counting(board, 0), Counting(board, 1)
    one.requests.labels("/embed").inc(3)
    other.requests.labels("/embed").inc(4)
    other.requests.labels("/nsp").inc()
    one.seconds.observe(0.5)
    other.seconds.observe(1.5)
    one.queued.set(5)
    other.queued.set(6)
    one.heartbeat.set(7)
    other.heartbeat.set(8)
    one.totals.post()
    lines = other.lines()
    assert lines['requests_total{route="/embed"}'] == 7
    assert lines['requests_total{route="/nsp"}'] == 1
    assert lines["queued"] == 11
    assert lines["cloze_worker_heartbeat_age_s"] == 8
    assert (lines['seconds_bucket{le="1.0"}'], lines['seconds_bucket{le="2.0"}']) == (1, 2)
    assert (lines["seconds_count"], lines["seconds_sum"]) == (2, 2)
    assert lines["cloze_processes"] == 2
    assert one.lines() == lines


def test_a_silent_process_keeps_its_counts_but_not_its_state(clock: list[float]) -> None:
    board = Board(2)
    one, other = Counting(board, 0), Counting(board, 1)
    other.requests.labels("/embed").inc(4)
    other.queued.set(6)
    other.totals.post()
    clock[0] += 10
    lines = one.lines()
    assert lines['requests_total{route="/embed"}'] == 4
    assert lines["queued"] == 0
    assert lines["cloze_processes"] == 1


def test_a_replacement_counts_on_from_what_its_predecessor_posted() -> None:
    board = Board(2)
    asked, dead = Counting(board, 0), Counting(board, 1)
    dead.requests.labels("/embed").inc(4)
    dead.seconds.observe(1.5)
    dead.queued.set(6)
    dead.totals.post()
    replacement = Counting(board, 1)
    assert asked.lines()['requests_total{route="/embed"}'] == 4
    replacement.requests.labels("/embed").inc()
    replacement.totals.post()
    replacement.totals.post()
    lines = asked.lines()
    assert lines['requests_total{route="/embed"}'] == 5
    assert lines["seconds_count"] == 1
    assert lines["queued"] == 0
    assert lines["cloze_process_restarts_total"] == 1


def test_silence_is_that_of_the_worst_process_that_is_ready(clock: list[float]) -> None:
    board = Board(2)
    one, other = Counting(board, 0), Counting(board, 1)
    one.totals.post()
    other.heartbeat.set(20)
    other.totals.post()
    clock[0] += 2
    assert one.totals.silence_s() == 0
    board.set_ready(0, ready=True)
    assert one.totals.silence_s() == 2
    board.set_ready(1, ready=True)
    assert one.totals.silence_s() == 22


def test_infinity_survives_the_journey() -> None:
    gauge = Gauge("age", "Of a dead worker.", registry=None)
    gauge.set(math.inf)
    (family,) = merged(unpacked(packed(gauge.collect())))
    assert family.samples[0].value == math.inf
