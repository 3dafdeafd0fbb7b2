"""A POST to a task's own path in, that task's handler called: no router, no resolver in between.

Under load the way through FastAPI's and Starlette's layers is a good part of what HTTP costs here.
The routes stay declared with FastAPI, which documents them and serves every path
that is not exactly one of these, such as `/models/{model}/...`.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import ClozeError
from server.http.error_responses import failure
from server.http.routing import Call


class Shortcut:
    """ASGI middleware that answers requests to `routes` itself and passes on all others."""

    def __init__(self, app: ASGIApp, routes: Iterable[APIRoute]) -> None:
        self._app = app
        self._handlers = {
            route.path: route.get_route_handler() for route in routes if route.methods == {"POST"}
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or passes it on."""
        handler = None
        if scope["type"] == "http" and scope["method"] == "POST":
            handler = self._handlers.get(scope["path"])
        if handler is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await handler(Call(scope, receive))
        except ClozeError as error:
            response = failure(error)
        await response(scope, receive, send)
