"""An exception in, the error answer out, in the shape that the clients of its route read."""

import math
from http import HTTPStatus
from typing import Final

import orjson
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from server.errors import (
    BadRequest,
    ClozeError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    RouteNotFound,
    Unauthorized,
)
from server.http.context import CONTEXT, RequestContext
from server.http.families import family_of
from server.http.fields import IGNORED_HEADER, ignored_header
from server.http.mistakes import refusal
from server.http.paths import ASKED, route_path

INTERNAL: Final = "The server failed on this request; its log names the cause by x-request-id."


def failure(error: ClozeError, scope: Scope, status: int | None = None) -> Response:
    """Builds the answer for `error`, with its family's status unless another one is given."""
    family = family_of(scope.get(ASKED) or route_path(scope))
    answered = family.status(error.status if status is None else status)
    body = orjson.dumps(family.body(error, answered))
    response = Response(body, answered, media_type="application/json")
    context: RequestContext | None = scope.get(CONTEXT)
    if context is not None:
        context.reason = error.reason
        if context.ignored:
            response.headers[IGNORED_HEADER] = ignored_header(context.ignored)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


async def answer_failure(request: Request, error: Exception) -> Response:
    """Answers what a route, a dependency or FastAPI raised; registered for all of `HANDLED`."""
    match error:
        case ClozeError():
            return failure(error, request.scope)
        case RequestValidationError():
            # FastAPI's places begin with the part of the request, such as "body".
            mistakes = [{**mistake, "loc": mistake["loc"][1:]} for mistake in error.errors()]
            schema = getattr(request.scope.get("route"), "body_schema", None)
            return failure(refusal(mistakes, schema), request.scope)
        case HTTPException():
            own = _translated(error, request.scope)
            response = failure(own, request.scope, error.status_code)
            response.headers.update(error.headers or {})
            if isinstance(own, MethodNotAllowed) and (allowed := _allowed(request)):
                response.headers["allow"] = allowed
            return response
    return failure(InternalError(INTERNAL), request.scope)


def _translated(error: HTTPException, scope: Scope) -> ClozeError:
    """The error of our tree for a status, in the words of the dependency that raised it, if any."""
    detail: object = error.detail  # FastAPI takes any JSON
    said = detail if isinstance(detail, str) and detail not in _UNSAID else ""
    match error.status_code:
        case 404 if not said:
            return _no_route(scope)
        case 404:
            return NotFound(said)
        case 405:
            return MethodNotAllowed("This route does not take this method; see the allow header.")
        case 401 | 403:
            return Unauthorized(said or "The request is not allowed here.")
        case status if status >= 500:
            return InternalError(said or "The request could not be answered.")
        case _:
            return BadRequest(said or "The request could not be read.")


def _allowed(request: Request) -> str:
    """The methods of all routes that have a path; Starlette lists those of the first alone."""
    path = route_path(request.scope)
    contexts = iter_route_contexts(request.app.routes)
    found = [one for one in contexts if hasattr(one, "path_regex") and one.path_regex.match(path)]
    return ", ".join(sorted({method for one in found for method in one.methods or ()}))


def _no_route(scope: Scope) -> ClozeError:
    """For a path that no route has: perhaps since it begins with a model that is not there."""
    context: RequestContext | None = scope.get(CONTEXT)
    start, _, name = route_path(scope).partition("/models/")
    if context is not None and name and start in {"", "/v1", "/v2"}:
        registry = context.service.registry
        if registry.pipelines and name.partition("/")[0] not in registry.pipelines:
            return registry.not_found()
    return RouteNotFound("No route has this path; GET /openapi.json lists the routes.")


# What Starlette and FastAPI say themselves.
_UNSAID: Final = {*(status.phrase for status in HTTPStatus), "There was an error parsing the body"}
HANDLED: Final = (ClozeError, HTTPException, RequestValidationError)
