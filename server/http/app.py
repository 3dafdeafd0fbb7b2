"""What requests need of the server in, the ASGI application out: its layers and its routes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from server import __version__
from server.http.context import Service
from server.http.error_responses import HANDLED, answer_failure
from server.http.middleware import RequestMiddleware
from server.http.routes import PER_MODEL, SHARED, docs, page
from server.http.routing import MODEL_PREFIX, NAMED
from server.http.shortcut import Shortcut
from server.settings import Settings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
"""What is entered before the application answers and left after its last answer."""

_DESCRIPTION: Final = """
BERT over HTTP: fill-mask, next-sentence prediction, embeddings, classification and question
answering. Every route of a task answers at `/models/{model}/...` for the model of that name. At the
root the model is the one that the body names as `model`, or else the default one, or else the only
one that can do the task.

Answers carry `x-request-id`; those of tasks also `x-compute-tokens`, `server-timing` (milliseconds)
and, when inputs were cut because `truncate` was set, their indices in `x-truncated`. Fields of a
body that a route does not know are passed over and named in `x-ignored`.
"""

_EXPOSED: Final = (
    *("x-request-id", "x-compute-tokens", "x-truncated", "x-ignored"),
    *("server-timing", "retry-after", "traceparent"),
)


# FastAPI's telemetry obeys variables that other programs set, and sees bodies. Ours writes traces
# where somebody wants them, and no text (`server.tracing`).
_NO_SPANS_OF_FASTAPI: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}


def create_app(service: Service, lifespan: Lifespan) -> FastAPI:
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
        telemetry=_NO_SPANS_OF_FASTAPI,
        strict_content_type=False,  # a body that does not say what it is may be JSON
        exception_handlers=dict.fromkeys(HANDLED, answer_failure),
    )
    _add_routes(app, service.settings)
    _add_layers(app, service)
    return app


def _add_routes(app: FastAPI, settings: Settings) -> None:
    for router in (*PER_MODEL, *SHARED):
        app.include_router(router)
    for router in PER_MODEL:
        app.include_router(router, prefix=MODEL_PREFIX, dependencies=[NAMED])
    if settings.docs:
        app.include_router(docs.router)
        app.include_router(page.router if settings.page else docs.root_router)


def _add_layers(app: FastAPI, service: Service) -> None:
    """Puts the layers around the routes, the innermost first."""
    app.add_middleware(Shortcut, owner=app, exception_handlers=dict(app.exception_handlers))
    if service.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # whatever they ask for, since no route obeys others than its own
            expose_headers=_EXPOSED,
        )
    app.add_middleware(RequestMiddleware, service=service)


def _operation_id(route: APIRoute) -> str:
    return f"{route.name}_of_model" if route.path.startswith(MODEL_PREFIX) else route.name
