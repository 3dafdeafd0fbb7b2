"""`GET /info`: what a loaded model is and what the server accepts."""

import platform
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

import server
from server.http.routing import Call, TaskRoute, errors, json_response
from server.http.schemas import Answer
from server.inference.tasks import TASKS
from server.inference.tasks.task import supports
from server.inference.tokenizer import CHARACTERS_PER_TOKEN
from server.settings import Limits

router = APIRouter(route_class=TaskRoute, tags=["server"])

# One of the first two: the package for GPUs replaces the other.
_PACKAGES: Final = ("onnxruntime", "onnxruntime-gpu", "tokenizers", "numpy", "fastapi", "uvicorn")


class InfoAnswer(Answer):
    """One model, the limits on requests, and the versions in use."""

    model: str
    models: list[str] = Field(description="all loaded models")
    source: str
    license: str
    heads: list[str] = Field(description="what the checkpoint can be asked for")
    tasks: list[str] = Field(description="routes that this model answers")
    labels: list[str] = Field(description="of its classifier, in the order of their numbers")
    multi_label: bool = Field(description="labels do not exclude each other")
    regression: bool = Field(description="scores are numbers, not probabilities")
    activation: str | None = Field(
        description="what makes scores of the classifier's logits; null if its labels tell"
    )
    architecture: dict[str, Any]
    pooling: dict[str, Any] = Field(description="how rows become a sentence vector")
    layers: list[int] = Field(description="further layers that can be pooled")
    max_tokens: int = Field(
        description="of the longest text or pair: the model's, or what run_bytes leaves room for"
    )
    truncation_side: str = Field(description="the end that is cut if the request does not say")
    precision: str
    device: str = Field(description="what it runs on: cpu or cuda")
    parameters: dict[str, int] = Field(
        description="exact counts by part, beside the textbook's vocab·H + L·12·H²"
    )
    parity: dict[str, float] = Field(description="largest differences from the reference")
    quantization_error: dict[str, float] = Field(description="what the precision cost")
    quantization_texts: str = Field(description="measured on these: sentences or random tokens")
    processes: int = Field(description="that share the work")
    limits: dict[str, float] = Field(description="of one request")
    versions: dict[str, str]


@router.get(
    "/info",
    summary="Describe the model",
    response_model=InfoAnswer,
    responses=errors(404, 500, 503),
)
async def info(call: Call) -> Response:
    """Describes the model that answers here."""
    pipeline = call.pipeline()
    manifest = pipeline.manifest
    service = call.context.service
    return json_response(
        {
            "model": call.context.model,
            "models": list(service.registry.pipelines),
            "source": manifest.source,
            "license": manifest.license,
            "heads": manifest.heads,
            "tasks": [
                f"/{path}"
                for task in TASKS
                if supports(task, manifest)
                for path in (task.name, *task.also)
            ],
            "labels": manifest.labels,
            "multi_label": manifest.multi_label,
            "regression": manifest.regression,
            "activation": manifest.activation,
            "architecture": asdict(manifest.architecture),
            "pooling": asdict(manifest.pooling),
            "layers": manifest.layers,
            "max_tokens": manifest.max_tokens,
            "truncation_side": manifest.truncation_side,
            "precision": manifest.precision,
            "device": pipeline.device.name,
            "parameters": dict(manifest.parameters),
            "parity": dict(manifest.parity),
            "quantization_error": dict(manifest.quantization_error),
            "quantization_texts": manifest.quantization_texts,
            "processes": service.settings.processes,
            "limits": {
                **service.settings.model_dump(include=set(Limits.model_fields)),
                "max_tokens": manifest.max_tokens,
                "max_embed_tokens": manifest.pooling.max_tokens,
                "max_characters": manifest.max_tokens * CHARACTERS_PER_TOKEN,
            },
            "versions": versions(),
        }
    )


@cache
def versions() -> dict[str, str]:
    """Returns the version of Cloze, of Python and of the packages that shape answers."""
    packages = {name: _version(name) for name in _PACKAGES}
    installed = {name: found for name, found in packages.items() if found}
    return {"cloze": server.__version__, "python": platform.python_version(), **installed}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
