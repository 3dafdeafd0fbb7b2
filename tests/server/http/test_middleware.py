"""Request ids, and that no failure leaves without the one error format."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.context import Service
from server.http.middleware import Envelope
from server.inference.model_registry import Phase, Registry
from server.metrics import Metrics
from server.settings import Settings
from tests.running_server import RunningServer


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
    registry = Registry()
    return Service(Settings(), registry, Metrics(lambda: registry.pipelines))


async def ask(app: ASGIApp) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        return await client.get("/")


def test_what_nothing_caught_becomes_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError("Zanzibar")

    with caplog.at_level(logging.ERROR):
        response = asyncio.run(ask(Envelope(broken, service=service())))
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "Zanzibar" not in response.text
    (record,) = caplog.records
    assert record.__dict__["request_id"] == response.headers["x-request-id"]


def test_a_request_that_the_server_cancels_is_told_to_come_again() -> None:
    async def cancelled(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise asyncio.CancelledError

    response = asyncio.run(ask(Envelope(cancelled, service=service())))
    assert (response.status_code, response.json()["error"]["code"]) == (503, "draining")


def test_answers_close_their_connection_while_draining() -> None:
    async def empty(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    draining = service()
    draining.registry.phase = Phase.DRAINING
    response = asyncio.run(ask(Envelope(empty, service=draining)))
    assert response.headers["connection"] == "close"


def test_other_protocols_pass_through() -> None:
    seen: list[Any] = []

    async def inner(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def unused() -> Any:
        raise AssertionError

    async def unsent(_message: Any) -> None:
        raise AssertionError

    asyncio.run(Envelope(inner, service=service())({"type": "lifespan"}, unused, unsent))
    assert seen == ["lifespan"]
