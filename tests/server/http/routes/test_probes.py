"""Probes and metrics of a real server."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.running_server import RunningServer


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
def test_a_ready_server_says_ok(server: RunningServer, path: str) -> None:
    response = server.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def series(server: RunningServer) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    families = text_string_to_metric_families(server.get("/metrics").text)
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in families
        for sample in family.samples
    }


def test_a_request_is_counted_by_route_status_and_model(server: RunningServer) -> None:
    sample = 'cloze_requests_total{model="cloze-small-en",route="/embed",status="200"}'
    before = server.metric(sample)
    server.post("/embed", {"inputs": "a"})
    assert server.metric(sample) == before + 1


def test_stages_batches_and_queues_are_measured(server: RunningServer) -> None:
    server.post("/embed", {"inputs": ["a", "b"]})
    names = {name for name, _ in series(server)}
    assert names >= {
        "cloze_stage_seconds_sum",
        "cloze_request_seconds_count",
        "cloze_batches_total",
        "cloze_items_total",
        "cloze_tokens_total",
        "cloze_queued_items",
        "cloze_queued_tokens",
        "cloze_cancelled_total",
        "cloze_expired_total",
        "process_resident_memory_bytes",
    }


def test_made_up_paths_models_and_ids_add_no_series(server: RunningServer) -> None:
    def make_up(number: int) -> None:
        server.get(f"/{number}")
        server.get(f"/v1/models/{number}")
        server.post(f"/models/{number}/embed", {"inputs": "a"}, x_request_id=f"id-{number}")
        server.post("/v1/embeddings", {"input": "a", "model": f"m{number}"})

    make_up(0)
    before = series(server)
    for number in range(1, 50):
        make_up(number)
    assert series(server) == before


def test_a_method_that_a_route_does_not_take_is_refused_with_allow(server: RunningServer) -> None:
    response = server.get("/embed")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["code"] == "method_not_allowed"
