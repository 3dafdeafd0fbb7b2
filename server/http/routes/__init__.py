"""One module a route, or a family of routes that one kind of client calls.

A new route is a module here, with a `router`, and its name in one of these two lists.
"""

from importlib import import_module
from typing import Final

from fastapi import APIRouter


def _routers(*names: str) -> tuple[APIRouter, ...]:
    return tuple(import_module(f"{__name__}.{name}").router for name in names)


# Each answers at the root for the model that fits, and at /models/{model} for any. The busiest come
# first: paths are compared in this order.
PER_MODEL: Final = _routers(
    "fill_mask",
    "embed",
    "embed_all",
    "embed_sparse",
    "similarity",
    "nsp",
    "predict",
    "text_classification",
    "zero_shot_classification",
    "rerank",
    "token_classification",
    "question_answering",
    "score",
    "tokenize",
    "decode",
    "info",
    "openai",
    "cohere",
    "infinity",
)
# Of the server, or of models that are named otherwise.
SHARED: Final = _routers("open_inference", "models", "own_task", "probes")
