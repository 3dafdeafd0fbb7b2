"""HTTP as a client on a raw socket sees it: one answer a request, and bounds in every direction."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.running_server import RunningServer

QUESTION = b'{"inputs": "The sky is [MASK]."}'
HEALTH = b"GET /livez HTTP/1.1\r\nHost: cloze\r\nConnection: close\r\n\r\n"
HEAD_TIMEOUT_S = 1.0


@pytest.fixture(scope="module")
def running(serve: Serve, default_model: Path) -> RunningServer:
    return serve(
        default_model, head_timeout_s=HEAD_TIMEOUT_S, max_head_bytes=8192, max_url_bytes=1000
    )


@pytest.fixture
def connection(running: RunningServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as opened:
        yield opened


def head(length: int, *fields: str, target: str = "/fill-mask") -> bytes:
    lines = [
        f"POST {target} HTTP/1.1",
        "Host: cloze",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *fields,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def question(word: str) -> bytes:
    return json.dumps({"inputs": f"The {word} is [MASK]."}).encode()


def read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """One answer's head and body."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(1)
        assert part, f"closed after {received!r}"
        received += part
    length = next(
        int(line.split(b":")[1])
        for line in received.lower().splitlines()
        if line.startswith(b"content-length")
    )
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return received, body


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 ")
    return int(answer[9:12])


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            received += part
    return received


def sent_until_cut_off(connection: socket.socket, part: bytes) -> int:
    """Bytes that the server and the system between take before the connection is reset."""
    for count in range(5000):
        try:
            connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            return count * len(part)
    raise AssertionError("it goes on for ever")


def refused(connection: socket.socket) -> tuple[int, str]:
    """Status and code of a refusal in our shape, after which the connection ends."""
    answered, content = read_answer(connection)
    assert b"x-request-id" in answered
    assert b"connection: close" in answered
    assert rest(connection) == b""
    return status_of(answered), json.loads(content)["code"]


def test_a_client_that_waits_is_told_to_go_on(connection: socket.socket) -> None:
    connection.sendall(head(len(QUESTION), "Expect: 100-continue"))
    interim = b""
    while not interim.endswith(b"\r\n\r\n"):
        interim += connection.recv(1)
    assert interim.startswith(b"HTTP/1.1 100 Continue")
    connection.sendall(QUESTION)
    answered, content = read_answer(connection)
    assert status_of(answered) == 200
    assert len(json.loads(content)) == 5


def test_requests_sent_at_once_are_answered_in_their_order(connection: socket.socket) -> None:
    words = ["sky", "sea", "snow"]
    connection.sendall(b"".join(head(len(question(w))) + question(w) for w in words))
    for word in words:
        _, content = read_answer(connection)
        assert f"the {word} is" in json.loads(content)[0]["sequence"]


def test_a_refusal_is_written_whole(connection: socket.socket) -> None:
    for body in (b"{", b'{"inputs": "no mask"}'):
        connection.sendall(head(len(body)) + body)
        answered, content = read_answer(connection)
        assert answered.startswith(b"HTTP/1.1 4")
        assert "error" in json.loads(content)


def test_a_head_alone_is_answered(running: RunningServer) -> None:
    answer = running.client.head(running.url + "/livez")
    assert answer.status_code in (200, 405)


# --- upgrades -----------------------------------------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"
UPGRADES = [
    ("websocket", "Upgrade"),
    ("h2c", "upgrade, http2-settings"),
    ("TLS/1.0, anything", "keep-alive, Upgrade"),
]


