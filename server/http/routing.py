"""A matched request in, a checked body and a `Call` for the route, its answer's bytes out.

Routes are declared with FastAPI. `TaskRoute` is a route class, FastAPI's own place for this: it
reads JSON strictly, and where a route declares nothing but its body it calls the endpoint itself.
Whatever else is declared, on the route, its router or the app (dependencies, security, parameters),
goes the whole way through FastAPI, which runs it.

The short way takes a tenth less CPU for a request: 6.2 and 6.4 ms beside 6.9 and 6.9 for short
fill-masks and embeddings (medians of nine rounds, int8, 2 busy cores of an AMD EPYC without VNNI,
2026-11-29): `make bench-paired ARGS="--without short-way"`.
"""

from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Final, TypeVar, get_type_hints

import fastapi.routing
import numpy as np
import orjson
from fastapi import Depends, Header, Path
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import Field, TypeAdapter
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from server.errors import ClientClosedRequest, ClozeError
from server.http.body import check_media_type, parse_json
from server.http.compression import IDENTITY, WORTH_PACKING, pack, takes_gzip
from server.http.context import CONTEXT, TIMEOUT_HEADER, RequestContext
from server.http.families import PLAIN
from server.http.fields import IGNORED_HEADER, Fields, ignored_header
from server.http.schemas import validated
from server.inference.pipeline import SMALL, Answered, Pipeline, Usage
from server.inference.tasks.task import Task

T = TypeVar("T")
In = TypeVar("In")
Options = TypeVar("Options")
Out = TypeVar("Out")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]

MODEL_PREFIX: Final = "/models/{model}"
_SMALL_BODY: Final = 64_000  # bytes, which are read in a millisecond
_MAX_LISTED: Final = 64  # indices in x-truncated
_TOGETHER: Final = 16  # candidates or tokens of a large answer that are written in one go


class Call(Request):
    """One request as a route sees it: which model, how long, and how to answer."""

    @property
    def context(self) -> RequestContext:
        """The record that follows this request."""
        context: RequestContext = self.scope[CONTEXT]
        return context

    async def body(self) -> bytes:
        """The body's bytes, inflated where they came compressed.

        Raises:
            ClientClosedRequest: the connection closed before their end.
            ClozeError: they are not what they are said to be, or too many.
        """
        if not hasattr(self, "_body"):
            chunks: list[bytes] = []
            more = True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientClosedRequest("The client left before its request was complete.")
                chunks.append(message.get("body", b""))
                more = message.get("more_body", False)
            raw = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self.context.coding != IDENTITY:
                raw = await self.context.inflate(raw)
            self._body = raw
        return self._body

    async def json(self) -> object:
        """The body's values, read strictly.

        Raises:
            ClozeError: it is not JSON, or not declared so.
        """
        return await self.keep_json(parse_json)

    async def keep_json(
        self, parse: Callable[[bytes], object], also: Collection[bytes] = ()
    ) -> object:
        """The same as `parse` reads it, unless it was read before."""
        if not hasattr(self, "_json"):
            self._json = await self.read(parse, also)
        return self._json

    async def read(self, parse: Callable[[bytes], T], also: Collection[bytes] = ()) -> T:
        """What `parse` makes of the body: a large one aside, so that it holds up nobody else.

        It may be of a media type of `also`, beside JSON.
        """
        check_media_type(self.scope["headers"], also)
        raw = await self.body()
        context = self.context
        if len(raw) <= _SMALL_BODY:
            return parse(raw)
        return await context.service.offload.run(lambda _: parse(raw), context.deadline)

    def pipeline(self, task: Task[Any, Any, Any] | None = None) -> Pipeline:
        """Returns the pipeline of the model that the path names, or the body, or of one that fits.

        Raises:
            ClozeError: there is none, or more than one.
        """
        context = self.context
        wanted = self.path_params.get("model") or context.named
        context.model, pipeline = context.service.registry.find(wanted, task)
        return pipeline

    async def pack(self, response: Response) -> None:
        """Compresses an answer for a client that asks for it: a large one aside."""
        headers = response.raw_headers
        if any(name == b"vary" for name, _ in headers):
            return  # the route has seen to it
        headers.append((b"vary", b"accept-encoding"))
        context = self.context
        if not takes_gzip(context.headers.get(b"accept-encoding", b"")):
            return
        if len(response.body) <= _SMALL_BODY:
            pack(response)
        else:
            await context.service.offload.run(lambda _: pack(response), context.deadline)

    async def run(
        self,
        task: Task[In, Options, Out],
        inputs: Sequence[In],
        options: Options,
        shape: Callable[[Answered[Out]], object],
        *,
        many: bool,
        field: str = "inputs",
    ) -> Response:
        """Answers by a task.

        Args:
            task: what to do.
            inputs: with what.
            options: and how.
            shape: the task's answer -> the client's, as plain values and arrays.
            many: whether the client sent a list, so that an index means something to it.
            field: what the client called its inputs, for errors about one of them.
        """
        context, pipeline = self.context, self.pipeline(task)
        try:
            answer = await pipeline.run(
                task,
                inputs,
                options,
                deadline=context.deadline,
                reservation=context.reservation,
                trace=context.trace,
                request_id=context.request_id,
            )
        except ClozeError as error:
            error.param = _as_sent(error.param, field, many=many)
            raise
        context.usage = answer.usage
        if answer.price.answer_bytes <= SMALL.answer_bytes:
            content = to_json(shape(answer))
        else:
            content = await pipeline.offload.run(
                lambda _: to_json(shape(answer), in_parts=True), context.deadline
            )
        response = Response(content, media_type="application/json")
        response.raw_headers += _usage_headers(answer.usage)
        return response


