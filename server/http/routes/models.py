"""`GET /models`: which models there are, in the shape of OpenAI's lists."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routing import Call, TaskRoute, errors, json_response
from server.http.schemas import Answer
from server.inference.model_registry import Registry
from server.inference.tasks import TASKS
from server.inference.tasks.task import supports

router = APIRouter(route_class=TaskRoute, tags=["models"])


class ModelCard(Answer):
    """A loaded model, by its name or by an alias."""

    id: str
    object: Literal["model"]
    created: int = Field(description="when it was exported, in Unix seconds")
    owned_by: str
    root: str = Field(description="its own name, where `id` is an alias")
    tasks: list[str] = Field(description="what it can be asked for")


class ModelList(Answer):
    """All loaded models, the default one first, and then their aliases."""

    object: Literal["list"]
    data: list[ModelCard]


@router.get("/models", summary="List models", response_model=ModelList, responses=errors(500, 503))
async def list_models(call: Call) -> Response:
    """Lists the loaded models."""
    return json_response(listing(call))


def listing(call: Call) -> dict[str, object]:
    """The answer of a route that lists models."""
    registry = call.context.service.registry
    registry.require_loaded()
    names = sorted(registry.pipelines, key=lambda name: name != registry.default)
    cards = [card(registry, name) for name in (*names, *registry.aliases)]
    return {"object": "list", "data": cards}


def card(registry: Registry, name: str) -> dict[str, object]:
    """What a list says of one model, by its name or an alias."""
    own, pipeline = registry.find(name)
    manifest = pipeline.manifest
    return {
        "id": name,
        "object": "model",
        "created": _unix_seconds(manifest.created),
        "owned_by": manifest.source,
        "root": own,
        "tasks": [task.name for task in TASKS if supports(task, manifest)],
    }


def _unix_seconds(created: str) -> int:
    """Reads a manifest's time.

    >>> _unix_seconds("2018-10-11T00:50:01Z")
    1539219001
    """
    return int(datetime.fromisoformat(created).timestamp())