@pytest.mark.parametrize("padding", [0, 200_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("protocol", "field"), UPGRADES)
def test_no_byte_of_a_body_is_a_request_whatever_upgrade_is_asked_for(
    connection: socket.socket, protocol: str, field: str, chunked: bool, padding: int
) -> None:
    body = b" " * padding + SMUGGLED
    fields = [f"Connection: {field}", f"Upgrade: {protocol}"]
    if chunked:
        start = head(0, *fields).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        sent = start + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        sent = head(len(body), *fields) + body
    sent += HEALTH
    cuts = sorted(random.Random(padding).sample(range(len(sent)), 3))  # noqa: S311
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        connection.sendall(sent[begin:end])
        time.sleep(0.01)
    answered, content = read_answer(connection)
    assert status_of(answered) == 400, "the body is no JSON"
    assert json.loads(content)["code"] == "invalid_json"
    assert rest(connection).endswith(b'{"status":"ok"}')


def test_a_request_that_asks_for_an_upgrade_is_answered_as_if_it_had_not(
    connection: socket.socket,
) -> None:
    for asked in ("Upgrade: h2c", "Upgrade: websocket"):
        connection.sendall(head(len(QUESTION), "Connection: upgrade", asked) + QUESTION)
        answered, content = read_answer(connection)
        assert status_of(answered) == 200
        assert len(json.loads(content)) == 5
    many = 1500  # in one piece: each is met by a new parser
    probe = HEALTH.replace(b"close", b"upgrade\r\nUpgrade: x")
    connection.sendall(probe * many + HEALTH)
    assert rest(connection).count(b"HTTP/1.1 200 OK") == many + 1


@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_body_in_small_chunks_is_the_same_body(connection: socket.socket, size: int) -> None:
    """Of many requests in one write, and with what follows a body in the same piece."""
    words = " and ".join(["the sky"] * 20)
    body = json.dumps({"inputs": f"{words} is [MASK]."}).encode()
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join([b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in parts])
    start = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    connection.sendall((start + chunks + b"0\r\n\r\n") * 3 + HEALTH)
    for _ in range(3):
        answered, content = read_answer(connection)
        assert status_of(answered) == 200
        assert words in json.loads(content)[0]["sequence"]
    assert rest(connection).endswith(b'{"status":"ok"}')


def test_others_are_answered_while_a_body_comes_in_hundreds_of_thousands_of_chunks(
    running: RunningServer,
) -> None:
    sent = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    sent += b"2\r\n  \r\n" * 280_000 + b"0\r\n\r\n"
    longest = []
    for _ in range(3):  # other programs only ever add to it
        with running.connect() as connection, ThreadPoolExecutor(1) as sender:
            waits, sending = [0.0], sender.submit(connection.sendall, sent)
            while not sending.done():
                begun = time.perf_counter()
                assert running.get("/livez").is_success
                waits.append(time.perf_counter() - begun)
            assert status_of(read_answer(connection)[0]) == 400, "blanks are no JSON"
        longest.append(max(waits))
    assert min(longest) < 0.025  # 0.035 where each chunk copies those before it


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize(
    ("coding", "refusal"),
    [
        ("gzip", (501, "unknown_transfer_coding")),
        ("identity", (501, "unknown_transfer_coding")),
        ("xchunked", (501, "unknown_transfer_coding")),
        ("chunked, gzip", (400, "invalid_http")),  # where its end is cannot be told
    ],
)
def test_a_body_that_cannot_be_framed_is_refused_with_an_upgrade_too(
    running: RunningServer,
    connection: socket.socket,
    method: str,
    coding: str,
    refusal: tuple[int, str],
) -> None:
    lines = [f"{method} /livez HTTP/1.1", "Host: cloze", "Connection: upgrade", "Upgrade: x"]
    sent = "\r\n".join([*lines, f"Transfer-Encoding: {coding}", "", "0", "", ""])
    connection.sendall(sent.encode() + SMUGGLED)
    assert refused(connection) == refusal
    assert "Traceback" not in running.log.read_text()


def test_requests_that_come_by_the_thousand_are_read_as_they_are_answered(
    running: RunningServer, connection: socket.socket
) -> None:
    many = 9000
    waits = []
    connection.sendall(head(len(QUESTION)) + QUESTION)
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * many + HEALTH)
    for _ in range(50):
        begun = time.perf_counter()
        running.client.get(running.url + "/livez")
        waits.append(time.perf_counter() - begun)
    assert max(waits) < 0.1, "others are answered in between"
    assert rest(connection).count(b"HTTP/1.1 200 OK") == many + 2


