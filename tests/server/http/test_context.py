"""What a request's head and the size of its body decide, before anything of it is parsed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.running_server import RunningServer

LIMIT = 2_000_000
BODY = b'{"inputs": "a [MASK]"}'


def test_a_declared_length_over_the_limit_is_refused_unread(server: RunningServer) -> None:
    head = (
        b"POST /fill-mask HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: 100000000\r\n\r\n"
    )
    started = time.monotonic()
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(head)
        while b"}" not in answer:
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"body_too_large"' in answer
    assert time.monotonic() - started < 0.2


def test_an_undeclared_length_is_counted_while_it_streams_in(server: RunningServer) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 100_000

    response = server.client.post(
        f"{server.url}/fill-mask", content=chunks(), headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_a_body_of_just_the_limit_is_read(server: RunningServer) -> None:
    padded = BODY.ljust(LIMIT)
    assert server.post_raw("/fill-mask", padded).status_code == 200
    assert server.post_raw("/fill-mask", padded + b" ").status_code == 413


def test_a_large_body_is_refused_and_the_connection_lives_on(server: RunningServer) -> None:
    assert server.post_raw("/fill-mask", b" " * (LIMIT * 5)).status_code == 413
    assert server.post_raw("/fill-mask", BODY).status_code == 200


def test_a_body_in_an_unknown_coding_is_refused(server: RunningServer) -> None:
    response = server.post_raw("/fill-mask", BODY, content_encoding="zstd")
    assert response.status_code == 415
    assert response.json()["code"] == "unsupported_media_type"
    assert server.post_raw("/fill-mask", BODY, content_encoding="identity").is_success


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json; charset=latin-1",
        "json",
    ],
)
def test_a_body_that_is_not_declared_as_json_is_refused(server: RunningServer, kind: str) -> None:
    response = server.post_raw("/fill-mask", BODY, content_type=kind)
    assert (response.status_code, response.json()["code"]) == (
        415,
        "unsupported_media_type",
    )


@pytest.mark.parametrize(
    "kind", ["application/json; charset=UTF-8", "Application/JSON", "application/vnd.x+json"]
)
def test_json_under_its_other_names_is_read(server: RunningServer, kind: str) -> None:
    assert server.post_raw("/fill-mask", BODY, content_type=kind).status_code == 200


def test_a_body_without_a_declared_type_is_read(server: RunningServer) -> None:
    head = f"POST /fill-mask HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(head + BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_an_unknown_route_is_not_found_whatever_its_body(server: RunningServer) -> None:
    response = server.post_raw("/nope", b"{", content_type="text/plain")
    assert (response.status_code, response.json()["code"]) == (404, "route_not_found")
