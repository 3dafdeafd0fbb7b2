"""Work that nobody waits for is cancelled, in the small and on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.types import Message, Receive

from server.http.disconnect import PATIENCE_S, Watch
from tests.conftest import Serve
from tests.running_server import RunningServer

BUSY_TEXTS = 100  # long ones: some seconds of work for one worker


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def leaves_soon() -> Message:
    await asyncio.sleep(0.01)
    return {"type": "http.disconnect"}


def watched(
    receive: Receive,
    work: Coroutine[object, object, object],
    *,
    seconds: float = 60,
    received: bool = True,
) -> Watch:
    """Does `work` under watch; afterwards nothing else is left running."""

    async def run() -> Watch:
        watch = Watch(receive)
        watch.received = received
        task = asyncio.create_task(work)
        until = time.monotonic() + seconds
        watch.begin(task, lambda: until)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelling() == (watch.expired or watch.client_left)
        watch.end()
        await asyncio.sleep(PATIENCE_S * 2)
        assert len(asyncio.all_tasks()) == 1
        return watch

    return asyncio.run(run())


class Work:
    """Some work, and what became of it."""

    done = False
    cancelled = False

    async def __call__(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        self.done = True


def test_work_that_finishes_is_left_alone() -> None:
    work = Work()
    watch = watched(never, work(PATIENCE_S * 3))
    assert work.done
    assert (watch.client_left, watch.expired) == (False, False)


def test_work_is_cancelled_when_its_client_leaves() -> None:
    work = Work()
    started = time.monotonic()
    watch = watched(leaves_soon, work(10))
    assert work.cancelled
    assert (watch.client_left, watch.expired) == (True, False)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("seconds", [-1, 0, PATIENCE_S / 2, PATIENCE_S * 3])
@pytest.mark.parametrize("received", [False, True])
def test_work_is_cancelled_at_its_deadline(seconds: float, received: bool) -> None:
    work = Work()
    started = time.monotonic()
    watch = watched(never, work(10), seconds=seconds, received=received)
    assert work.cancelled or seconds <= 0  # what is late at once may not even begin
    assert (watch.client_left, watch.expired) == (False, True)
    assert seconds <= time.monotonic() - started < 5


def test_a_deadline_may_move_while_the_body_comes() -> None:
    async def run() -> float:
        watch, started = Watch(never), time.monotonic()
        task = asyncio.create_task(asyncio.sleep(10))
        until = [started + PATIENCE_S * 1.5]
        watch.begin(task, lambda: until[0])
        until[0] += PATIENCE_S * 2
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert watch.expired
        return time.monotonic() - started

    assert asyncio.run(run()) >= PATIENCE_S * 3


def test_a_client_whose_body_still_comes_is_not_watched() -> None:
    work = Work()
    assert not watched(leaves_soon, work(PATIENCE_S * 3), received=False).client_left
    assert work.done


def test_nobody_watches_work_that_is_done_at_once() -> None:
    async def asked() -> Message:
        raise AssertionError

    work = Work()
    watch = watched(asked, work(PATIENCE_S / 10))
    assert work.done
    assert not watch.client_left


def test_what_else_arrives_is_no_disconnect() -> None:
    messages = iter([{"type": "http.request"}, {"type": "http.request"}])

    async def arrives() -> Message:
        return next(messages, None) or await never()

    work = Work()
    assert not watched(arrives, work(PATIENCE_S * 3)).client_left
    assert work.done


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
        # A run takes some ten times as long; one that has just ended may be followed in time.
        responses = [
            one_worker.post("/embed", {"inputs": "late"}, x_request_timeout_ms="5")
            for _ in range(20)
        ]
        waited = time.monotonic() - started
    late = [response for response in responses if not response.is_success]
    assert len(late) >= 10
    # One whose body had not come in time is told so.
    told = {(response.status_code, response.json()["code"]) for response in late}
    assert (504, "deadline_exceeded") in told
    assert told <= {(504, "deadline_exceeded"), (408, "request_timeout")}
    assert waited < 2
    assert 1 <= one_worker.metric("cloze_expired_total") - before <= len(late)


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
        assert response.json()["code"] == "queue_full"
        assert int(response.headers["retry-after"]) >= 1
        assert response.elapsed.total_seconds() < 1
    assert server.metric("cloze_queued_tokens") == 0


@pytest.mark.parametrize("value", ["0", "-5", "1.5", "soon", "9" * 12])
def test_a_deadline_that_is_no_number_of_milliseconds_is_refused(
    one_worker: RunningServer, value: str
) -> None:
    response = one_worker.post("/embed", {"inputs": "a"}, x_request_timeout_ms=value)
    error = response.json()
    assert (response.status_code, error["code"]) == (422, "invalid_parameter")
    assert error["param"] == "x-request-timeout-ms"


def test_a_deadline_is_capped_rather_than_refused(one_worker: RunningServer) -> None:
    assert one_worker.post("/embed", {"inputs": "a"}, x_request_timeout_ms="999999999").is_success
