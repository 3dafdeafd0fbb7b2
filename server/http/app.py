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
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from models.manifest import ManifestError
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
from server.inference.model_registry import Registry
from server.inference.options import InferenceOptions
from server.inference.runtime.devices import Device, DeviceError, find_device
from server.metrics import Metrics
from server.process.shared_memory import Member
from server.process.statistics import POST_EVERY_S
from server.settings import Settings

logger = logging.getLogger("cloze")

Refusal = ManifestError | DeviceError | OSError
"""Why the server cannot serve: a model folder, or the device."""

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
) -> tuple[ASGIApp, Registry]:
    """Builds the application, layers included, and the registry of its models.

    Args:
        settings: all options.
        on_refused: called when a model folder or the device is; the server should stop then.
        member: of a process that is one of several.
    """
    registry = Registry()
    service = Service(settings, registry, Metrics(lambda: registry.pipelines, member), member)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Loading goes on beside serving, so that probes are answered from the first moment.
        loading = asyncio.create_task(_load(registry, settings, on_refused))
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
        exception_handlers={ClozeError: answer_failure, HTTPException: answer_failure},
    )
    _add_routes(app, with_docs=settings.docs)
    return _layered(app, service), registry


async def _load(
    registry: Registry, settings: Settings, on_refused: Callable[[Refusal], None]
) -> None:
    try:
        device = await asyncio.to_thread(find_device, settings.device)
        options = inference_options(settings, device)
        await registry.load(settings.models, settings.default_model, options)
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


def inference_options(settings: Settings, device: Device) -> InferenceOptions:
    """Picks out what the inference layer is told."""
    return InferenceOptions(
        threads=settings.threads,
        intra_op=settings.intra_op,
        intra_op_alone=settings.intra_op_alone,
        batch_tokens=settings.batch_tokens,
        queue_tokens=settings.queue_tokens,
        max_items=settings.max_inputs,
        max_masks=settings.max_masks,
        max_targets=settings.max_targets,
        max_top_k=settings.max_top_k,
        device=device,
    )


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
