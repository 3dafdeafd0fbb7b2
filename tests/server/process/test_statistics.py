"""Sums over processes: whoever is asked, dead ones included, and what falls out of date."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from server.process.shared_memory import ProcessGroupMember, SharedStatistics
from server.process.statistics import GroupCollector, merged, packed, unpacked

TOO_LONG = random.Random(0).randbytes(1_500_000).hex()  # noqa: S311 (not even packed)


class Counting:
    """What one process counts, and the sums that it would answer."""

    def __init__(self, shared: SharedStatistics, rank: int) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("requests", "Answered.", ["route"], registry=self.registry)
        self.seconds = Histogram("seconds", "Taken.", buckets=(1, 2), registry=self.registry)
        self.queued = Gauge("queued", "Waiting.", registry=self.registry)
        self.heartbeat = Gauge("cloze_worker_heartbeat_age_seconds", "Age.", registry=self.registry)
        member = ProcessGroupMember(rank, shared, control=-1, is_replacement=False)
        self.group = GroupCollector(self.registry, member)

    def lines(self) -> dict[str, float]:
        lines = generate_latest(self.group).decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of `time.monotonic()` everywhere, to be set."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_whoever_is_asked_answers_for_all() -> None:
    shared = SharedStatistics(2)
    one, other = Counting(shared, 0), Counting(shared, 1)
    one.requests.labels("/embed").inc(3)
    other.requests.labels("/embed").inc(4)
    other.requests.labels("/nsp").inc()
    one.seconds.observe(0.5)
    other.seconds.observe(1.5)
    one.queued.set(5)
    other.queued.set(6)
    one.heartbeat.set(7)
    other.heartbeat.set(8)
    one.group.publish()
    lines = other.lines()
    assert lines['requests_total{route="/embed"}'] == 7
    assert lines['requests_total{route="/nsp"}'] == 1
    assert lines["queued"] == 11
    assert lines["cloze_worker_heartbeat_age_seconds"] == 8
    assert (lines['seconds_bucket{le="1.0"}'], lines['seconds_bucket{le="2.0"}']) == (1, 2)
    assert (lines["seconds_count"], lines["seconds_sum"]) == (2, 2)
    assert lines["cloze_processes"] == 2
    assert one.lines() == lines


def test_a_silent_process_keeps_its_counts_but_not_its_state(clock: list[float]) -> None:
    shared = SharedStatistics(2)
    one, other = Counting(shared, 0), Counting(shared, 1)
    other.requests.labels("/embed").inc(4)
    other.queued.set(6)
    other.group.publish()
    clock[0] += 10
    lines = one.lines()
    assert lines['requests_total{route="/embed"}'] == 4
    assert lines["queued"] == 0
    assert lines["cloze_processes"] == 1


def test_a_replacement_counts_on_from_what_its_predecessor_published() -> None:
    shared = SharedStatistics(2)
    asked, dead = Counting(shared, 0), Counting(shared, 1)
    dead.requests.labels("/embed").inc(4)
    dead.seconds.observe(1.5)
    dead.queued.set(6)
    dead.group.publish()
    replacement = Counting(shared, 1)
    assert asked.lines()['requests_total{route="/embed"}'] == 4
    replacement.requests.labels("/embed").inc()
    replacement.group.publish()
    replacement.group.publish()
    lines = asked.lines()
    assert lines['requests_total{route="/embed"}'] == 5
    assert lines["seconds_count"] == 1
    assert lines["queued"] == 0
    assert lines["cloze_process_restarts_total"] == 1


def test_silence_is_that_of_the_worst_process_that_is_ready(clock: list[float]) -> None:
    shared = SharedStatistics(2)
    one, other = Counting(shared, 0), Counting(shared, 1)
    one.group.publish()
    other.heartbeat.set(20)
    other.group.publish()
    clock[0] += 2
    assert one.group.silence_s() == 0
    shared.set_ready(0, ready=True)
    assert one.group.silence_s() == 2
    shared.set_ready(1, ready=True)
    assert one.group.silence_s() == 22


def test_what_is_too_long_to_share_leaves_the_counts_before_and_is_logged_once(
    caplog: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    shared = SharedStatistics(2)
    one, other = Counting(shared, 0), Counting(shared, 1)
    shared.set_ready(0, ready=True)
    one.requests.labels("/embed").inc(3)
    one.group.publish()
    one.requests.labels(TOO_LONG).inc()
    for _ in range(3):
        clock[0] += 4
        one.group.publish()
    assert other.lines()['requests_total{route="/embed"}'] == 3
    assert other.lines()["cloze_processes"] == 2  # it is silent about its counts, but alive
    assert other.group.silence_s() == 0
    (line,) = caplog.messages
    assert line.startswith("new statistics are not shared: expected at most 1048576 bytes, found ")
    one.requests.remove(TOO_LONG)
    one.requests.labels("/embed").inc()
    one.group.publish()
    assert other.lines()['requests_total{route="/embed"}'] == 4


def test_what_is_too_long_at_first_is_a_sign_of_life_all_the_same() -> None:
    shared = SharedStatistics(2)
    one, other = Counting(shared, 0), Counting(shared, 1)
    one.requests.labels(TOO_LONG).inc()
    one.heartbeat.set(math.inf)
    one.group.publish()
    assert other.lines()["cloze_processes"] == 2
    shared.set_ready(0, ready=True)
    assert other.group.silence_s() == math.inf


def test_infinity_survives_the_journey() -> None:
    gauge = Gauge("age", "Of a dead worker.", registry=None)
    gauge.set(math.inf)
    (family,) = merged(unpacked(packed(list(gauge.collect()))))
    assert family.samples[0].value == math.inf


def test_whoever_publishes_meanwhile_nothing_is_torn() -> None:
    shared = SharedStatistics(2)
    one, other = Counting(shared, 0), Counting(shared, 1)
    for number in range(200):
        one.requests.labels(f"/{number}").inc()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(one.group.publish) for _ in range(200)]
        while not all(done.done() for done in waiting):
            lines = other.lines()
            counted = [value for name, value in lines.items() if name.startswith("requests_total")]
            assert len(counted) in (0, 200)
    for done in waiting:
        done.result()
    assert shared.read(0) is not None
