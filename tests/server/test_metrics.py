"""Counting finished requests."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from server.errors import AnswerTooLarge, QueueFull
from server.inference.admission import Admission
from server.inference.pipeline import Usage
from server.inference.runtime.packing import Batch
from server.inference.runtime.spared import Spared, SparedSoFar
from server.inference.scheduling.counters import Counters, Outcome
from server.inference.tasks.task import Price
from server.metrics import STAGES, Metrics
from server.settings import Settings
from tests.server.inference.samples import pooled

ASKED: dict[str, Any] = {"route": "/embed", "status": 200, "model": "m", "started": 50.0}
COMPUTED = Usage(
    tokens=9,
    truncated=(False,),
    tokenise_s=0.25,
    queue_s=0.5,
    compute_s=2.0,
    begun=50.125,
    computed=52.875,
)


def metrics_of_nothing() -> Metrics:
    return Metrics(dict, Admission(Settings()))


def test_a_request_is_counted_once_with_its_stages() -> None:
    metrics = metrics_of_nothing()
    metrics.observe(**ASKED, ended=53.875, usage=COMPUTED)
    sample = metrics.registry.get_sample_value
    labels = {"route": "/embed", "status": "200", "model": "m"}
    assert sample("cloze_requests_total", labels) == 1
    assert sample("cloze_request_seconds_sum", {"route": "/embed"}) == 3.875
    stages = {"receive": 0.125, "tokenise": 0.25, "queue": 0.5, "compute": 2.0, "answer": 1.0}
    assert tuple(stages) == STAGES
    for stage, seconds in stages.items():
        assert sample("cloze_stage_seconds_sum", {"stage": stage, "model": "m"}) == seconds


def test_a_request_that_computed_nothing_has_no_stages() -> None:
    metrics = metrics_of_nothing()
    metrics.observe(**ASKED, ended=50.5, usage=None)
    assert b"cloze_stage_seconds_sum" not in metrics.exposition()
    assert b"cloze_refusals_total{" not in metrics.exposition()


def test_a_refusal_is_counted_by_its_reason_and_its_route() -> None:
    metrics = metrics_of_nothing()
    full = QueueFull("No room.", full="key_requests")
    for error in (full, AnswerTooLarge("Ask for less."), full):
        metrics.observe(**ASKED | {"status": 429}, ended=50.5, usage=None, reason=error.reason)
    sample = metrics.registry.get_sample_value
    reasons = {"queue_full:key_requests": 2, "answer_too_large": 1}
    for reason, count in reasons.items():
        assert sample("cloze_refusals_total", {"route": "/embed", "reason": reason}) == count


@pytest.mark.parametrize(
    ("holding", "asked", "full"),
    [
        (Price(5, 900, 10), Price(5, 200, 10), "tokens"),
        (Price(5, 10, 90_000), Price(5, 10, 20_000), "answer_bytes"),
    ],
)
def test_a_full_queue_says_what_is_full(holding: Price, asked: Price, full: str) -> None:
    limits = Settings(queue_tokens=1000, max_answer_bytes=95_000, pending_answer_bytes=100_000)
    admission = Admission(limits)
    admission.open().admit(holding)
    with pytest.raises(QueueFull) as refused:
        admission.open().admit(asked)
    assert refused.value.reason == f"queue_full:{full}"
    assert refused.value.code == "queue_full"


def test_two_servers_in_one_process_do_not_share_counts() -> None:
    one, other = metrics_of_nothing(), metrics_of_nothing()
    one.observe(**ASKED | {"route": "/livez"}, ended=50.5, usage=None)
    assert b'route="/livez"' in one.exposition()
    assert b'route="/livez"' not in other.exposition()


def test_what_unanswered_requests_hold_is_shown_beside_its_bound() -> None:
    settings = Settings()
    admission = Admission(settings)
    sample = Metrics(dict, admission).registry.get_sample_value
    reservation = admission.open()
    reservation.receive(70)
    reservation.admit(Price(characters=60, tokens=15, answer_bytes=900))
    names = ("cloze_pending_body_bytes", "cloze_reserved_tokens", "cloze_reserved_answer_bytes")
    assert [sample(name) for name in names] == [70, 15, 900]
    bounds = [settings.pending_body_bytes, settings.queue_tokens, settings.pending_answer_bytes]
    assert [sample(f"{name}_limit") for name in names] == bounds
    reservation.computed(10)
    assert sample("cloze_reserved_tokens") == 5
    reservation.close()
    assert [sample(name) for name in names] == [0, 0, 0]


def test_readiness_is_told_as_it_is_when_it_is_asked() -> None:
    ready = False
    metrics = Metrics(dict, Admission(Settings()), is_ready=lambda: ready)
    assert metrics.registry.get_sample_value("cloze_ready") == 0
    ready = True
    assert metrics.registry.get_sample_value("cloze_ready") == 1


SHORT_TEXT_CPU_S = 0.0014  # of a request with one short text, by `make bench-paired`


@pytest.mark.alone
def test_counting_a_request_takes_less_than_a_hundredth_of_its_cpu_time() -> None:
    metrics, counters, spared = metrics_of_nothing(), Counters(), SparedSoFar()
    entry = SimpleNamespace(tokens=9)
    outcomes = cast("list[Outcome]", [(entry, np.zeros(3, np.float32))])
    batch = Batch([pooled(9)])
    feeds = batch.feeds()

    def count() -> None:
        metrics.observe(**ASKED, ended=53.875, usage=COMPUTED)
        counters.ended(outcomes, 0.001)
        spared.add(Spared.of(batch, feeds))

    def seconds(times: int = 2000) -> float:
        begun = time.thread_time()
        for _ in range(times):
            count()
        return (time.thread_time() - begun) / times

    assert min(seconds() for _ in range(9)) < SHORT_TEXT_CPU_S / 100
