"""What is declared to FastAPI happens: wherever it is declared, on every route, at every model.

Each test serves the server's own routes with something added to them, at one of `LEVELS`.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Cookie, Depends, FastAPI, Header, HTTPException, Query
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import server.http.app
from server.errors import QueueFull, Unauthorized
from server.http.disconnect import PATIENCE_S
from server.http.families import family_of
from server.http.openapi import document
from server.http.routes import fill_mask
from server.http.routes.fill_mask import FillMaskBody
from server.http.routing import Call, TaskRoute, _document_timeout
from tests.running_app import serving
from tests.running_server import Served
from tests.server.http.conftest import Build
from tests.server.http.every_route import Ask, every_route, read_error

FILL = Ask("POST", "/fill-mask", {"inputs": "Paris is the [MASK] of France."})
INFO = Ask("GET", "/info")
OF_MODEL = "/models/cloze-small-en"


# --- where a dependency may be declared --------------------------------------------------------


def at_app(dependency: Dependency) -> Callable[..., FastAPI]:
    return partial(FastAPI, dependencies=[dependency])


def at_inclusion(dependency: Dependency) -> type[FastAPI]:
    class Including(FastAPI):
        def include_router(self, router: APIRouter, *args: Any, **rest: Any) -> None:
            rest["dependencies"] = [*rest.get("dependencies", ()), dependency]
            super().include_router(router, *args, **rest)

    return Including


def at_outer_router(dependency: Dependency) -> type[FastAPI]:
    class Nesting(FastAPI):
        def include_router(self, router: APIRouter, *args: Any, **rest: Any) -> None:
            outer = APIRouter(dependencies=[dependency])
            outer.include_router(router, *args, **rest)
            super().include_router(outer)

    return Nesting


def again(route: APIRoute, prefix: str, **more: Any) -> dict[str, Any]:
    """The arguments that declare a route once more."""
    return {
        "path": prefix + route.path,
        "endpoint": route.endpoint,
        "name": route.name,
        "methods": list(route.methods or ()),
        "response_model": route.response_model,
        "include_in_schema": route.include_in_schema,
        **more,
    }


def declared(router: APIRouter) -> list[APIRoute]:
    return [route for route in router.routes if isinstance(route, APIRoute)]


def at_router(dependency: Dependency) -> type[FastAPI]:
    class Redeclaring(FastAPI):
        def include_router(self, router: APIRouter, *args: Any, **rest: Any) -> None:
            own = APIRouter(route_class=TaskRoute, dependencies=[dependency])
            for route in declared(router):
                own.add_api_route(**again(route, "", dependencies=route.dependencies))
            super().include_router(own, *args, **rest)

    return Redeclaring


def at_route(dependency: Dependency) -> type[FastAPI]:
    class Redeclaring(FastAPI):
        def include_router(self, router: APIRouter, *args: Any, **rest: Any) -> None:
            own = APIRouter(route_class=TaskRoute)
            for route in declared(router):
                own.add_api_route(
                    **again(route, "", dependencies=[*route.dependencies, dependency])
                )
            super().include_router(own, *args, **rest)

    return Redeclaring


def at_route_of_app(dependency: Dependency) -> type[FastAPI]:
    """Without a router between."""

    class Direct(FastAPI):
        def include_router(self, router: APIRouter, prefix: str = "", **rest: Any) -> None:
            self.router.route_class = TaskRoute
            dependencies = [*rest.get("dependencies", ()), dependency]
            for route in declared(router):
                own = [*dependencies, *route.dependencies]
                self.router.add_api_route(**again(route, prefix, dependencies=own))

    return Direct


LEVELS = [at_app, at_inclusion, at_outer_router, at_router, at_route, at_route_of_app]
Level = Callable[[Dependency], Callable[..., FastAPI]]
With = Callable[[Level, Dependency], FastAPI]

each_level = pytest.mark.parametrize("level", LEVELS)


@pytest.fixture
def build_with(build: Build, monkeypatch: pytest.MonkeyPatch) -> With:
    """Builds the application with a dependency at one level."""

    def built(level: Level, dependency: Dependency) -> FastAPI:
        monkeypatch.setattr(server.http.app, "FastAPI", level(dependency))
        return build()

    return built


def guarded(app: FastAPI) -> list[Ask]:
    """A request for each route, and that there are as many as there should be."""
    asks = every_route(app)
    paths = {ask.path for ask in asks}
    assert {"/fill-mask", "/models/reviews/predict", "/v1/embeddings", "/livez", "/docs"} <= paths
    assert {"/models/cloze-small-en/info", "/v1/models/cloze-small-en", "/metrics"} <= paths
    assert len(asks) >= 27
    return asks


def passed(ask: Ask) -> list[str]:
    """The routes that a request comes by: one that names no task goes on to that of its body."""
    names_none = ask.method == "POST" and ask.path in {"/", "/invocations", OF_MODEL}
    return [ask.path, f"{OF_MODEL}/fill-mask"] if names_none else [ask.path]


# --- dependencies ------------------------------------------------------------------------------


REFUSALS = {
    "401": (
        HTTPException(401, "Say who you are.", {"WWW-Authenticate": 'Basic realm="cloze"'}),
        ("unauthorized", "Say who you are.", {"www-authenticate": 'Basic realm="cloze"'}),
    ),
    "403": (HTTPException(403), ("unauthorized", "The request is not allowed here.", {})),
    "404": (HTTPException(404, "No such tenant."), ("not_found", "No such tenant.", {})),
    "418": (HTTPException(418, {"tea": 1}), ("bad_request", "The request could", {})),
    "503": (
        HTTPException(503, "Closed at night.", {"Retry-After": "3600"}),
        ("internal_error", "Closed at night.", {"retry-after": "3600"}),
    ),
    "429": (
        QueueFull("Ask less.", retry_after_s=17),
        ("queue_full", "Ask less.", {"retry-after": "17"}),
    ),
    "401 of our own": (Unauthorized("No key."), ("unauthorized", "No key.", {})),
}


@each_level
def test_a_refusal_is_answered_on_every_route(build_with: With, level: Level) -> None:
    def refuse(x_case: Annotated[str, Header()] = "") -> None:
        if x_case:
            raise REFUSALS[x_case][0]

    app = build_with(level, Depends(refuse))
    with serving(app) as served:
        for ask in guarded(app):
            for case, (raised, (kind, message, headers)) in REFUSALS.items():
                answer = ask.of(served, x_case=case)
                assert answer.status_code == int(case[:3]), ask
                error = read_error(answer)
                assert error.code in {kind, None}, (ask, raised)
                assert error.message.startswith(message)
                assert headers.items() <= dict(answer.headers).items()
                assert answer.headers["x-request-id"]
            assert ask.of(served).status_code < 500, ask


@each_level
def test_a_security_scheme_guards_every_route(build_with: With, level: Level) -> None:
    def key(
        sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
        second: Annotated[str, Depends(APIKeyHeader(name="x-second-key"))],
    ) -> None:
        if (sent.credentials, second) != ("right", "too"):
            raise HTTPException(403, "A wrong key.")

    app = build_with(level, Depends(key))
    with serving(app) as served:
        for ask in guarded(app):
            without = ask.of(served)
            assert without.status_code == 401, ask
            assert read_error(without).code in {"unauthorized", None}
            assert without.headers["www-authenticate"] == "Bearer"
            one = ask.of(served, authorization="Bearer right")
            assert one.status_code == 401, ask
            wrong = ask.of(served, authorization="Bearer wrong", x_second_key="too")
            assert read_error(wrong)[:2] == (403, "A wrong key.")
            right = ask.of(served, authorization="Bearer right", x_second_key="too")
            assert right.status_code not in {401, 403}, ask
    for operations in document(app)["paths"].values():
        for operation in operations.values():
            schemes = {name for scheme in operation["security"] for name in scheme}
            assert schemes == {"HTTPBearer", "APIKeyHeader"}


def parameters(
    limit: Annotated[int, Query(ge=1, le=9)],
    x_tenant: Annotated[str, Header(min_length=3)],
    session: Annotated[str, Cookie(pattern="^[a-z]+$")] = "none",
) -> tuple[int, str, str]:
    return limit, x_tenant, session


@each_level
def test_parameters_are_checked_on_every_route(build_with: With, level: Level) -> None:
    seen = []

    def note(given: Annotated[tuple[int, str, str], Depends(parameters)]) -> None:
        seen.append(given)

    app = build_with(level, Depends(note))
    mistakes = [
        ("", {"x_tenant": "abc"}, "limit", "limit: is required."),
        ("?limit=3", {}, "x-tenant", "x-tenant: is required."),
        ("?limit=10", {"x_tenant": "abc"}, "limit", "limit: should be 9 or less."),
        ("?limit=secret", {"x_tenant": "abc"}, "limit", "limit: should be a whole number."),
        (
            "?limit=3",
            {"x_tenant": "abc", "cookie": "session=17"},
            "session",
            "session: is not what",
        ),
    ]
    with serving(app) as served:
        for ask in guarded(app):
            for query, headers, param, message in mistakes:
                answer = Ask(ask.method, ask.path + query, ask.body).of(served, **headers)
                error = read_error(answer)
                assert error.status == family_of(ask.path).status(422), ask
                assert error.param in {param, None}, ask
                assert error.message.startswith(message), ask
                assert "secret" not in answer.text
            assert seen == [], ask
            right = Ask(ask.method, f"{ask.path}?limit=3", ask.body)
            response = right.of(served, x_tenant="abc", cookie="session=mine")
            unfit = ('"missing_head"', '"model_required"')
            assert response.status_code < 400 or any(map(response.text.count, unfit)), ask
            assert {seen.pop() for _ in passed(ask)} == {(3, "abc", "mine")}


@each_level
def test_what_a_dependency_began_it_ends(build_with: With, level: Level) -> None:
    begun, ended = [], []

    async def session(request: Request) -> AsyncIterator[None]:
        begun.append(request.url.path)
        try:
            yield
        finally:
            await asyncio.sleep(0.001)
            ended.append(request.url.path)

    app = build_with(level, Depends(session))
    with serving(app) as served:
        asks = guarded(app)
        for ask in asks:
            ask.of(served)
    assert begun == [path for ask in asks for path in passed(ask)]
    assert sorted(ended) == sorted(begun)


def test_a_dependency_may_end_long_after_the_answer(build_with: With) -> None:
    ended = []

    async def session() -> AsyncIterator[None]:
        yield
        await asyncio.sleep(PATIENCE_S * 3)
        ended.append(True)

    with serving(build_with(at_app, Depends(session))) as served:
        for ask in (FILL, INFO):
            assert ask.of(served).status_code == 200
    assert ended == [True, True]


def test_a_dependency_sees_what_the_endpoint_raised(build_with: With) -> None:
    seen = []

    def transaction() -> Iterator[None]:
        try:
            yield
        except Exception as error:
            seen.append(type(error).__name__)
            raise

    with serving(build_with(at_app, Depends(transaction))) as served:
        no_mask = Ask("POST", "/fill-mask", {"inputs": "none"})
        assert no_mask.of(served).json()["code"] == "no_mask"
    assert seen == ["NoMask"]


def test_an_override_is_obeyed_from_when_it_is_made(build_with: With) -> None:
    def keyholder() -> None:
        raise HTTPException(401)

    def anybody() -> None:
        return

    app = build_with(at_inclusion, Depends(keyholder))
    with serving(app) as served:
        for ask in (FILL, INFO):
            assert ask.of(served).status_code == 401
        app.dependency_overrides[keyholder] = anybody
        for ask in (FILL, INFO):
            assert ask.of(served).status_code == 200
        app.dependency_overrides = {}
        for ask in (FILL, INFO):
            assert ask.of(served).status_code == 401


def test_even_what_is_only_documented_may_be_overridden(build: Build) -> None:
    def refuse() -> None:
        raise HTTPException(401)

    app = build()
    with serving(app) as served:
        assert FILL.of(served).status_code == 200
        app.dependency_overrides = {_document_timeout: refuse}
        assert FILL.of(served).status_code == 401
        assert INFO.of(served).status_code == 200
        app.dependency_overrides.clear()
        assert FILL.of(served).status_code == 200


def test_routes_that_are_included_once_more_keep_their_guard(build: Build) -> None:
    def refuse() -> None:
        raise HTTPException(403)

    app = build()
    app.include_router(fill_mask.router, prefix="/guarded", dependencies=[Depends(refuse)])
    with serving(app) as served:
        for path, status in [("/guarded/fill-mask", 403), ("/fill-mask", 200)] * 2:
            assert Ask("POST", path, FILL.body).of(served).status_code == status


# --- endpoints that declare more than a body ---------------------------------------------------


more = APIRouter(route_class=TaskRoute)


def user(x_user: Annotated[str, Header()]) -> str:
    return x_user.title()


@more.post("/own/{number}")
async def own(
    number: int, body: FillMaskBody, call: Call, name: Annotated[str, Depends(user)], q: int = 1
) -> Response:
    return JSONResponse([number, body.inputs, name, q, call.context.route])


@more.post("/embedded")
async def embedded(body: Annotated[FillMaskBody, Body(embed=True)], call: Call) -> Response:
    return JSONResponse([body.inputs, call.context.route])


@more.post("/afterwards")
async def afterwards(body: FillMaskBody, call: Call, response: Response) -> dict[str, Any]:
    response.headers["x-more"] = call.context.route
    return {"inputs": body.inputs}


def test_an_endpoint_gets_what_it_declares(build: Build) -> None:
    app = build()
    app.include_router(more, prefix="/more")
    with serving(app) as served:
        answer = Ask("POST", "/more/own/3?q=5", {"inputs": "a"}).of(served, x_user="ada")
        assert answer.json() == [3, "a", "Ada", 5, "/more/own/{number}"]
        refused = Ask("POST", "/more/own/x", {"inputs": 1, "b": 2}).of(served, x_user="ada")
        assert refused.status_code == 422
        assert refused.json()["param"] == "number"
        answer = Ask("POST", "/more/embedded", {"body": {"inputs": "a"}}).of(served)
        assert answer.json() == ["a", "/more/embedded"]
        answer = Ask("POST", "/more/afterwards", {"inputs": "a"}).of(served)
        assert (answer.json(), answer.headers["x-more"]) == ({"inputs": "a"}, "/more/afterwards")


def test_a_background_task_is_finished(build: Build) -> None:
    router = APIRouter(route_class=TaskRoute)
    done = []

    async def slowly() -> None:
        await asyncio.sleep(PATIENCE_S * 3)
        done.append(True)

    @router.post("/later")
    async def later(body: FillMaskBody, call: Call) -> Response:
        assert (body.inputs, call.context.route) == ("a", "/later")
        return Response(background=BackgroundTask(slowly))

    app = build()
    app.include_router(router)
    with serving(app) as served:
        assert Ask("POST", "/later", {"inputs": "a"}).of(served).status_code == 200
    assert done == [True]


# --- middleware --------------------------------------------------------------------------------


class Adding:
    """Pure ASGI middleware that adds a header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-added", b"yes")]
            await send(message)

        await self._app(scope, receive, adding)


