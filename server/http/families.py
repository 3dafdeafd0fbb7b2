"""A path in, the shape in which its clients read errors out: one line a family of routes.

The only place that knows which route reads which shape. A route raises an error of the tree and
documents the statuses that it may answer with (`server.http.routing.errors`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pydantic import Field

from server.errors import ClozeError, ErrorType
from server.http.schemas import Answer


class ErrorAnswer(Answer):
    """What went wrong, what was expected, what to do."""

    error: str = Field(description="one or two sentences for people")
    error_type: ErrorType = Field(description="kind of error, as text-embeddings-inference has it")
    code: str = Field(description="stable code for programs, such as no_mask")
    param: str | None = Field(description="the field at fault, such as inputs[3]")


class OpenAIError(Answer):
    """What went wrong, what was expected, what to do."""

    message: str = Field(description="one or two sentences for people")
    type: str = Field(description="kind of error, such as invalid_request_error")
    param: str | None = Field(description="the field at fault, such as input[3]")
    code: str = Field(description="stable code for programs, such as empty_text")


class OpenAIErrorAnswer(Answer):
    """An error as OpenAI's clients read it."""

    error: OpenAIError


class InferenceErrorAnswer(Answer):
    """An error as clients of the Open Inference Protocol read it."""

    error: str = Field(description="one or two sentences for people")


def _plain(error: ClozeError, _status: int) -> dict[str, object]:
    return {
        "error": error.message,
        "error_type": error.error_type,
        "code": error.code,
        "param": error.param,
    }


def _openai(error: ClozeError, status: int) -> dict[str, object]:
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    told = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
    return {"error": told}


def _inference(error: ClozeError, _status: int) -> dict[str, object]:
    return {"error": error.message}


class Family(NamedTuple):
    """Routes whose clients read errors alike."""

    routes: str
    """As documents call them."""
    answer: type[Answer]
    body: Callable[[ClozeError, int], dict[str, object]]
    """An error and the status that it is answered with -> what is answered."""
    statuses: Mapping[int, int] = {}
    """Of the tree, to those that its clients know, where they differ."""

    def status(self, status: int) -> int:
        """What an error of `status` is answered with."""
        return self.statuses.get(status, status)


PLAIN: Final = Family("all others", ErrorAnswer, _plain)
"""Of Hugging Face's and TEI's clients, which show `error` as text."""
FAMILIES: Final = {
    "v1": Family("`/v1/…`", OpenAIErrorAnswer, _openai, {422: 400}),
    "v2": Family("`/v2/…` but `/v2/rerank`", InferenceErrorAnswer, _inference),
}
# Cohere's `/v2/rerank` is no path of that protocol, and its clients show whatever there is.
_FAMILY: Final = re.compile(r"(?:/models/.+?)?/(v1|v2(?!/rerank(?:/|$)))(?:/|$)")


def family_of(path: str) -> Family:
    """The family of a path, without what a proxy put in front of it.

    >>> [family_of(f"/models/minilm{path}").routes for path in ("/v1/rerank", "/v2/rerank", "/v1x")]
    ['`/v1/…`', 'all others', 'all others']
    """
    found = _FAMILY.match(path)
    return FAMILIES[found[1]] if found else PLAIN
