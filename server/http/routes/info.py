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
from models.heads import SEQUENCE
from models.manifest import GRAPH_FILE, SHORTEST_TEXT, ModelManifest
from server.http.routing import Call, TaskRoute, errors, json_response
from server.http.schemas import Answer
from server.inference.options import batch_tokens
from server.inference.pipeline import Pipeline
from server.inference.tasks import TASKS
from server.inference.tasks.task import supports
from server.inference.tokenizer import CHARACTERS_PER_TOKEN
from server.settings import Limits, Settings

router = APIRouter(route_class=TaskRoute, tags=["server"])

# One of the first two: the package for GPUs replaces the other.
_PACKAGES: Final = ("onnxruntime", "onnxruntime-gpu", "tokenizers", "numpy", "fastapi", "uvicorn")

_DTYPES: Final = {"fp32": "float32", "fp16": "float16"}


class EmbeddingModel(Answer):
    """A model that makes vectors, as text-embeddings-inference (TEI) tells of it."""

    pooling: str


class ClassifierModel(Answer):
    """A model that scores labels, as TEI tells of it."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class ModelType(Answer):
    """One of the three, by what the model was made for; a reranker has one label."""

    embedding: EmbeddingModel | None = None
    classifier: ClassifierModel | None = None
    reranker: ClassifierModel | None = None


class TeiInfo(Answer):
    """What TEI answers to the same question, for clients that ask before they send."""

    model_id: str = Field(description="what the weights are from")
    model_sha: str | None = Field(description="SHA-256 of the model's graph")
    model_dtype: str = Field(description="float32, float16 or int8")
    model_type: ModelType
    max_concurrent_requests: int = Field(description="short texts that may wait at a time")
    max_input_length: int = Field(description="tokens of the longest text")
    max_batch_tokens: int = Field(description="that one worker takes at a time")
    max_batch_requests: int | None = Field(description="null: bounded by tokens alone")
    max_client_batch_size: int = Field(description="texts in one request")
    auto_truncate: bool = Field(description="whether texts are cut that are too long")
    tokenization_workers: int
    version: str = Field(description="of Cloze")
    sha: str | None
    docker_label: str | None


class InfoAnswer(TeiInfo):
    """One model, the limits on requests, and the versions in use."""

    model: str
    models: list[str] = Field(description="all loaded models")
    aliases: dict[str, str] = Field(description="other names of models, each with the model's own")
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
            **_as_tei(pipeline, service.settings),
            "model": call.context.model,
            "models": list(service.registry.pipelines),
            "aliases": dict(service.registry.aliases),
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


def _as_tei(pipeline: Pipeline, settings: Settings) -> dict[str, object]:
    manifest = pipeline.manifest
    return {
        "model_id": manifest.source,
        "model_sha": manifest.files[GRAPH_FILE].sha256,
        "model_dtype": _DTYPES.get(manifest.precision, manifest.precision),
        "model_type": _model_type(manifest),
        "max_concurrent_requests": settings.queue_tokens // SHORTEST_TEXT,
        "max_input_length": manifest.max_tokens,
        "max_batch_tokens": batch_tokens(settings, pipeline.device),
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_inputs,
        "auto_truncate": settings.auto_truncate,
        "tokenization_workers": pipeline.offload.threads,
        "version": server.__version__,
        "sha": None,
        "docker_label": None,
    }


def _model_type(manifest: ModelManifest) -> dict[str, object]:
    if SEQUENCE.name not in manifest.heads:
        return {"embedding": {"pooling": manifest.pooling.mode}}
    labels = {str(index): label for index, label in enumerate(manifest.labels)}
    kind = "reranker" if len(labels) == 1 else "classifier"
    return {
        kind: {
            "id2label": labels,
            "label2id": {label: int(index) for index, label in labels.items()},
        }
    }


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
