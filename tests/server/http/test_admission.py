"""Room on the server, seen from a socket: what does not fit is refused, what ends is free again."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.running_server import RunningServer

BODY_BYTES = 100_000
PENDING_BYTES = 150_000
TOKENS = 2000
ANSWER_BYTES = 1_000_000
HELD = ("cloze_pending_body_bytes", "cloze_reserved_tokens", "cloze_reserved_answer_bytes")


@pytest.fixture(scope="module")
def small(serve: Serve, default_model: Path) -> RunningServer:
    """A server with little room."""
    return serve(
        default_model,
        threads=1,
        max_body_bytes=BODY_BYTES,
        pending_body_bytes=PENDING_BYTES,
        queue_tokens=TOKENS,
        max_request_tokens=TOKENS,
        max_answer_bytes=ANSWER_BYTES,
        pending_answer_bytes=2 * ANSWER_BYTES,
    )


@pytest.fixture(autouse=True)
def nothing_is_left(small: RunningServer) -> Iterator[None]:
    """Whatever a test asked, all of its room is free soon afterwards."""
    yield
    for gauge in HELD:
        small.wait_until(gauge, lambda held: held == 0)


@pytest.fixture
def uncomputed(small: RunningServer) -> Iterator[None]:
    """Nothing of what a test asks is computed, or even queued."""
    lines = [f"cloze_{name}_total" for name in ("items", "batches", "expired", "cancelled")]
    lines.append("cloze_stage_seconds_count")
    # What a client left behind may still run: one batch at a time, so it has ended when this has.
    small.post("/embed", {"inputs": "A river."}).raise_for_status()
    before = [small.metric(line) for line in lines]
    yield
    assert [small.metric(line) for line in lines] == before


def padded(size: int) -> bytes:
    return b'{"inputs": "A river."}'.ljust(size)


def begun(server: RunningServer, size: int, sent: int) -> socket.socket:
    """A connection on which only the first `sent` of a body's `size` bytes have come."""
    connection = server.connect()
    head = f"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n".encode()
    connection.sendall(head + padded(size)[:sent])
    server.wait_until("cloze_pending_body_bytes", lambda held: held >= sent)
    return connection


def test_bodies_beyond_the_room_are_refused_until_others_end(small: RunningServer) -> None:
    with begun(small, 90_000, 80_000) as connection:
        refused = small.post_raw("/embed", padded(90_000))
        assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        assert small.post_raw("/embed", padded(60_000)).status_code == 200
        assert small.metric("cloze_pending_body_bytes") == 80_000
        connection.sendall(padded(90_000)[80_000:])
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        # The room is free although the connection is not closed.
        assert small.post_raw("/embed", padded(90_000)).status_code == 200
        assert small.metric("cloze_pending_body_bytes") == 0


def test_a_body_whose_client_left_takes_no_room(small: RunningServer) -> None:
    for _ in range(3):
        begun(small, 90_000, 80_000).close()
        small.wait_until("cloze_pending_body_bytes", lambda held: held == 0)
    assert small.post_raw("/embed", padded(90_000)).status_code == 200


def test_a_refused_body_takes_no_room(small: RunningServer) -> None:
    refused = [
        (padded(BODY_BYTES + 1), 413),
        (b"[" * 90_000, 400),
        (b'{"inputs": 1}'.ljust(90_000), 422),
        (b'{"inputs": ""}'.ljust(90_000), 422),
    ]
    for body, status in refused * 3:
        assert small.post_raw("/embed", body).status_code == status
    assert small.post_raw("/nope", padded(90_000)).status_code == 404
    for gauge in HELD:
        assert small.metric(gauge) == 0


def test_a_departed_client_frees_what_waits(small: RunningServer) -> None:
    body = json.dumps({"inputs": ["word " * 190] * 10}).encode()
    head = f"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    connections = [small.connect() for _ in range(5)]
    for connection in connections:
        connection.sendall(head + body)
    small.wait_until("cloze_reserved_tokens", bool)
    for connection in connections:
        connection.close()
    for gauge in HELD:
        small.wait_until(gauge, lambda held: held == 0)


@pytest.mark.usefixtures("uncomputed")
def test_an_answer_that_would_be_too_large_is_refused_beforehand(small: RunningServer) -> None:
    started = time.monotonic()
    refused = small.post("/fill-mask", {"inputs": "a [MASK] " * 50, "parameters": {"top_k": 200}})
    error = refused.json()
    assert (refused.status_code, error["code"]) == (422, "answer_too_large")
    assert "1000000 are allowed" in error["error"]
    assert "ask for fewer candidates" in error["error"]
    assert time.monotonic() - started < 1


