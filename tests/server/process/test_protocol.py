"""One write per answer, seen from a socket: nothing of HTTP is lost by it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.process.protocol import _Joined
from tests.conftest import Serve
from tests.running_server import RunningServer


class Written(list[bytes]):
    """A transport that keeps what is written to it."""

    closed = False

    def write(self, data: bytes) -> None:
        self.append(data)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def running(serve: Serve, default_model: Path) -> RunningServer:
    return serve(default_model)


@pytest.fixture
def connection(running: RunningServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as opened:
        yield opened


def head(body: bytes, *fields: str) -> bytes:
    lines = [
        "POST /fill-mask HTTP/1.1",
        "Host: cloze",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *fields,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def question(word: str) -> bytes:
    return json.dumps({"inputs": f"The {word} is [MASK]."}).encode()


def read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """One answer's head and body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1)
    length = next(
        int(line.split(b":")[1])
        for line in received.lower().splitlines()
        if line.startswith(b"content-length")
    )
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return received, body


def test_head_and_first_part_of_the_body_are_one_write() -> None:
    written = Written()
    joined = _Joined(written)  # type: ignore[arg-type]
    joined.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert written == []
    joined.write(b"first")
    joined.write(b"second")
    assert written == [b"HTTP/1.1 200 OK\r\n\r\nfirst", b"second"]
    joined.close()
    assert written.closed


def test_an_answer_without_a_body_is_written_too() -> None:
    written = Written()
    joined = _Joined(written)  # type: ignore[arg-type]
    joined.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    joined.write(b"")
    assert written == [b"HTTP/1.1 204 No Content\r\n\r\n"]


def test_an_answer_arrives_in_one_piece(running: RunningServer) -> None:
    script = f"""
import socket
with socket.create_connection(("127.0.0.1", {running.port})) as connection:
    connection.sendall({head(question("sky")) + question("sky")!r})
    connection.recv(1 << 16, socket.MSG_PEEK)  # returns as soon as anything is there
    received = connection.recv(1 << 16)
print(received.endswith(b"]"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


def test_a_client_that_waits_is_told_to_go_on(connection: socket.socket) -> None:
    body = question("sky")
    connection.sendall(head(body, "Expect: 100-continue"))
    interim = b""
    while not interim.endswith(b"\r\n\r\n"):
        interim += connection.recv(1)
    assert interim.startswith(b"HTTP/1.1 100 Continue")
    connection.sendall(body)
    answered, content = read_answer(connection)
    assert answered.startswith(b"HTTP/1.1 200")
    assert len(json.loads(content)) == 5


def test_requests_sent_at_once_are_answered_in_their_order(connection: socket.socket) -> None:
    words = ["sky", "sea", "snow"]
    connection.sendall(b"".join(head(question(word)) + question(word) for word in words))
    for word in words:
        _, content = read_answer(connection)
        assert f"the {word} is" in json.loads(content)[0]["sequence"]


def test_a_refusal_is_written_whole(connection: socket.socket) -> None:
    for body in (b"{", b'{"inputs": "no mask"}'):
        connection.sendall(head(body) + body)
        answered, content = read_answer(connection)
        assert answered.startswith(b"HTTP/1.1 4")
        assert "error" in json.loads(content)


def test_a_head_alone_is_answered(running: RunningServer) -> None:
    answer = running.client.head(running.url + "/livez")
    assert answer.status_code in (200, 405)
