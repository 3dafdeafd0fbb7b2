"""Clients that leave: their work is cancelled, in the small and on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.types import Message

from server.errors import ClientLeft
from server.http.disconnect import PATIENCE_S, Departures
from tests.conftest import Serve
from tests.running_server import RunningServer

BUSY_TEXTS = 100  # long ones: some seconds of work for one worker


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def leaves_soon() -> Message:
    await asyncio.sleep(0.01)
    return {"type": "http.disconnect"}


def test_work_that_finishes_answers() -> None:
    async def work() -> str:
        await asyncio.sleep(PATIENCE_S * 2)
        return "done"

    assert asyncio.run(Departures().while_connected(never, work())) == "done"


def test_work_is_cancelled_when_its_client_leaves() -> None:
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled = True
            raise

    async def run() -> None:
        with pytest.raises(ClientLeft):
            await Departures().while_connected(leaves_soon, work())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    asyncio.run(run())
    assert cancelled


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def run() -> None:
        task = asyncio.create_task(Departures().while_connected(never, asyncio.sleep(10)))
        await asyncio.sleep(PATIENCE_S * 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_nothing_is_left_waiting_after_an_answer() -> None:
    async def run() -> int:
        await Departures().while_connected(never, asyncio.sleep(PATIENCE_S * 2))
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1


def request(body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


@contextlib.contextmanager
def kept_busy(server: RunningServer) -> Iterator[None]:
    """Keeps the only worker busy for some seconds with one client's long list."""
    body = {"inputs": ["word " * 400] * BUSY_TEXTS}
    thread = threading.Thread(target=server.post, args=("/embed", body))
    thread.start()
    server.wait_until_busy()
    yield
    thread.join()


@pytest.fixture(scope="module")
def one_worker(serve: Serve, default_model: Path) -> RunningServer:
    return serve(default_model, threads=1, queue_tokens=200_000, default_timeout_s=60)


def test_requests_of_departed_clients_are_never_computed(one_worker: RunningServer) -> None:
    address = ("127.0.0.1", one_worker.port)
    before = one_worker.metric("cloze_items_total")
    with kept_busy(one_worker):
        connections = [socket.create_connection(address) for _ in range(100)]
        for connection in connections:
            connection.sendall(request({"inputs": ["word " * 300] * 3}))
        for connection in connections:
            connection.close()
    computed = one_worker.metric("cloze_items_total") - before - BUSY_TEXTS
    assert computed <= 0.05 * 300
    assert one_worker.metric("cloze_queued_items") == 0
    assert one_worker.metric("cloze_queued_tokens") == 0
    departed = 'cloze_requests_total{model="cloze-small-en",route="/embed",status="499"}'
    assert one_worker.metric(departed) >= 95


def test_a_request_past_its_deadline_is_refused_uncomputed(one_worker: RunningServer) -> None:
    before = one_worker.metric("cloze_expired_total")
    with kept_busy(one_worker):
        started = time.monotonic()
        response = one_worker.post("/embed", {"inputs": "late"}, x_request_timeout_ms="1")
        waited = time.monotonic() - started
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert waited < 2
    assert one_worker.metric("cloze_expired_total") == before + 1


def test_more_work_than_the_queue_holds_is_refused_at_once(
    serve: Serve, default_model: Path
) -> None:
    server = serve(default_model, threads=1, queue_tokens=10_000)
    with ThreadPoolExecutor(8) as clients:
        body = {"inputs": ["word " * 400] * 20}
        responses = list(clients.map(lambda _: server.post("/embed", body), range(8)))
    refused = [response for response in responses if response.status_code == 429]
    assert {response.status_code for response in responses} == {200, 429}
    for response in refused:
        assert response.json()["error"]["code"] == "queue_full"
        assert int(response.headers["retry-after"]) >= 1
        assert response.elapsed.total_seconds() < 1
    assert server.metric("cloze_queued_tokens") == 0


@pytest.mark.parametrize("value", ["0", "-5", "1.5", "soon", "9" * 12])
def test_a_deadline_that_is_no_number_of_milliseconds_is_refused(
    one_worker: RunningServer, value: str
) -> None:
    response = one_worker.post("/embed", {"inputs": "a"}, x_request_timeout_ms=value)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "invalid_parameter")
    assert error["param"] == "x-request-timeout-ms"


def test_a_deadline_is_capped_rather_than_refused(one_worker: RunningServer) -> None:
    assert one_worker.post("/embed", {"inputs": "a"}, x_request_timeout_ms="999999999").is_success
