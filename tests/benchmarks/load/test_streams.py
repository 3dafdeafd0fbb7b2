"""Closed and open loops against a server of the test, whose slowness is known."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.load.connection import request
from benchmarks.load.latencies import LatencySummary, Window
from benchmarks.load.streams import ClosedLoop, OpenLoop

POST = request("/", "127.0.0.1", b"{}")
Respond = Callable[[int], tuple[float, bytes]]
"""Number of a request -> seconds until it is answered, and the answer."""


def answer(status: int, body: bytes = b"[]") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


@asynccontextmanager
async def serving(respond: Respond) -> AsyncIterator[int]:
    """Serves one request at a time, as a machine with one core would."""
    turn, count = asyncio.Lock(), 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readexactly(len(POST)):
                async with turn:
                    wait_s, content = respond(count)
                    count += 1
                    await asyncio.sleep(wait_s)
                # In two parts, as a network may deliver them.
                writer.write(content[:20])
                await asyncio.sleep(0)
                writer.write(content[20:])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def run(loop: Callable[[], ClosedLoop | OpenLoop], respond: Respond) -> LatencySummary:
    async def go() -> LatencySummary:
        async with serving(respond) as port:
            made = loop()
            await made.run("127.0.0.1", port)
            return made.recorder.summary()

    return asyncio.run(go())


def test_closed_loop_keeps_its_connections_busy() -> None:
    seen = run(lambda: ClosedLoop([POST], 3, Window(0.1, 0.5)), lambda _: (0.01, answer(200)))
    assert seen.failed == 0
    assert 25 <= seen.answers <= 50
    # Three wait for a server that takes 10 ms for each.
    assert 25 <= seen.p50_ms <= 60
    assert seen.served > seen.answers


def test_open_loop_measures_from_the_moment_a_request_was_due() -> None:
    """Ten at once on a server that needs 20 ms for each: the last waits for all others."""
    seen = run(
        lambda: OpenLoop([POST], [0.05] * 10, Window(0.0, 1.0)), lambda _: (0.02, answer(200))
    )
    assert seen.answers == 10
    assert seen.worst_ms >= 200
    assert 80 <= seen.p50_ms <= 150


def test_open_loop_goes_on_while_the_server_stalls() -> None:
    """One stall of 300 ms meets every request that was due meanwhile, not only one."""
    due_s = [0.02 * number for number in range(20)]
    seen = run(
        lambda: OpenLoop([POST], due_s, Window(0.0, 1.0)),
        lambda number: (0.3 if number == 0 else 0.0, answer(200)),
    )
    assert seen.answers == 20
    assert seen.p50_ms > 50


def test_requests_of_the_warm_up_are_not_measured() -> None:
    due_s = [0.0, 0.05, 0.25, 0.3]
    seen = run(lambda: OpenLoop([POST], due_s, Window(0.2, 0.3)), lambda _: (0.0, answer(200)))
    assert (seen.answers, seen.served) == (2, 4)


def test_refusals_are_told_from_failures() -> None:
    statuses = [200, 429, 503, 500, 200]
    seen = run(
        lambda: OpenLoop([POST], [0.03 * number for number in range(5)], Window(0.0, 0.5)),
        lambda number: (0.0, answer(statuses[number])),
    )
    assert (seen.answers, seen.refused, seen.failed) == (2, 2, 1)


def test_a_server_that_is_not_there_is_a_failure() -> None:
    loop = OpenLoop([POST], [0.0, 0.01], Window(0.0, 0.1))
    asyncio.run(loop.run("127.0.0.1", 1))
    assert loop.recorder.summary().failed == 2


def test_an_answer_that_never_comes_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.load.streams.PATIENCE_S", 0.1)
    begun = time.perf_counter()
    seen = run(lambda: OpenLoop([POST], [0.0], Window(0.0, 0.1)), lambda _: (60.0, answer(200)))
    assert seen.failed == 1
    assert time.perf_counter() - begun < 5