def to_json(value: object, *, in_parts: bool = False) -> bytes:
    """Writes plain values and arrays; a large answer in parts, between which others may run.

    >>> to_json([[1, 2], {"a": [3]}], in_parts=True)
    b'[[1,2],{"a":[3]}]'
    """
    if in_parts and isinstance(value, dict):
        parts = [orjson.dumps(key) + b":" + to_json(of, in_parts=True) for key, of in value.items()]
        return b"{" + b",".join(parts) + b"}"
    if in_parts and isinstance(value, list) and value:
        if isinstance(value[0], list | np.ndarray):
            return b"[" + b",".join([to_json(own, in_parts=True) for own in value]) + b"]"
        runs = range(0, len(value), _TOGETHER)
        return b"[" + b",".join([to_json(value[at : at + _TOGETHER])[1:-1] for at in runs]) + b"]"
    if in_parts and isinstance(value, np.ndarray) and value.ndim > 1:
        return b"[" + b",".join(map(to_json, value)) + b"]"
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def json_response(value: object) -> Response:
    """An answer that needs no task."""
    return Response(to_json(value), media_type="application/json")


def _as_sent(param: str | None, field: str, *, many: bool) -> str | None:
    """Renames a task's `inputs[i]` to what the client wrote.

    >>> _as_sent("inputs[0].text", "input", many=False), _as_sent("inputs[2]", "input", many=True)
    ('input.text', 'input[2]')
    """
    if param is None or not (param == "inputs" or param.startswith("inputs[")):
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


# --- the route class --------------------------------------------------------------------------


