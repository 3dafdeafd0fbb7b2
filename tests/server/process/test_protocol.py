"""HTTP as a client on a raw socket sees it."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.running_server import RunningServer


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


# --- upgrades -----------------------------------------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"
HEALTH = b"GET /livez HTTP/1.1\r\nHost: cloze\r\nConnection: close\r\n\r\n"
UPGRADES = [
    ("websocket", "Upgrade"),
    ("h2c", "upgrade, http2-settings"),
    ("TLS/1.0, anything", "keep-alive, Upgrade"),
]


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    received = b""
    while part := connection.recv(1 << 16):
        received += part
    return received


@pytest.mark.parametrize("padding", [0, 200_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("protocol", "field"), UPGRADES)
def test_no_byte_of_a_body_is_a_request_whatever_upgrade_is_asked_for(
    connection: socket.socket, protocol: str, field: str, chunked: bool, padding: int
) -> None:
    body = b" " * padding + SMUGGLED
    fields = [f"Connection: {field}", f"Upgrade: {protocol}"]
    sent = head(body, *fields) + body
    if chunked:
        length = f"Content-Length: {len(body)}".encode()
        start = head(body, *fields).replace(length, b"Transfer-Encoding: chunked")
        sent = start + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    sent += HEALTH
    cuts = sorted(random.Random(padding).sample(range(len(sent)), 3))  # noqa: S311 - repeatable
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        connection.sendall(sent[begin:end])
        time.sleep(0.01)
    answered, content = read_answer(connection)
    assert answered.startswith(b"HTTP/1.1 400"), "the body is no JSON"
    assert json.loads(content)["error"]["code"] == "invalid_json"
    assert rest(connection).endswith(b'{"status":"ok"}')


def test_requests_that_ask_for_an_upgrade_are_answered_as_if_they_had_not(
    connection: socket.socket,
) -> None:
    body = question("sky")
    for asked in ("Upgrade: h2c", "Upgrade: websocket"):
        connection.sendall(head(body, "Connection: upgrade", asked) + body)
        _, content = read_answer(connection)
        assert "the sky is" in json.loads(content)[0]["sequence"]
    many = 1500  # in one piece: each is met by a new parser
    probe = HEALTH.replace(b"close", b"upgrade\r\nUpgrade: x")
    connection.sendall(probe * many + HEALTH)
    assert rest(connection).count(b"HTTP/1.1 200 OK") == many + 1


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("coding", ["gzip", "identity", "xchunked", "chunked, gzip"])
def test_a_body_that_cannot_be_framed_is_refused_with_an_upgrade_too(
    running: RunningServer, connection: socket.socket, method: str, coding: str
) -> None:
    lines = [f"{method} /livez HTTP/1.1", "Host: cloze", "Connection: upgrade", "Upgrade: x"]
    sent = "\r\n".join([*lines, f"Transfer-Encoding: {coding}", "", "0", "", ""])
    connection.sendall(sent.encode() + SMUGGLED)
    answered = rest(connection)
    assert answered.startswith(b"HTTP/1.1 400")
    assert answered.count(b"HTTP/1.1") == 1
    assert "Traceback" not in running.log.read_text()
    assert "HttpParserError" not in running.log.read_text()


def test_a_tunnel_is_refused(connection: socket.socket) -> None:
    connection.sendall(b"CONNECT evil:80 HTTP/1.1\r\nHost: evil\r\n\r\n" + SMUGGLED)
    assert rest(connection).startswith(b"HTTP/1.1 4")
