"""The layer next to the routes: it answers what was refused outside, and calls plain task routes.

A POST to a task's own path goes to that route's handler: no router and no resolver between. A slash
at the end of a path is passed over here, and an alias of a model is replaced by its name.

Only where nothing is lost by it: the route declares nothing but its body, it is the first that has
the path, nobody overrides a dependency, and no exception handler was added to ours. All else takes
FastAPI's way, as does every layer around this one, which is added to FastAPI as its innermost.
What it is worth: 1.04 times the short embeddings (0.91 to 1.27 in nine rounds) and 1.02 times the
short fill-masks (0.99 to 1.19), 2 cores of an AMD EPYC without VNNI, 2026-11-29, int8:
`make bench-paired ARGS="--without shortcut"`.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.context import CONTEXT, REFUSAL
from server.http.error_responses import HANDLED, answer_failure, failure
from server.http.paths import canonical, route_path
from server.http.routing import Handler, TaskRoute, declares_only_a_body


class Shortcut:
    """ASGI middleware that answers requests to plain task routes and passes on all others."""

    def __init__(
        self, app: ASGIApp, *, owner: FastAPI, exception_handlers: Mapping[Any, Any]
    ) -> None:
        """Made at the first request, when `owner` has all that it will have."""
        self._app = app
        self._owner = owner
        ours = owner.exception_handlers == exception_handlers
        self._handlers = plain_handlers(owner) if ours else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or passes it on."""
        refusal = scope.get(REFUSAL)
        if refusal is not None:
            await failure(refusal, scope)(scope, receive, send)
            return
        handler = None
        if scope["type"] == "http":
            handler = self._handler_of(scope)
            if handler is None:
                scope = _canonical(scope)
                handler = self._handler_of(scope)
        if handler is None or self._owner.dependency_overrides:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await handler(request)
        except HANDLED as error:  # as FastAPI's innermost layer does, so that all see an answer
            response = await answer_failure(request, error)
        await response(scope, receive, send)

    def _handler_of(self, scope: Scope) -> Handler | None:
        return self._handlers.get(route_path(scope)) if scope["method"] == "POST" else None


def _canonical(scope: Scope) -> Scope:
    """The scope with the path by which routes know it, where it was written otherwise."""
    path = route_path(scope)
    own = canonical(path, scope[CONTEXT].service.registry.aliases)
    if own == path:
        return scope
    return {**scope, "path": scope["path"].removesuffix(path) + own}


def plain_handlers(app: FastAPI) -> dict[str, Handler]:
    """The handlers of plain task routes by their path, if a POST to it would reach them first."""
    contexts = list(iter_route_contexts(app.routes))
    handlers: dict[str, Handler] = {}
    for place, context in enumerate(contexts):
        path, route = context.path, context.original_route
        if path is None or "{" in path or not isinstance(route, TaskRoute):
            continue
        earlier = contexts[:place]
        if any(other.path_regex.match(path) for other in earlier if hasattr(other, "path_regex")):
            continue
        # One route may be part of several applications: this one's dependencies count.
        plain = declares_only_a_body(context.dependant) and context.methods == {"POST"}
        if plain and path in route.plain_handlers:
            handlers[path] = route.plain_handlers[path]
    return handlers