class Refusing(BaseHTTPMiddleware):
    """Starlette's kind of middleware, which refuses those without a key."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.headers.get("x-key") != "right":
            return JSONResponse({"refused": True}, 403)
        return await call_next(request)


def test_middleware_that_is_added_runs_for_every_route(build: Build) -> None:
    app = build()
    app.add_middleware(Refusing)
    app.add_middleware(Adding)
    with serving(app) as served:
        for ask in [*guarded(app), Ask("GET", "/nope")]:
            refused = ask.of(served)
            assert (refused.status_code, refused.json()) == (403, {"refused": True}), ask
            assert refused.headers["x-added"] == "yes"
            answered = ask.of(served, x_key="right")
            assert answered.status_code != 403, ask
            assert answered.headers["x-added"] == "yes"
            assert answered.headers["x-request-id"]


# --- the short way and the whole way -----------------------------------------------------------


def nothing() -> None:
    """Declared, so that FastAPI goes its whole way."""


@pytest.fixture
def both_ways(
    build: Build, build_with: With, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FastAPI, Served, Served]]:
    """The application by the short way and by the whole way; that these are taken is checked."""
    short = build()
    whole = build_with(at_app, Depends(nothing))
    solved: list[str] = []
    routing: Any = importlib.import_module("fastapi.routing")
    solve = routing.solve_dependencies

    async def noted(**rest: Any) -> Any:
        solved.append(rest["request"].url.path)
        return await solve(**rest)

    monkeypatch.setattr(routing, "solve_dependencies", noted)
    with serving(short) as by_short, serving(whole) as by_whole:
        FILL.of(by_short)
        assert solved == []
        FILL.of(by_whole)
        assert solved == ["/fill-mask"]
        yield short, by_short, by_whole


CHANGING = {"date", "x-request-id", "server-timing"}


def told(response: Any) -> tuple[int, dict[str, str], bytes, set[str]]:
    """Everything of an answer that two of them should have in common."""
    # A refusal that was faster than its request's body closes the connection.
    found = {key: value for key, value in response.headers.items() if key != "connection"}
    headers = {key: value for key, value in found.items() if key not in CHANGING}
    return response.status_code, headers, response.content, set(found)


def test_every_route_answers_the_same_by_both_ways(
    both_ways: tuple[FastAPI, Served, Served],
) -> None:
    app, short, whole = both_ways
    answered = 0
    for ask in guarded(app):
        if ask.path != "/metrics":
            one, other = ask.of(short), ask.of(whole)
            assert told(one) == told(other), ask
            answered += one.is_success
    assert answered >= 20


JSON = "application/json"
ODD_BODIES: list[tuple[bytes, str | None]] = [
    (b'{"inputs": 1}', JSON),
    (b'{"inputs": [1, "a"], "input": [1, "a"]}', JSON),
    (b'{"inputs": ["a", {"text": "b"}], "unknown": 1}', JSON),
    (b'{"inputs": "a [MASK]", "parameters": {"top_k": 0, "unknown": []}}', JSON),
    (b'{"inputs": "a [MASK]", "parameters": {"top_k": "5"}}', JSON),
    (b'{"inputs": "a [MASK]", "truncate": 1, "truncation_direction": "up"}', JSON),
    (b'{"inputs": NaN}', JSON),
    (b'{"inputs": ' + b"[" * 40 + b"]" * 40 + b"}", JSON),
    (b'{"inputs": "\\ud800"}', JSON),
    (b'{"inputs": "\xff"}', JSON),
    (b'{"inputs": 123456789012345678901234567890}', JSON),
    (b'{"inputs": "a", "inputs": 2}', JSON),
    (b"{" + b",".join(b'"field_%d": 0' % n for n in range(40)) + b"}", JSON),
    (b"", JSON),
    (b"", None),
    (b"{", JSON),
    (b"{}", JSON),
    (b"[]", JSON),
    (b"null", JSON),
    (b'"inputs"', JSON),
    (b"17", JSON),
    (b'[{"inputs": "a"}]', JSON),
    (b'{"body": {"inputs": "a"}}', JSON),
    (b'{"inputs": ""}', JSON),
    (b'{"inputs": []}', JSON),
    (b'{"inputs": "a [MASK]", "input": null}', JSON),
    (b'{"inputs": "a [MASK]"}', None),
    (b'{"inputs": "a [MASK]"}', "text/plain"),
    (b'{"inputs": "a [MASK]"}', "application/json; charset=latin-1"),
    (b'{"inputs": "a [MASK]"}', "application/x-www-form-urlencoded"),
    (b'{"inputs": "a [MASK]"}', "application/json ;charset=utf-8"),
    (b'{"inputs": "a [MASK]"}', "Application/vnd.own+JSON"),
    (b'{"inputs": "a [MASK]"}', ""),
]


def test_odd_bodies_are_told_of_the_same_by_both_ways(
    both_ways: tuple[FastAPI, Served, Served],
) -> None:
    app, short, whole = both_ways
    tasks = [ask for ask in guarded(app) if ask.method == "POST"]
    assert len(tasks) == 44
    for ask in tasks:
        for content, kind in ODD_BODIES:
            headers = {} if kind is None else {"content-type": kind}
            one, other = (
                served.client.post(served.url + ask.path, content=content, headers=headers)
                for served in (short, whole)
            )
            assert told(one) == told(other), (ask.path, content, kind)
            if not one.is_success:
                read_error(one)
