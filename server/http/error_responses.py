"""An exception in, the one error answer out: `{"error": {"type", "code", "message", "param"}}`."""

from __future__ import annotations

import math
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from server.errors import (
    BadRequest,
    ClozeError,
    InternalError,
    MethodNotAllowed,
    RouteNotFound,
)

INTERNAL: Final = "The server failed on this request; its log names the cause by x-request-id."


def failure(error: ClozeError) -> Response:
    """Builds the answer for `error`."""
    body = {
        "error": {
            "type": error.type,
            "code": error.code,
            "message": error.message,
            "param": error.param,
        }
    }
    response = Response(orjson.dumps(body), error.status, media_type="application/json")
    if error.retry_after_s is not None:
        response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


async def answer_failure(_request: Request, error: Exception) -> Response:
    """Answers what a route raised; registered for `ClozeError` and Starlette's own errors."""
    if isinstance(error, ClozeError):
        return failure(error)
    if isinstance(error, HTTPException):
        response = failure(_translated(error))
        response.headers.update(error.headers or {})
        return response
    return failure(InternalError(INTERNAL))


def _translated(error: HTTPException) -> ClozeError:
    match error.status_code:
        case 404:
            return RouteNotFound("No route has this path; GET /openapi.json lists the routes.")
        case 405:
            return MethodNotAllowed("This route does not take this method; see the allow header.")
        case _:
            return BadRequest("The request could not be read.")
