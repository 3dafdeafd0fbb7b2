"""A matched request in, a checked body and a `Call` for the route, its answer's bytes out.

Routes are declared with FastAPI, which documents them; at run time `TaskRoute` goes straight from
the bytes to the route, since FastAPI's own way through its dependency resolver is a good part of
what HTTP costs here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_type_hints

import orjson
from fastapi import Depends, Header, Path
from fastapi.routing import APIRoute
from pydantic import Field, TypeAdapter
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from server.errors import ClozeError, InvalidParameter
from server.http.body import check_media_type, parse_json, read_body
from server.http.context import SCOPE_KEY, Exchange
from server.http.schemas import ErrorAnswer, validated

if TYPE_CHECKING:
    from server.inference.pipeline import Answer, Pipeline, Usage

T = TypeVar("T")

MODEL_PREFIX: Final = "/models/{model}"
TIMEOUT_HEADER: Final = "x-request-timeout-ms"
_TIMEOUT: Final = TIMEOUT_HEADER.encode()
_JSON: Final = (b"content-type", b"application/json")
_MAX_LISTED: Final = 64  # indices in x-truncated


class Call(Request):
    """One request as a route sees it: which model, how long, and how to answer.

    Of Starlette's request only what an ASGI scope gives: nothing that reads the body or answers.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self.exchange: Exchange = scope[SCOPE_KEY]
        """The record that follows this request."""

    def pipeline(self, name: str | None = None) -> Pipeline:
        """Returns the pipeline of `name`, of the path's model, or of the default model.

        Raises:
            ModelNotFound: no loaded model has that name.
            NotReady: the models are still being loaded.
        """
        wanted = name or self.path_params.get("model")
        registry = self.exchange.service.registry
        pipeline = registry.pipeline(wanted)
        self.exchange.model = wanted or registry.default
        return pipeline

    @property
    def deadline(self) -> float:
        """When the answer is due, in `time.monotonic()` seconds.

        Raises:
            InvalidParameter: the header is not a number of milliseconds.
        """
        settings = self.exchange.service.settings
        asked = _timeout(self.scope["headers"])
        if asked is None:
            return self.exchange.started + settings.default_timeout_s
        if not (asked.isdigit() and len(asked) < 10 and int(asked) > 0):
            raise InvalidParameter(
                f"{TIMEOUT_HEADER} should be a whole number of milliseconds above 0.",
                param=TIMEOUT_HEADER,
            )
        return self.exchange.started + min(int(asked) / 1000, settings.max_timeout_s)

    async def compute(self, work: Awaitable[Answer[T]], *, field: str, many: bool) -> Answer[T]:
        """Awaits a pipeline's answer as `run` does, and keeps what it took for the headers."""
        answer = await self.run(work, field=field, many=many)
        self.exchange.usage = answer.usage
        return answer

    async def run(self, work: Awaitable[T], *, field: str, many: bool) -> T:
        """Awaits `work` for as long as the client stays.

        Args:
            work: a pipeline's coroutine.
            field: what the client called its inputs, for errors about one of them.
            many: whether the client sent a list, so that an index means something to it.
        """
        try:
            return await self.exchange.service.departures.while_connected(self._receive, work)
        except ClozeError as error:
            error.param = _as_sent(error.param, field, many=many)
            raise

    def answer(self, value: object) -> Response:
        """Writes `value` (plain values and arrays) as JSON, with what computing it took."""
        content = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        usage = self.exchange.usage
        return JsonAnswer(content, [] if usage is None else _usage_headers(usage))


class JsonAnswer(Response):
    """A response whose head is made of bytes that need no conversion."""

    def __init__(self, content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.status_code = 200
        self.background = None
        self.body = content
        self.raw_headers = [(b"content-length", b"%d" % len(content)), _JSON, *headers]


def _timeout(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == _TIMEOUT:
            return value
    return None


def _as_sent(param: str | None, field: str, *, many: bool) -> str | None:
    """Renames a pipeline's `inputs[i]` to what the client wrote.

    >>> _as_sent("inputs[0].text", "input", many=False), _as_sent("inputs[2]", "input", many=True)
    ('input.text', 'input[2]')
    """
    if param is None or not param.startswith("inputs"):
        return param
    return field + (param.removeprefix("inputs") if many else param.partition("]")[2])


def _usage_headers(usage: Usage) -> list[tuple[bytes, bytes]]:
    timing = b"tokenise;dur=%.2f, queue;dur=%.2f, compute;dur=%.2f" % (
        usage.tokenise_s * 1000,
        usage.queue_s * 1000,
        usage.compute_s * 1000,
    )
    headers = [(b"x-compute-tokens", b"%d" % usage.tokens), (b"server-timing", timing)]
    if any(usage.truncated):
        headers.append((b"x-truncated", truncated_indices(usage.truncated).encode()))
    return headers


def truncated_indices(truncated: Sequence[bool]) -> str:
    """Lists which inputs were cut; of very many only the first, and then an ellipsis.

    >>> truncated_indices([True, False, False, True])
    '0,3'
    """
    indices = [str(index) for index, cut in enumerate(truncated) if cut]
    more = ["..."] if len(indices) > _MAX_LISTED else []
    return ",".join(indices[:_MAX_LISTED] + more)


class TaskRoute(APIRoute):
    """A route whose endpoint takes `call: Call` and, when it has one, `body: <a schema>`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns what FastAPI calls for each request to this route."""
        endpoint, template = self.endpoint, self.path
        schema = get_type_hints(endpoint, include_extras=True).get("body")
        adapter = None if schema is None else TypeAdapter[object](schema)

        async def handle(request: Request) -> Response:
            call = request if type(request) is Call else Call(request.scope, request.receive)
            prefixed = "model" in call.path_params and "{model}" not in template
            call.exchange.route = MODEL_PREFIX + template if prefixed else template
            arguments: dict[str, object] = {"call": call}
            if adapter is not None:
                check_media_type(call.scope["headers"])
                raw = await read_body(call.receive)
                arguments["body"] = validated(adapter, parse_json(raw))
            response: Response = await endpoint(**arguments)
            return response

        return handle


_Milliseconds = Annotated[int, Field(ge=1, le=999_999_999)]


def _document_timeout(
    _: Annotated[_Milliseconds | SkipJsonSchema[None], Header(alias=TIMEOUT_HEADER)] = None,
) -> None:
    """Milliseconds that the answer may take."""


def _document_model(model: Annotated[str, Path(description="name of a loaded model")]) -> None:
    """The model that answers."""


# Both are read by `Call`; declared here, FastAPI writes them into the OpenAPI document.
TIMED: Final = Depends(_document_timeout)
NAMED: Final = Depends(_document_model)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documents error answers by their status."""
    return {
        status: {"model": ErrorAnswer, "description": _WHEN[status]} for status in sorted(statuses)
    }


_WHEN: Final = {
    400: "The body is not JSON, or not UTF-8",
    404: "No such model",
    413: "The body is too large",
    415: "The body is compressed, or not declared as JSON",
    422: "Well-formed, but not something that can be answered",
    429: "The queue is full; see retry-after",
    500: "Our fault",
    503: "Not ready, or shutting down",
    504: "The deadline passed",
}
TASK_ERRORS: Final = errors(400, 404, 413, 415, 422, 429, 500, 503, 504)
