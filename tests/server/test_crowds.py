"""Whoever asks little is served beside those who ask for much."""

from __future__ import annotations

import json
import logging
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.crowd import crowded
from tests.running_server import RunningServer

logger = logging.getLogger(__name__)

CONNECTIONS = 200
SHORT = {"inputs": "Paris is the [MASK] of France."}


@pytest.fixture
def server(serve: Serve, default_model: Path) -> RunningServer:
    """One of its own, whose queue is left full."""
    return serve(default_model)


def refused_of(route: str, model: str = "cloze-small-en") -> str:
    return f'cloze_requests_total{{model="{model}",route="{route}",status="429"}}'


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
        server.wait_until(refused_of("/nsp"), bool)  # the queue is full
        statuses, _ = ask(server, 100)
    assert statuses == {200: 100}


@contextmanager
def stalled(server: RunningServer, requests: Sequence[bytes]) -> Iterator[None]:
    """Connections that have each sent one of `requests` and neither send nor read any more."""
    with ExitStack() as open_ones:
        for request in requests:
            connection = open_ones.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(request)
        yield


def post(path: str, body: bytes, announced: int) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {announced}\r\n\r\n"
    return head.encode() + body


def test_short_requests_are_answered_beside_bodies_that_do_not_end(server: RunningServer) -> None:
    limits = server.get("/info").json()["limits"]
    most, size = limits["pending_body_bytes"], limits["max_body_bytes"] - 1000
    request = post("/embed", b" " * size, size + 500)
    with stalled(server, [request] * (most // size + 8)):
        server.wait_until("cloze_pending_body_bytes", lambda held: held > most * 0.8)
        server.wait_until(
            refused_of("/embed", model=""), bool
        )  # its body was not read, which may name one
        statuses, _ = ask(server, 100)
    assert statuses == {200: 100}


def test_short_requests_are_answered_beside_answers_that_nobody_reads(
    server: RunningServer,
) -> None:
    most = server.get("/info").json()["limits"]["pending_answer_bytes"]
    body = {"inputs": "[MASK] " * 50, "parameters": {"top_k": 200}}
    sent = json.dumps(body).encode()
    with stalled(server, [post("/fill-mask", sent, len(sent))] * 40):
        server.wait_until("cloze_reserved_answer_bytes", lambda held: held > most * 0.7)
        server.wait_until(refused_of("/fill-mask"), bool)
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
