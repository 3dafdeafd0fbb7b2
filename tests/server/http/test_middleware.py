"""What holds for every request: its id, its answer whatever happens, and HEAD as GET."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.context import RequestContext, Service
from server.http.disconnect import PATIENCE_S
from server.http.middleware import RequestMiddleware
from server.inference.model_registry import Phase
from server.logs import ByRequest
from server.settings import Settings
from tests.running_app import serving
from tests.running_server import RunningServer
from tests.server.http.conftest import Build


def test_a_good_request_id_comes_back(server: RunningServer) -> None:
    response = server.post("/embed", {"inputs": "a"}, x_request_id="order-17.b:c_d")
    assert response.headers["x-request-id"] == "order-17.b:c_d"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "a;b", "<script>"])
def test_a_bad_request_id_is_replaced(server: RunningServer, sent: str) -> None:
    answered = server.post("/embed", {"inputs": "a"}, x_request_id=sent).headers["x-request-id"]
    assert answered != sent
    assert len(answered) == 16


@pytest.mark.parametrize("path", ["/readyz", "/nope", "/metrics", "/docs"])
def test_every_answer_has_a_request_id(server: RunningServer, path: str) -> None:
    assert server.get(path).headers["x-request-id"] != server.get(path).headers["x-request-id"]


def service() -> Service:
    return Service.of(Settings())


async def ask(app: ASGIApp) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        return await client.get("/")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged, as the server's own handler gets it."""
    by_request = ByRequest()
    caplog.handler.addFilter(by_request)
    yield caplog
    caplog.handler.removeFilter(by_request)


def test_what_nothing_caught_becomes_an_internal_error(log: pytest.LogCaptureFixture) -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError("Zanzibar")

    with log.at_level(logging.ERROR):
        response = asyncio.run(ask(RequestMiddleware(broken, service=service())))
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "Zanzibar" not in response.text
    (record,) = log.records
    assert record.__dict__["request_id"] == response.headers["x-request-id"]


