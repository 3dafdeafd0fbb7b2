"""One module a route, or a family of routes that one kind of client calls.

A new route is a module here and a name in one of these two lists.
"""

from __future__ import annotations

from typing import Final

from server.http.routes import (
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

# Each answers at the root for the default model, and at /models/{model} for any. The busiest come
# first: paths are compared in this order.
PER_MODEL: Final = (
    fill_mask,
    embed,
    nsp,
    predict,
    token_classification,
    question_answering,
    tokenize,
    info,
)
# Of the server, or of models that are named otherwise.
SHARED: Final = (openai, probes)