@pytest.mark.usefixtures("uncomputed")
def test_many_targets_for_many_masks_are_refused_beforehand(small: RunningServer) -> None:
    # 508 masks leave no room for a word of several pieces: that is found first.
    for masks, targets, code in [(200, 200, "answer_too_large"), (508, 1000, "too_long")]:
        words = [f"antidisestablishment{n}" for n in range(targets)]
        body = {"inputs": "[MASK] " * masks, "parameters": {"targets": words}}
        started = time.monotonic()
        refused = small.post("/fill-mask", body)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
        assert time.monotonic() - started < 1


@pytest.mark.usefixtures("uncomputed")
def test_words_of_many_pieces_are_priced_before_their_items_are_made(small: RunningServer) -> None:
    words = [f"antidisestablishment{n}" for n in range(20)]
    body = {"inputs": "[MASK] " * 5, "parameters": {"targets": words}}
    refused = small.post("/fill-mask", body)
    error = refused.json()
    assert (refused.status_code, error["code"]) == (422, "too_many_tokens")
    assert f"and {TOKENS} are allowed" in error["error"]


@pytest.mark.usefixtures("uncomputed")
@pytest.mark.parametrize("text", ["word " * 300, "a b c d e f g h " * 40], ids=["usual", "short"])
def test_more_tokens_than_may_ever_wait_are_refused_for_good(
    small: RunningServer, text: str
) -> None:
    refused = small.post("/embed", {"inputs": [text] * 7})
    error = refused.json()
    assert (refused.status_code, error["code"]) == (422, "too_many_tokens")
    assert f"and {TOKENS} are allowed" in error["error"]
    assert "retry-after" not in refused.headers


def test_a_request_that_fits_is_never_refused_for_its_characters(small: RunningServer) -> None:
    for text in ("\n" * 2100 + "Two words.", "international " * 45, "word " * 95):
        texts = [text] * 20
        response = small.post("/embed", {"inputs": texts})
        assert response.status_code == 200, (text[-9:], response.text)
        assert int(response.headers["x-compute-tokens"]) <= TOKENS


def test_more_than_fits_now_is_told_to_come_again(small: RunningServer) -> None:
    def post(_: int) -> tuple[int, str | None]:
        response = small.post("/embed", {"inputs": ["word " * 190] * 9})
        return response.status_code, response.headers.get("retry-after")

    with ThreadPoolExecutor(8) as clients:
        answers = set(clients.map(post, range(16)))
    assert {status for status, _ in answers} == {200, 429}
    assert all(int(after or 0) >= 1 for status, after in answers if status == 429)


def test_targets_are_counted_over_all_lists(server: RunningServer) -> None:
    inputs = ["[MASK]"] * 512
    started = time.monotonic()
    for each in (2, 120):
        parameters = {"targets": [[""] * each] * 512}
        refused = server.post("/fill-mask", {"inputs": inputs, "parameters": parameters})
        error = refused.json()
        assert (refused.status_code, error["code"]) == (422, "invalid_parameter")
        assert error["param"] == "parameters.targets"
        assert "1000 targets" in error["error"]
    # So many are not even read.
    refused = server.post(
        "/fill-mask", {"inputs": inputs, "parameters": {"targets": [[""] * 1000] * 512}}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_inputs")
    assert time.monotonic() - started < 2
    few = {"inputs": ["a [MASK]"] * 50, "parameters": {"targets": [["cat"] * 20] * 50}}
    assert server.post("/fill-mask", few).status_code == 200


def test_others_are_answered_while_a_list_is_read(server: RunningServer) -> None:
    """The thread that reads gives the interpreter up as soon as the event loop wants it."""
    body = json.dumps({"inputs": [["?" * 480, "(" * 20]] * 1100}).encode()
    longest = []
    for _ in range(3):  # other programs only ever add to it
        with ThreadPoolExecutor(1) as client:
            waits, asked = [0.0], client.submit(httpx.post, f"{server.url}/nsp", content=body)
            while not asked.done():
                begun = time.perf_counter()
                assert server.get("/livez").is_success
                waits.append(time.perf_counter() - begun)
        assert asked.result().json()["code"] == "too_many_tokens"
        longest.append(max(waits))
    assert min(longest) < 0.04
