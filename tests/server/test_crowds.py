"""Whoever asks little is served beside those who ask for much."""

from __future__ import annotations

import logging
import statistics
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.crowd import crowded
from tests.running_server import RunningServer

logger = logging.getLogger(__name__)

CONNECTIONS = 200
REFUSED = 'cloze_requests_total{model="cloze-small-en",route="/nsp",status="429"}'
SHORT = {"inputs": "Paris is the [MASK] of France."}


@pytest.fixture
def server(serve: Serve, default_model: Path) -> RunningServer:
    """One of its own, whose queue is left full."""
    return serve(default_model)


def ask(server: RunningServer, count: int) -> tuple[Counter[int], float]:
    """Statuses of short requests, one after the other, and the time that 99 % of them took."""
    statuses: Counter[int] = Counter()
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        statuses[server.post("/fill-mask", SHORT).status_code] += 1
        taken.append(time.perf_counter() - begun)
    return statuses, sorted(taken)[int(0.99 * count) - 1]


@pytest.mark.parametrize("manner", ["obeys", "insists"])
def test_short_requests_are_answered_beside_a_crowd_of_long_ones(
    server: RunningServer, manner: str
) -> None:
    with crowded(server.port, CONNECTIONS, manner):
        server.wait_until(REFUSED, bool)  # the queue is full
        statuses, _ = ask(server, 100)
    assert statuses == {200: 100}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_short_requests_take_three_times_as_long_at_most_beside_a_crowd(
    server: RunningServer,
) -> None:
    ratios = []
    ask(server, 100)
    for _ in range(7):
        _, alone = ask(server, 200)
        with crowded(server.port, CONNECTIONS, "obeys"):
            statuses, beside = ask(server, 200)
        assert statuses[200] >= 190
        ratios.append(beside / alone)
        time.sleep(1)
    logger.info("p99 of short requests beside a crowd, by itself: %s", sorted(ratios))
    assert statistics.median(ratios) <= 3
