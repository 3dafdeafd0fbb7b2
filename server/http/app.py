"""What requests need of the server in, the ASGI application out: its layers and its routes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from server import __version__
from server.errors import ClozeError
from server.http.body_limits import BodyLimits
from server.http.context import Service
from server.http.error_responses import answer_failure
from server.http.middleware import Envelope
from server.http.routes import (
    docs,
    embed,
    fill_mask,
    info,
    nsp,
    openai,
    predict,
    probes,
    question_answering,
    token_classification,
    tokenize,
)
from server.http.routing import MODEL_PREFIX, NAMED, TaskRoute
from server.http.shortcut import Shortcut

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
"""What is entered before the application answers and left after its last answer."""

# Every route of these answers at the root for the default model and at /models/{model} for any.
# The busiest come first: paths are compared in this order.
_PER_MODEL: Final = (
    fill_mask,
    embed,
    nsp,
    predict,
    token_classification,
    question_answering,
    tokenize,
    info,
)
_SHARED: Final = (openai, probes)

_DESCRIPTION: Final = """
BERT over HTTP: fill-mask, next-sentence prediction, embeddings, classification and question
answering. Every route of a task answers for the default model at the root and for any other at
`/models/{model}/...`.

Answers carry `x-request-id`; those of tasks also `x-compute-tokens`, `server-timing` (milliseconds)
and, when inputs were cut because `truncate` was set, their indices in `x-truncated`.
"""


def create_app(service: Service, lifespan: Lifespan) -> ASGIApp:
    """Builds the application, layers included."""
    app = FastAPI(
        title="Cloze",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        exception_handlers={ClozeError: answer_failure, HTTPException: answer_failure},
    )
    _add_routes(app, with_docs=service.settings.docs)
    return _layered(app, service)


def _add_routes(app: FastAPI, *, with_docs: bool) -> None:
    for family in _PER_MODEL:
        app.include_router(family.router)
    for family in _SHARED:
        app.include_router(family.router)
    for family in _PER_MODEL:
        app.include_router(family.router, prefix=MODEL_PREFIX, dependencies=[NAMED])
    if with_docs:
        app.include_router(docs.router)


def _layered(app: FastAPI, service: Service) -> ASGIApp:
    """Puts the layers around the routes, the innermost first.

    They stand outside FastAPI's own, so that a request that `Shortcut` answers meets none of those.
    """
    families = (*_PER_MODEL, *_SHARED)
    routes = [route for family in families for route in family.router.routes]
    layered: ASGIApp = Shortcut(app, [route for route in routes if isinstance(route, TaskRoute)])
    layered = BodyLimits(layered, max_bytes=service.settings.max_body_bytes)
    if service.settings.cors_origins:
        layered = CORSMiddleware(
            layered,
            allow_origins=service.settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id", "x-request-timeout-ms"],
            expose_headers=["x-request-id", "x-compute-tokens", "x-truncated", "server-timing"],
        )
    return Envelope(layered, service=service)


def _operation_id(route: APIRoute) -> str:
    return f"{route.name}_of_model" if route.path.startswith(MODEL_PREFIX) else route.name