def test_each_line_that_is_written_for_a_request_names_it(log: pytest.LogCaptureFixture) -> None:
    asked = service()

    async def talkative(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()  # which raises when the app is asked to answer with the error
        library = logging.getLogger("some.library")
        library.warning("on the event loop")
        await asked.offload.run(lambda _: library.warning("on a thread"), time.monotonic() + 60)
        await asyncio.create_task(asyncio.to_thread(library.warning, "in a task"))
        raise ValueError

    async def two() -> list[httpx.Response]:
        app = RequestMiddleware(talkative, service=asked)
        return [*await asyncio.gather(ask(app), ask(app))]

    with log.at_level(logging.DEBUG, "cloze"):
        answers = asyncio.run(two())
    for answer in answers:
        own = answer.headers["x-request-id"]
        found = [one for one in log.records if one.__dict__.get("request_id") == own]
        assert [one.getMessage() for one in found] == [
            *("on the event loop", "on a thread", "in a task"),
            *("unexpected failure", "request"),
        ]
    assert len(log.records) == 10


def test_a_request_that_the_server_cancels_is_told_to_come_again() -> None:
    async def cancelled(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise asyncio.CancelledError

    response = asyncio.run(ask(RequestMiddleware(cancelled, service=service())))
    assert (response.status_code, response.json()["code"]) == (503, "draining")


async def empty(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_answers_close_their_connection_while_draining() -> None:
    draining = service()
    draining.registry.phase = Phase.DRAINING
    response = asyncio.run(ask(RequestMiddleware(empty, service=draining)))
    assert response.headers["connection"] == "close"


def test_other_protocols_pass_through() -> None:
    seen: list[Any] = []

    async def inner(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def unused() -> Any:
        raise AssertionError

    async def unsent(_message: Any) -> None:
        raise AssertionError

    asyncio.run(RequestMiddleware(inner, service=service())({"type": "lifespan"}, unused, unsent))
    assert seen == ["lifespan"]


class Client:
    """A client that sends an empty body and leaves: after its answer, or at once."""

    def __init__(self, *, leaves: bool) -> None:
        self.sent: list[Message] = []
        self._leaves = leaves
        self._answered = asyncio.Event()
        self._has_sent = False

    async def receive(self) -> Message:
        if not self._has_sent:
            self._has_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._leaves:
            await self._answered.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self._answered.set()

    async def ask(self, app: ASGIApp, *headers: tuple[bytes, bytes]) -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}
        await RequestMiddleware(app, service=service())(scope, self.receive, self.send)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


def test_a_request_whose_client_left_is_cancelled_and_told_apart() -> None:
    async def slow(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        await asyncio.sleep(10)

    async def run() -> None:
        client = Client(leaves=True)
        await client.ask(slow)
        assert client.sent[0]["status"] == 499

    asyncio.run(run())


def test_what_follows_an_answer_is_finished() -> None:
    # A background task, or the end of a dependency: the server says that the client is gone once it
    # has its answer.
    finished = False

    async def thorough(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal finished
        await receive()
        await asyncio.sleep(PATIENCE_S * 2)
        await empty(scope, receive, send)
        await asyncio.sleep(PATIENCE_S * 2)
        finished = True

    async def run() -> None:
        await Client(leaves=False).ask(thorough)

    asyncio.run(run())
    assert finished


def test_an_answer_that_has_begun_may_pass_its_deadline() -> None:
    async def begins(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.3)
        await send({"type": "http.response.body", "body": b"whole"})

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0.3)
        await begins(scope, receive, send)

    async def run() -> None:
        for app, status in [(begins, 200), (late, 504)]:
            client = Client(leaves=False)
            await client.ask(app, (b"x-request-timeout-ms", b"100"))
            head, *parts = client.sent
            assert head["status"] == status
            assert status == 504 or [part["body"] for part in parts] == [b"whole"]

    asyncio.run(run())


# --- HEAD -------------------------------------------------------------------------------------


def paths(server: RunningServer, method: str) -> Iterator[str]:
    """The paths that take a method, with a model's name where one belongs."""
    for path, operations in server.get("/openapi.json").json()["paths"].items():
        if method in operations:
            yield path.replace("{model}", "cloze-small-en")


UNDOCUMENTED = ["/docs", "/openapi.json", "/docs/start.js", "/docs/swagger-ui.css"]
CHANGING = {"date", "x-request-id"}


def exchange(server: RunningServer, method: str, path: str) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and whatever else comes until the server closes the connection."""
    with server.connect() as connection:
        connection.sendall(
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()
        )
        received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return status, {key: headers[key] for key in headers.keys() - CHANGING}, body


def test_head_answers_as_get_without_the_body(server: RunningServer) -> None:
    documented = list(paths(server, "get"))
    assert {"/livez", "/metrics", "/info", "/models/cloze-small-en/info"} <= set(documented)
    for path in [*documented, *UNDOCUMENTED, "/nope", "/models/nope/info"]:
        status, headers, body = exchange(server, "GET", path)
        if path == "/metrics":  # the figures change between the two
            headers.pop("content-length")
        head_status, head_headers, head_body = exchange(server, "HEAD", path)
        assert int(head_headers["content-length"]) > 0 or path == "/", path
        assert head_body == b"", path
        assert (head_status, head_headers | headers) == (status, head_headers), path
        assert body or path == "/", path


def test_head_of_a_task_is_refused_as_get_is(server: RunningServer) -> None:
    tasks = list(paths(server, "post"))
    assert {"/fill-mask", "/v1/embeddings", "/models/cloze-small-en/nsp", "/"} <= set(tasks)
    tasks.remove("/")  # to which a GET leads to the docs
    for path in tasks:
        status, headers, body = exchange(server, "HEAD", path)
        assert status.startswith("HTTP/1.1 405 "), path
        assert headers["allow"] == "POST"
        assert body == b""
        assert exchange(server, "GET", path)[:2] == (status, headers)


def test_a_connection_lives_on_after_head(server: RunningServer) -> None:
    with server.connect() as connection:
        for path in ("/docs/swagger-ui-bundle.js", "/livez", "/fill-mask"):
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 405 "))
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b'{"status":"ok"}')


def test_head_is_counted_with_its_route(server: RunningServer) -> None:
    line = 'cloze_requests_total{model="",route="/health",status="200"}'
    before = server.metric(line)
    assert server.client.head(f"{server.url}/health").status_code == 200
    assert server.metric(line) == before + 1


POST = b"POST /embed HTTP/1.1\r\nHost: cloze\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (POST + b'Content-Length: 15\r\n\r\n{"inputs": "a"}', b"200"),
        (POST + b"Content-Length: 100000000\r\n\r\n" + bytes(100_000), b"413"),
        (POST + b"Content-Length: 1\r\n\r\n{", b"400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"no HTTP\r\n\r\n", b"400"),
    ],
)
def test_all_of_a_request_is_freed_without_the_garbage_collector(
    build: Build, sent: bytes, status: bytes
) -> None:
    app = build()
    loops: list[asyncio.AbstractEventLoop] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        loops.append(asyncio.get_running_loop())
        await app(scope, receive, send)

    async def alive() -> list[RequestContext]:
        """Looks from the loop's own thread: another would meet tuples that it still makes."""
        return [each for each in gc.get_objects() if type(each) is RequestContext]

    with serving(noting) as served:
        gc.collect()
        gc.disable()
        try:
            with socket.create_connection(("127.0.0.1", served.port)) as connection:
                connection.sendall(sent)
                assert connection.recv(12) == b"HTTP/1.1 " + status
            deadline = time.monotonic() + 5
            while left := asyncio.run_coroutine_threadsafe(alive(), loops[0]).result(5):
                assert time.monotonic() < deadline, left
                del left
                time.sleep(0.05)
        finally:
            gc.enable()
