"""The short way to plain task routes is taken only where FastAPI has nothing to do for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import Depends, FastAPI
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.routes import PER_MODEL
from server.http.routing import TaskRoute
from server.http.shortcut import Shortcut, plain_handlers

Build = Callable[..., FastAPI]
TASK_PATHS = {
    route.path
    for router in PER_MODEL
    for route in router.routes
    if isinstance(route, TaskRoute) and route.methods == {"POST"}
}


def refuse() -> None:
    raise AssertionError("expected nobody to come here")


def stack_of(app: FastAPI) -> Shortcut:
    """The application's own layer, as built for its first request."""
    layer = app.build_middleware_stack()
    while not isinstance(layer, Shortcut):
        layer = getattr(layer, "app", None) or layer._app  # type: ignore[attr-defined]
    return layer


def test_all_tasks_at_the_root_have_it_and_nothing_else(build: Build) -> None:
    assert set(plain_handlers(build())) == TASK_PATHS


def test_a_dependency_of_one_application_is_not_lost_by_another_that_has_none(
    build: Build,
) -> None:
    guarded, free = build(), build()
    for app, dependencies in ((guarded, [Depends(refuse)]), (free, [])):
        app.router.routes.clear()
        for router in PER_MODEL:
            app.include_router(router, dependencies=dependencies)
    # In either order of being looked at.
    assert not plain_handlers(guarded)
    assert set(plain_handlers(free)) == TASK_PATHS
    assert not plain_handlers(guarded)


def test_a_route_in_front_keeps_the_requests_that_it_takes(build: Build) -> None:
    app = build()
    app.router.add_api_route("/{anything}", lambda: PlainTextResponse("mine"), methods=["POST"])
    app.router.routes.insert(0, app.router.routes.pop())
    assert "/embed" not in plain_handlers(app)
    assert TestClient(app).post("/embed", json={"inputs": "a"}).text == "mine"


def test_an_added_exception_handler_is_obeyed(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build()
    assert stack_of(app)._handlers

    @app.exception_handler(LookupError)
    async def found_nothing(_request: object, _error: Exception) -> PlainTextResponse:
        return PlainTextResponse("none", 418)

    assert not stack_of(app)._handlers

    async def lost(*_arguments: object, **_options: object) -> None:
        raise LookupError

    monkeypatch.setattr("server.inference.pipeline.Pipeline.run", lost)
    assert TestClient(app).post("/embed", json={"inputs": "a"}).status_code == 418


def test_a_mounted_application_answers_by_the_router(build: Build) -> None:
    outer = FastAPI()
    outer.mount("/inner", build())
    answered = TestClient(outer).post("/inner/embed", json={"inputs": "a"})
    assert answered.status_code == 200
    assert len(answered.json()[0]) == 384


@pytest.mark.parametrize("body", ['{"inputs": ""}', "{", '{"inputs": 1}', '{"unknown": 1}'])
@pytest.mark.parametrize("path", ["/embed", "/models/cloze-small-en/embed"])
def test_a_layer_around_sees_refusals_as_answers_and_not_as_exceptions(
    build: Build, path: str, body: str
) -> None:
    """So that one which adds headers, such as CORS's, adds them to refusals too."""
    app = build(cors_origins="https://app.example")
    seen = []

    class Layer:
        def __init__(self, inner: ASGIApp) -> None:
            self._inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def note(message: Message) -> None:
                seen.append(message.get("status"))
                await send(message)

            await self._inner(scope, receive, note)

    app.add_middleware(Layer)
    answered = TestClient(app).post(path, content=body, headers={"origin": "https://app.example"})
    assert answered.status_code in (400, 422)
    assert seen[0] == answered.status_code
    assert answered.headers["access-control-allow-origin"] == "https://app.example"
