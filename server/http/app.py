"""Settings in, the ASGI application out: its layers, its routes, its life from load to drain."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from models.manifest import ManifestError
from server import __version__
from server.http.context import Service
from server.http.error_responses import HANDLED, answer_failure
from server.http.middleware import RequestMiddleware
from server.http.routes import PER_MODEL, SHARED, docs
from server.http.routing import MODEL_PREFIX, NAMED
from server.inference.admission import Admission
from server.inference.model_registry import Registry
from server.inference.pipeline import Resources
from server.inference.runtime.devices import DeviceError, find_device
from server.metrics import Metrics
from server.process.shared_memory import Member
from server.process.statistics import POST_EVERY_S
from server.settings import Settings

logger = logging.getLogger("cloze")

Refusal = ManifestError | DeviceError | OSError
"""Why the server cannot serve: a model folder, or the device."""

# By the time the workers are stopped every request has its answer, if need be a 503; only a batch
# that is stuck can still be running.
_LAST_BATCH_S: Final = 2

_COLLECT_AFTER: Final = 10_000  # objects; Python's own habit is 700

_DESCRIPTION: Final = """
BERT over HTTP: fill-mask, next-sentence prediction, embeddings, classification and question
answering. Every route of a task answers for the default model at the root and for any other at
`/models/{model}/...`.

Answers carry `x-request-id`; those of tasks also `x-compute-tokens`, `server-timing` (milliseconds)
and, when inputs were cut because `truncate` was set, their indices in `x-truncated`.
"""


def create_app(
    settings: Settings, on_refused: Callable[[Refusal], None], member: Member | None = None
) -> tuple[FastAPI, Registry]:
    """Builds the application, layers included, and the registry of its models.

    Args:
        settings: all options.
        on_refused: called when a model folder or the device is; the server should stop then.
        member: of a process that is one of several.
    """
    registry = Registry()
    admission = Admission(settings)
    metrics = Metrics(lambda: registry.pipelines, admission, member)
    service = Service(settings, registry, metrics, admission, member)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Loading goes on beside serving, so that probes are answered from the first moment.
        loading = asyncio.create_task(_load(service, on_refused))
        membership = asyncio.create_task(_take_part(service, loading))
        if member is not None and member.late:
            await loading
        yield
        loading.cancel()
        await _drain(registry)
        membership.cancel()

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
        strict_content_type=False,  # a body that does not say what it is may be JSON
        exception_handlers=dict.fromkeys(HANDLED, answer_failure),
    )
    _add_routes(app, with_docs=settings.docs)
    _add_layers(app, service)
    return app, registry


async def _load(service: Service, on_refused: Callable[[Refusal], None]) -> None:
    settings = service.settings
    try:
        device = await asyncio.to_thread(find_device, settings.device)
        resources = Resources(settings, settings, device, service.admission)
        await service.registry.load(settings.models, settings.default_model, resources)
    except (ManifestError, DeviceError, OSError) as error:
        on_refused(error)
        return
    # What is loaded stays. Left to the garbage collector it would be looked through again and
    # again, for tens of milliseconds each time, in which nothing is answered. Requests leave hardly
    # a cycle behind, so the collector may also come less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


async def _take_part(service: Service, loading: asyncio.Task[None]) -> None:
    """Tells the other processes, if there are any, that this one is ready, and what it counts."""
    await loading
    member = service.member
    if member is None or not service.registry.pipelines:
        return
    member.board.set_ready(member.place, ready=True)
    while True:
        service.metrics.post()
        await asyncio.sleep(POST_EVERY_S)


async def _drain(registry: Registry) -> None:
    try:
        await asyncio.wait_for(registry.drain(), _LAST_BATCH_S)
    except TimeoutError:
        logger.warning("a batch did not finish in time")


def _add_routes(app: FastAPI, *, with_docs: bool) -> None:
    for family in PER_MODEL:
        app.include_router(family.router)
    for family in SHARED:
        app.include_router(family.router)
    for family in PER_MODEL:
        app.include_router(family.router, prefix=MODEL_PREFIX, dependencies=[NAMED])
    if with_docs:
        app.include_router(docs.router)


def _add_layers(app: FastAPI, service: Service) -> None:
    """Puts the layers around the routes, the innermost first."""
    if service.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id", "x-request-timeout-ms"],
            expose_headers=["x-request-id", "x-compute-tokens", "x-truncated", "server-timing"],
        )
    app.add_middleware(RequestMiddleware, service=service)


def _operation_id(route: APIRoute) -> str:
    return f"{route.name}_of_model" if route.path.startswith(MODEL_PREFIX) else route.name
