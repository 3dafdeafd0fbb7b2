"""`/livez`, `/readyz`, `/health`, `/ping`, `/metrics`: what supervisors, balancers, Prometheus ask.

Liveness looks at the event loop, which answers, and at the signs of life of the workers and of the
other processes, if there are any; never at load.
Readiness means: loaded, warmed, and not shutting down; of several processes, that none still loads.
"""

import asyncio
from typing import Literal

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from server.errors import Draining, NotReady
from server.http.routing import Call, TaskRoute, errors, json_response
from server.http.schemas import Answer
from server.inference.model_registry import Phase
from server.metrics import CONTENT_TYPE

router = APIRouter(route_class=TaskRoute, tags=["server"])


class ProbeAnswer(Answer):
    """All is well; anything else is a 503."""

    status: Literal["ok"]


@router.get("/livez", response_model=ProbeAnswer, responses=errors(503))
async def livez(call: Call) -> Response:
    """Succeeds unless something has died or is stuck; the server should be restarted then."""
    service = call.context.service
    for task in service.background.failed:
        raise NotReady(f"The background task {task!r} has failed; restart the server.")
    ages = [p.stats().worker_heartbeat_age_seconds for p in service.registry.pipelines.values()]
    if max([*ages, service.metrics.silence_s()]) > service.settings.stuck_after_s:
        raise NotReady("A worker has shown no sign of life for too long; restart the server.")
    return json_response({"status": "ok"})


@router.get("/readyz", response_model=ProbeAnswer, responses=errors(503))
async def readyz(call: Call) -> Response:
    """Succeeds while requests should be sent here."""
    service = call.context.service
    match service.registry.phase:
        case Phase.READY:
            # The next connection may be dealt to any of the processes that listen.
            answering = service.settings.while_loading == "answer" and service.member
            if answering and answering.statistics.is_any_loading():
                raise NotReady("Other processes are still loading.", retry_after_s=1)
            return json_response({"status": "ok"})
        case Phase.DRAINING:
            raise Draining("The server is shutting down; send requests elsewhere.")
        case Phase.LOADING:
            raise NotReady("The models are still being loaded.", retry_after_s=1)


@router.get("/health", response_model=ProbeAnswer, responses=errors(503))
async def health(call: Call) -> Response:
    """The same as `/readyz`, under the name that other inference servers use."""
    return await readyz(call)


@router.get("/ping", response_model=ProbeAnswer, responses=errors(503))
async def ping(call: Call) -> Response:
    """The same as `/readyz`, under the name that SageMaker asks."""
    return await readyz(call)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"description": "Prometheus text format"}},
)
async def metrics(call: Call) -> Response:
    """What was counted since the start."""
    # It takes milliseconds, of many models tens of them; not behind large texts (`Offload`).
    text = await asyncio.to_thread(call.context.service.metrics.exposition)
    return Response(text, media_type=CONTENT_TYPE)