# --- heads --------------------------------------------------------------------------------------

TOO_LARGE = {
    "one field": (b"GET /livez HTTP/1.1\r\nHost: cloze\r\na: " + b"b" * 20_000, 431),
    "a field's name": (b"GET /livez HTTP/1.1\r\nHost: cloze\r\n" + b"a" * 20_000, 431),
    "many fields": (b"GET /livez HTTP/1.1\r\nHost: cloze\r\n" + b"a: b\r\n" * 100 + b"\r\n", 431),
    "large fields": (b"GET / HTTP/1.1\r\nHost: cloze\r\n" + b"a: " + b"b" * 9000, 431),
    "a path": (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: cloze\r\n\r\n", 414),
    "a query without an end": (b"GET /livez?" + b"a" * 5000, 414),
    "line ends": (b"\r\n" * 10_000, 431),
    "half line ends": (b"\n" * 20_000, 431),
    "trailing chunk fields": (
        b"POST /fill-mask HTTP/1.1\r\nHost: cloze\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n" + b"a: %b\r\n" % (b"b" * 900) * 20,
        431,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status"), TOO_LARGE.values(), ids=TOO_LARGE)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_head_is_bounded(
    connection: socket.socket, sent: bytes, status: int, at_once: bool
) -> None:
    for begin in range(0, len(sent), len(sent) if at_once else 700):
        connection.sendall(sent[begin : begin + (len(sent) if at_once else 700)])
    assert refused(connection)[0] == status


def test_a_client_that_sends_a_head_without_end_is_cut_off(connection: socket.socket) -> None:
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: cloze\r\n")
    assert sent_until_cut_off(connection, b"a: " + b"b" * 20_000 + b"\r\n") < 60_000_000


WRONG_HEADS = {
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400, "invalid_http"),
    "two hosts": (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "invalid_http"),
    "hosts apart": (b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\nHOST: b\r\n\r\n", 400, "invalid_http"),
    "gzip": (
        b"POST /fill-mask HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
        "unknown_transfer_coding",
    ),
    "two codings": (
        (
            b"POST /embed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: br\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        501,
        "unknown_transfer_coding",
    ),
    "a tunnel": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "invalid_http"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "invalid_http"),
    "two lengths": (
        b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
        "invalid_http",
    ),
    "length and chunks": (
        (
            b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        400,
        "invalid_http",
    ),
}


@pytest.mark.parametrize(("sent", "status", "code"), WRONG_HEADS.values(), ids=WRONG_HEADS)
def test_a_head_that_is_not_http_1_1_is_refused_in_our_shape(
    connection: socket.socket, sent: bytes, status: int, code: str
) -> None:
    connection.sendall(sent)
    assert refused(connection) == (status, code)


def test_http_1_0_needs_no_host(connection: socket.socket) -> None:
    connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
    assert rest(connection).endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("asks", ["GET /livez", "GET /v1/nothing", "HEAD /livez"])
@pytest.mark.parametrize("field", ["Connection: keep-alive", "connection: Keep-Alive"])
def test_http_1_0_is_kept_for_who_asks_for_it(
    connection: socket.socket, asks: str, field: str
) -> None:
    for _ in range(3):
        connection.sendall(f"{asks} HTTP/1.0\r\n{field}\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(1)
        assert received.lower().count(b"connection: keep-alive\r\n") == 1
        assert b"connection: close" not in received.lower()
        if not asks.startswith("HEAD"):
            length = re.search(rb"content-length: (\d+)", received)
            assert length
            assert len(connection.recv(int(length[1]), socket.MSG_WAITALL)) == int(length[1])
    connection.sendall(f"{asks} HTTP/1.0\r\n\r\n".encode())
    assert b"connection: close" in rest(connection)


def test_http_1_0_is_kept_with_a_body_and_until_it_is_refused(connection: socket.socket) -> None:
    kept = "Connection: keep-alive"
    one = head(len(QUESTION), kept).replace(b"HTTP/1.1", b"HTTP/1.0")
    for _ in range(2):
        connection.sendall(one + QUESTION)
        answered, content = read_answer(connection)
        assert status_of(answered) == 200
        assert b"connection: keep-alive" in answered
        assert len(json.loads(content)) == 5
    connection.sendall(head(10_000_000, kept).replace(b"HTTP/1.1", b"HTTP/1.0"))
    answered, _ = read_answer(connection)
    assert status_of(answered) == 413
    assert b"connection: keep-alive" not in answered


def test_answers_before_a_mistake_are_sent_and_then_the_refusal(connection: socket.socket) -> None:
    connection.sendall((head(len(QUESTION)) + QUESTION) * 3 + b"nonsense\r\n\r\n")
    for _ in range(3):
        answered, content = read_answer(connection)
        assert status_of(answered) == 200
        assert len(json.loads(content)) == 5
    assert refused(connection) == (400, "invalid_http")


def test_a_mistake_in_a_body_is_told(connection: socket.socket) -> None:
    connection.sendall(
        b"POST /fill-mask HTTP/1.1\r\nHost: cloze\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nabcde\r\nxyz\r\n"
    )
    assert refused(connection) == (400, "invalid_http")


# --- too slow -----------------------------------------------------------------------------------


def test_a_head_that_does_not_end_is_given_up(connection: socket.socket) -> None:
    begun = time.monotonic()
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: c")
    assert refused(connection) == (408, "request_timeout")
    assert HEAD_TIMEOUT_S <= time.monotonic() - begun < HEAD_TIMEOUT_S + 5


def test_a_head_that_comes_byte_by_byte_is_given_up(connection: socket.socket) -> None:
    begun = time.monotonic()
    connection.settimeout(0.05)
    answer = b""
    for byte in b"GET /livez HTTP/1.1\r\nHost: cloze\r\n" + b"a: b\r\n" * 100:
        connection.send(bytes([byte]))
        with contextlib.suppress(TimeoutError):
            answer = connection.recv(1 << 16)
            break
    assert status_of(answer) == 408
    assert time.monotonic() - begun < HEAD_TIMEOUT_S + 5


@pytest.mark.parametrize("sent", [b"", b'{"in'])
def test_a_body_that_hardly_comes_is_given_up(connection: socket.socket, sent: bytes) -> None:
    begun = time.monotonic()
    connection.sendall(head(1000) + sent)
    assert refused(connection) == (408, "request_timeout")
    assert time.monotonic() - begun < 10


def test_a_body_that_comes_slowly_but_steadily_is_read(connection: socket.socket) -> None:
    body = QUESTION + b" " * 20_000
    connection.sendall(head(len(body)))
    for begin in range(0, len(body), 3000):
        connection.sendall(body[begin : begin + 3000])
        time.sleep(0.5)
    assert status_of(read_answer(connection)[0]) == 200


def test_a_connection_that_says_nothing_is_closed(serve: Serve, default_model: Path) -> None:
    running = serve(default_model, idle_timeout_s=1)
    for request in (b"", HEALTH.replace(b"close", b"keep-alive")):
        with running.connect() as connection:
            connection.sendall(request)
            begun = time.monotonic()
            received = rest(connection)
            assert received.endswith(b'{"status":"ok"}' if request else b"")
            assert 0.5 < time.monotonic() - begun < 5


def test_an_answer_that_nobody_reads_is_given_up(running: RunningServer) -> None:
    large = json.dumps({"inputs": "[MASK] " * 50, "parameters": {"top_k": 200}}).encode()
    before = running.metric("cloze_reserved_answer_bytes")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(head(len(large)) + large)
        running.wait_until("cloze_reserved_answer_bytes", lambda held: held > before)
        running.wait_until("cloze_reserved_answer_bytes", lambda held: held <= before)
        assert not rest(connection).endswith(b"]"), "it was cut off, not sent"


# --- the end ------------------------------------------------------------------------------------


def test_a_client_that_has_sent_all_and_still_reads_gets_its_answer(
    connection: socket.socket,
) -> None:
    connection.sendall(head(len(QUESTION)) + QUESTION)
    connection.shutdown(socket.SHUT_WR)
    answered, content = read_answer(connection)
    assert status_of(answered) == 200
    assert len(json.loads(content)) == 5


def test_a_long_answer_to_such_a_client_is_whole(connection: socket.socket) -> None:
    large = json.dumps({"inputs": "[MASK] " * 40, "parameters": {"top_k": 100}}).encode()
    connection.sendall(head(len(large)) + large)
    connection.shutdown(socket.SHUT_WR)
    time.sleep(0.3)  # so that its first bytes are sent before the rest is known
    answered, content = read_answer(connection)
    assert status_of(answered) == 200
    assert [len(mask) for mask in json.loads(content)] == [100] * 40


def test_a_body_that_breaks_off_is_no_request(connection: socket.socket) -> None:
    connection.sendall(head(len(QUESTION)) + QUESTION[:-4])
    connection.shutdown(socket.SHUT_WR)
    assert rest(connection) == b""


@pytest.mark.parametrize("size", [2_500_000, 12_000_000])
def test_a_client_reads_why_its_body_is_refused_while_it_sends(
    running: RunningServer, size: int
) -> None:
    asked = urllib.request.Request(running.url + "/fill-mask", data=b" " * size)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as answered:
        urllib.request.urlopen(asked)  # noqa: S310
    assert answered.value.code == 413
    assert json.loads(answered.value.read())["code"] == "body_too_large"


def test_what_is_sent_after_a_refusal_is_read_to_a_bound(connection: socket.socket) -> None:
    connection.sendall(head(1 << 40))
    assert sent_until_cut_off(connection, bytes(1 << 16)) < 60_000_000


# --- how many -----------------------------------------------------------------------------------


def test_beyond_the_most_connections_only_probes_are_answered(
    serve: Serve, default_model: Path
) -> None:
    running = serve(default_model, max_connections=10)
    running.client.close()
    time.sleep(0.2)
    held = [running.connect() for _ in range(10)]
    try:
        for probe in (HEALTH, HEALTH.replace(b"/livez", b"/v2/health/ready/")):
            with running.connect() as late:
                late.sendall(probe)
                assert rest(late).startswith(b"HTTP/1.1 200 ")
        with running.connect() as late:
            late.sendall(head(len(QUESTION)) + QUESTION)
            answered, _ = read_answer(late)
            assert status_of(answered) == 503
            assert b"retry-after" in answered
        held.pop().close()
        time.sleep(0.2)
        with running.connect() as late:
            late.sendall(head(len(QUESTION), "Connection: close") + QUESTION)
            assert status_of(read_answer(late)[0]) == 200
    finally:
        for connection in held:
            connection.close()


def test_an_address_may_have_so_many_connections(serve: Serve, default_model: Path) -> None:
    running = serve(default_model, max_connections_per_address=3)
    running.client.close()
    time.sleep(0.2)
    held = [running.connect() for _ in range(3)]
    time.sleep(0.2)
    with running.connect() as late, contextlib.suppress(ConnectionError):
        late.sendall(HEALTH)
        assert rest(late) == b""
    held[0].close()
    time.sleep(0.2)
    with running.connect() as late:
        late.sendall(HEALTH)
        assert rest(late).endswith(b'{"status":"ok"}')
    for connection in held:
        connection.close()
