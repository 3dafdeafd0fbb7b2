"""Counting finished requests."""

from __future__ import annotations

from server.inference.admission import Admission
from server.inference.pipeline import Usage
from server.inference.tasks.task import Price
from server.metrics import Metrics
from server.settings import Settings


def metrics_of_nothing() -> Metrics:
    return Metrics(dict, Admission(Settings()))


def test_a_request_is_counted_once_with_its_stages() -> None:
    metrics = metrics_of_nothing()
    usage = Usage(tokens=9, truncated=(False,), tokenise_s=0.001, queue_s=0.002, compute_s=0.004)
    metrics.observe(route="/embed", status=200, model="m", seconds=0.01, usage=usage)
    sample = metrics.registry.get_sample_value
    labels = {"route": "/embed", "status": "200", "model": "m"}
    assert sample("cloze_requests_total", labels) == 1
    assert sample("cloze_request_seconds_sum", {"route": "/embed"}) == 0.01
    stages = {"tokenise": 0.001, "queue": 0.002, "compute": 0.004}
    for stage, seconds in stages.items():
        assert sample("cloze_stage_seconds_sum", {"stage": stage, "model": "m"}) == seconds


def test_a_request_that_computed_nothing_has_no_stages() -> None:
    metrics = metrics_of_nothing()
    metrics.observe(route="/livez", status=200, model="", seconds=0.01, usage=None)
    assert b"cloze_stage_seconds_sum" not in metrics.exposition()


def test_two_servers_in_one_process_do_not_share_counts() -> None:
    one, other = metrics_of_nothing(), metrics_of_nothing()
    one.observe(route="/livez", status=200, model="", seconds=0.01, usage=None)
    assert b'route="/livez"' in one.exposition()
    assert b'route="/livez"' not in other.exposition()


def test_what_unanswered_requests_hold_is_shown() -> None:
    admission = Admission(Settings())
    sample = Metrics(dict, admission).registry.get_sample_value
    reservation = admission.open()
    reservation.receive(70)
    reservation.admit(Price(characters=60, tokens=15, answer_bytes=900))
    names = ("cloze_pending_body_bytes", "cloze_reserved_tokens", "cloze_reserved_answer_bytes")
    assert [sample(name) for name in names] == [70, 15, 900]
    reservation.computed(10)
    assert sample("cloze_reserved_tokens") == 5
    reservation.close()
    assert [sample(name) for name in names] == [0, 0, 0]