class TaskRoute(APIRoute):
    """A route whose endpoint takes `call: Call` and, when it has one, `body: <a schema>`."""

    media_types: ClassVar[Collection[bytes]] = ()
    """Of bodies, beside JSON."""

    def values(self, call: Call, raw: bytes) -> object:  # noqa: ARG002
        """The values of a body, which its schema checks."""
        return parse_json(raw)

    @cached_property
    def plain_handlers(self) -> dict[str, Handler]:
        """The handlers of inclusions that declare nothing but a body, by their whole path."""
        return {}

    def get_route_handler(self) -> Handler:
        """Returns what FastAPI calls for each request to this route, as included where it is."""
        whole_way = super().get_route_handler()
        route = _as_included(self)
        template, endpoint = route.path, self.endpoint
        schema = get_type_hints(endpoint, include_extras=True).get("body")
        adapter = None if schema is None else TypeAdapter[object](schema)
        self.body_schema = None if adapter is None else adapter.core_schema
        provider = route.dependency_overrides_provider
        is_plain = declares_only_a_body(route.dependant)

        fields = Fields(schema)

        async def handle(request: Request) -> Response:
            call = Call(request.scope, request.receive)
            context = call.context
            context.route = template

            def checked(raw: bytes) -> object:
                value = fields.prepare(self.values(call, raw), context)
                return None if adapter is None else validated(adapter, value)

            # The application's own dict, which tests put another one in place of.
            if not is_plain or getattr(provider, "dependency_overrides", None):
                if adapter is not None:  # now, since FastAPI would make another error of ours
                    value = await call.keep_json(partial(self.values, call), self.media_types)
                    fields.prepare(value, context)
                response = await whole_way(call)
            elif adapter is None:
                response = await endpoint(call=call)
            else:
                response = await endpoint(
                    call=call, body=await call.read(checked, self.media_types)
                )
            if context.ignored:
                response.headers[IGNORED_HEADER] = ignored_header(context.ignored)
            if len(getattr(response, "body", b"")) >= WORTH_PACKING:
                await call.pack(response)
            return response

        if is_plain:
            self.plain_handlers[template] = handle
        else:
            self.plain_handlers.pop(template, None)
        return handle


def _as_included(route: APIRoute) -> Any:
    """The route with what `include_router` adds to it: FastAPI makes one handler per inclusion.

    Read just as FastAPI's own `get_route_handler` reads it, of which there is no public form. The
    tests put dependencies everywhere, so a FastAPI that does this otherwise fails them.
    """
    context = fastapi.routing._effective_route_context_var.get()  # noqa: SLF001
    if context is not None and context.original_route is route:
        return context
    return route


def declares_only_a_body(dependant: Dependant) -> bool:
    """Whether FastAPI has nothing to do for a route but to check its body."""
    parameters = (
        dependant.path_params
        + dependant.query_params
        + dependant.header_params
        + dependant.cookie_params
    )
    special = (
        dependant.websocket_param_name,
        dependant.http_connection_param_name,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
    )
    body = [field.name for field in dependant.body_params]
    embedded = any(getattr(field.field_info, "embed", None) for field in dependant.body_params)
    return (
        all(own.call in _ONLY_DOCUMENTED for own in dependant.dependencies)
        and not parameters
        and not any(special)
        and dependant.request_param_name == "call"
        and body in ([], ["body"])
        and not embedded
    )


_Milliseconds = Annotated[int, Field(ge=1, le=999_999_999)]


def _document_timeout(
    _: Annotated[_Milliseconds | SkipJsonSchema[None], Header(alias=TIMEOUT_HEADER)] = None,
) -> None:
    """Milliseconds that the answer may take."""


def _document_model(
    model: Annotated[str, Path(description="name or alias of a loaded model")],
) -> None:
    """The model that answers."""


# Read by the middleware and by `Call`; declared, FastAPI writes them into the OpenAPI document.
_ONLY_DOCUMENTED: Final = {_document_timeout, _document_model}
TIMED: Final = Depends(_document_timeout)
NAMED: Final = Depends(_document_model)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documents error answers by their status; their shape is that of the route's family."""
    return {
        status: {"model": PLAIN.answer, "description": _WHEN[status]} for status in sorted(statuses)
    }


_WHEN: Final = {
    400: "The body is not JSON, not UTF-8, or damaged",
    404: "No such model",
    408: "The request did not arrive before its deadline",
    413: "The body is too large",
    415: "The body is in a coding that is not read here, or not declared as JSON",
    422: "Well-formed, but not something that can be answered",
    429: "There is no room now; see retry-after",
    500: "Our fault",
    503: "Not ready, or shutting down",
    504: "The deadline passed",
}
TASK_ERRORS: Final = errors(*_WHEN)
