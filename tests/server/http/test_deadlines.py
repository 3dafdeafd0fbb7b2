"""Deadlines on a socket: from the first byte of a request until its answer begins."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI

from server.inference.model_registry import Registry
from server.inference.pipeline import Pipeline
from server.inference.tokenizer import Tokenizer
from tests.running_app import serving
from tests.running_server import RunningServer, Served
from tests.server.http.conftest import Build

LATE_S = 0.5  # of a busy machine

BODY = b'{"inputs": "a [MASK]"}'


def head(timeout_ms: int, length: int = len(BODY), path: str = "/fill-mask") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n"
        f"x-request-timeout-ms: {timeout_ms}\r\n\r\n"
    ).encode()


def read_answer(connection: socket.socket) -> tuple[int, Any]:
    """The status and the body's JSON of one answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(1 << 16)
        assert part, received
        received += part
    header, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in header.lower().splitlines()
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        part = connection.recv(1 << 20)
        assert part, (len(body), length)
        body += part
    return int(header.split()[1]), json.loads(body)


def refused_at(deadline_s: float, connection: socket.socket, started: float) -> None:
    """Reads a 408, which comes when the deadline passes and not before."""
    status, answer = read_answer(connection)
    waited = time.monotonic() - started
    assert (status, answer["code"]) == (408, "request_timeout")
    assert deadline_s - 0.01 <= waited < deadline_s + LATE_S


def test_a_body_that_does_not_come_is_not_waited_for(server: RunningServer) -> None:
    with server.connect() as connection:
        started = time.monotonic()
        connection.sendall(head(300))
        refused_at(0.3, connection, started)


def test_a_body_that_trickles_is_not_waited_for(server: RunningServer) -> None:
    with server.connect() as connection:
        started = time.monotonic()
        connection.sendall(head(400, length=1000))
        stop = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.03):
                    connection.sendall(b" ")

        thread = threading.Thread(target=trickle)
        thread.start()
        refused_at(0.4, connection, started)
        stop.set()
        thread.join()


def test_the_head_counts_too(server: RunningServer) -> None:
    with server.connect() as connection:
        whole = head(1200)
        started = time.monotonic()
        connection.sendall(whole[:1])
        time.sleep(1)
        connection.sendall(whole[1:])
        refused_at(1.2, connection, started)


def test_each_request_on_a_connection_has_its_own_clock(server: RunningServer) -> None:
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(head(5000) + BODY)
            assert read_answer(connection)[0] == 200
            time.sleep(0.2)
        started = time.monotonic()
        connection.sendall(head(300))
        refused_at(0.3, connection, started)


def test_a_late_body_is_refused_even_where_it_is_whole_by_then(server: RunningServer) -> None:
    with server.connect() as connection:
        connection.sendall(head(200))
        time.sleep(0.2 + LATE_S)
        with contextlib.suppress(OSError):
            connection.sendall(BODY)
        assert read_answer(connection)[0] == 408


def test_a_body_that_is_in_time_is_answered(server: RunningServer) -> None:
    with server.connect() as connection:
        connection.sendall(head(20_000) + BODY[:5])
        time.sleep(0.2)
        connection.sendall(BODY[5:])
        assert read_answer(connection)[0] == 200


# --- tokenising --------------------------------------------------------------------------------


LIST_MS = 500
TEXTS = 100


@pytest.fixture
def served(build: Build) -> Iterator[Served]:
    """With room for many lists at once, all of which wait to be tokenised."""
    app: FastAPI = build(queue_tokens=10_000_000)
    with serving(app) as running:
        yield running


@pytest.fixture
def tokenised(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Notes of each text that is tokenised its first word, and how long after its deadline."""
    noted: list[tuple[str, float]] = []
    deadlines: dict[str, float] = {}
    pieces: Callable[..., Any] = Tokenizer.pieces
    run: Callable[..., Any] = Pipeline.run

    def noted_pieces(own: Tokenizer, text: str, *rest: Any, **more: Any) -> Any:
        request = text.partition(" ")[0]
        noted.append((request, time.monotonic() - deadlines[request]))
        return pieces(own, text, *rest, **more)

    async def noted_run(own: Pipeline, task: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        deadlines[inputs[0].partition(" ")[0]] = more["deadline"]
        return await run(own, task, inputs, *rest, **more)

    monkeypatch.setattr(Tokenizer, "pieces", noted_pieces)
    monkeypatch.setattr(Pipeline, "run", noted_run)
    return noted


def post_list(served: Served, number: int, timeout_ms: int, words: int = 1400) -> tuple[int, float]:
    """Posts a large list; returns its status and the seconds that it took."""
    # Words that no cache has seen.
    text = f"list{number} " + " ".join([f"{number}word{n}s" for n in range(words)])
    started = time.monotonic()
    response = served.post(
        "/embed",
        {"inputs": [text] * TEXTS, "truncate": True},
        x_request_timeout_ms=str(timeout_ms),
    )
    return response.status_code, time.monotonic() - started


def test_lists_that_wait_for_a_thread_are_not_tokenised_after_their_deadline(
    served: Served, loaded: Registry, tokenised: list[tuple[str, float]]
) -> None:
    offload = loaded.find()[1].offload._threads
    threads, go_on = offload._max_workers, threading.Event()
    held = [offload.submit(go_on.wait) for _ in range(threads)]
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda n: post_list(served, n, LIST_MS, 200), range(4)))
    go_on.set()
    for each in held:
        each.result()
    assert [status for status, _ in answers] == [504] * 4
    assert max(seconds for _, seconds in answers) < LIST_MS / 1000 + LATE_S
    assert post_list(served, 9, 30_000, 20)[0] == 200
    assert {request for request, _ in tokenised} == {"list9"}
    assert served.metric("cloze_reserved_tokens") == 0


def test_no_text_of_many_lists_is_tokenised_after_its_deadline(
    served: Served, tokenised: list[tuple[str, float]]
) -> None:
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda n: post_list(served, n, LIST_MS), range(12)))
    # Each has 140,000 words to read, and the threads take turns.
    late = [status for status, _ in answers if status == 504]
    assert late
    assert tokenised
    assert len(tokenised) < 12 * TEXTS
    assert max(after for _, after in tokenised) < 0.05


# --- answers -----------------------------------------------------------------------------------


def test_an_answer_that_began_in_time_is_sent_whole_to_a_slow_reader(
    server: RunningServer,
) -> None:
    text = "[MASK] " * 8 + "a word " * 120
    body = json.dumps({"inputs": text, "parameters": {"top_k": 1000}}).encode()
    timeout_s = 4.0
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(head(round(timeout_s * 1000), len(body)) + body)
        assert connection.recv(9, socket.MSG_PEEK).startswith(b"HTTP/1.1")
        time.sleep(timeout_s + 0.2)
        status, answer = read_answer(connection)
    assert status == 200
    assert [len(mask) for mask in answer] == [1000] * 8
