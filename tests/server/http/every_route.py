"""An application in, one request for each of its routes out, with a body that the route answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
from fastapi import FastAPI

from server.http.families import (
    ErrorAnswer,
    InferenceErrorAnswer,
    OpenAIErrorAnswer,
    family_of,
)
from server.http.openapi import document
from tests.running_server import Served

# By the last part of a path that takes a body: a model that answers it, and what is sent.
ANSWERED: dict[str, tuple[str, Any]] = {
    "fill-mask": ("cloze-small-en", {"inputs": ["Paris is the [MASK] of [MASK].", "A [MASK]."]}),
    "score": ("cloze-small-en", {"inputs": ["Unbelievably good.", "A river."]}),
    "embed": ("cloze-small-en", {"inputs": ["A river runs through it.", "Über Brücken"]}),
    "embed_all": ("cloze-small-en", {"inputs": ["A river."], "dimensions": 3}),
    "embed_sparse": ("cloze-small-en", {"inputs": "No head of its own."}),
    "similarity": (
        "cloze-small-en",
        {"inputs": {"source_sentence": "A river.", "sentences": ["A stream.", "Bread."]}},
    ),
    "decode": ("cloze-small-en", {"ids": [[101, 1037, 2314, 102], [2009]]}),
    "nsp": ("cloze-small-en", {"inputs": [["The train was late.", "We waited for an hour."]]}),
    "tokenize": ("cloze-small-en", {"inputs": ["Two words", {"text": "a", "text_pair": "b"}]}),
    "embeddings": ("cloze-small-en", {"input": ["A river."], "model": "cloze-small-en"}),
    "classify": ("reviews", {"input": ["What a wonderful film!"], "model": "reviews"}),
    "predict": ("reviews", {"inputs": "What a wonderful film!"}),
    "text-classification": ("reviews", {"inputs": ["What a wonderful film!", "The soup."]}),
    "rerank": (
        "matches",
        {
            "query": "Where does Clara live?",
            "documents": ["Omar lives in Oslo.", {"text": "Clara lives in Berkeley."}],
            "model": "matches",
        },
    ),
    "zero-shot-classification": (
        "inference",
        {
            "inputs": "The actor was charming.",
            "parameters": {"candidate_labels": ["film", "food", "travel"]},
        },
    ),
    "token-classification": ("names", {"inputs": "Clara lives in Berkeley."}),
    "question-answering": (
        "answers",
        {"inputs": {"question": "Where does Clara live?", "context": "Clara lives in Berkeley."}},
    ),
    "infer": (
        "names",
        {
            "inputs": [
                {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["Clara is here."]}
            ]
        },
    ),
}
# A request that names no task, at the root, at a model, and from SageMaker.
ANSWERED["{model}"] = ANSWERED[""] = ANSWERED["invocations"] = ANSWERED["fill-mask"]
UNDOCUMENTED = ("/page/main.js", "/docs", "/docs/start.js", "/openapi.json")


@dataclass(frozen=True)
class Ask:
    """One request."""

    method: str
    path: str
    body: Any = None

    def of(self, served: Served, **headers: str) -> httpx.Response:
        """The answer of a server."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = served.url + self.path
        return served.client.request(self.method, url, json=self.body, headers=named)


class Told(NamedTuple):
    """An error as it was answered, whatever the shape."""

    status: int
    message: str
    kind: str | None = None
    code: str | None = None
    param: str | None = None


def read_error(answer: httpx.Response) -> Told:
    """Reads the error of an answer, in the shape of its path's family and no other."""
    match family_of(answer.request.url.path).answer.model_validate_json(answer.content):
        case OpenAIErrorAnswer(error=error):
            return Told(answer.status_code, error.message, error.type, error.code, error.param)
        case InferenceErrorAnswer(error=message):
            return Told(answer.status_code, message)
        case ErrorAnswer() as own:
            return Told(answer.status_code, own.error, own.error_type, own.code, own.param)
    raise AssertionError(answer.text)


def every_route(app: FastAPI) -> list[Ask]:
    """A request for each route, those of the docs included."""
    asks = [Ask("GET", path) for path in UNDOCUMENTED]
    for path, operations in document(app)["paths"].items():
        asks += [answered(method, path) for method in operations]
    return asks


def answered(method: str, path: str) -> Ask:
    """The request for a route by its path, as OpenAPI has it.

    Raises:
        AssertionError: it takes a body, and nobody has said in `ANSWERED` which.
    """
    path = path.replace("{name}", "cloze-small-en")
    if method != "post":
        return Ask(method.upper(), path.replace("{model}", "cloze-small-en"))
    last = path.rpartition("/")[2]
    assert last in ANSWERED, f"{path} needs a request in ANSWERED of {__name__}"
    model, body = ANSWERED[last]
    return Ask("POST", path.replace("{model}", model), body)
