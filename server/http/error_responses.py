"""An exception in, the one error answer out: `{"error": {"type", "code", "message", "param"}}`."""

import math
from http import HTTPStatus
from typing import Final

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from server.errors import (
    BadRequest,
    ClozeError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    RouteNotFound,
    Unauthorized,
)
from server.http.schemas import refusal

INTERNAL: Final = "The server failed on this request; its log names the cause by x-request-id."


def failure(error: ClozeError, status: int | None = None) -> Response:
    """Builds the answer for `error`, with its own status unless another is given."""
    body = {
        "error": {
            "type": error.type,
            "code": error.code,
            "message": error.message,
            "param": error.param,
        }
    }
    response = Response(orjson.dumps(body), status or error.status, media_type="application/json")
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


async def answer_failure(_request: Request, error: Exception) -> Response:
    """Answers what a route, a dependency or FastAPI raised; registered for all of `HANDLED`."""
    match error:
        case ClozeError():
            return failure(error)
        case RequestValidationError():
            # FastAPI's places begin with the part of the request, such as "body".
            mistakes = [{**mistake, "loc": mistake["loc"][1:]} for mistake in error.errors()]
            return failure(refusal(mistakes))
        case HTTPException():
            response = failure(_translated(error), error.status_code)
            response.headers.update(error.headers or {})
            return response
    return failure(InternalError(INTERNAL))


def _translated(error: HTTPException) -> ClozeError:
    """The error of our tree for a status, in the words of the dependency that raised it, if any."""
    detail: object = error.detail  # FastAPI takes any JSON
    said = detail if isinstance(detail, str) and detail not in _UNSAID else ""
    match error.status_code:
        case 404 if not said:
            return RouteNotFound("No route has this path; GET /openapi.json lists the routes.")
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


# What Starlette and FastAPI say themselves.
_UNSAID: Final = {*(status.phrase for status in HTTPStatus), "There was an error parsing the body"}
HANDLED: Final = (ClozeError, HTTPException, RequestValidationError)
