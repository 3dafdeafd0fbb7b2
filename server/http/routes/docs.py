"""`/docs` and `/openapi.json`: the API described for people and for programs.

Swagger UI comes from `server/web/docs`, compressed as it is sent: no other host is ever asked.
"""

import gzip
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import APIRouter, FastAPI
from starlette.responses import RedirectResponse, Response

from server.errors import RouteNotFound
from server.http.routing import Call, TaskRoute

router = APIRouter(route_class=TaskRoute, include_in_schema=False)

_FOLDER: Final = Path(__file__).parents[2] / "web" / "docs"
_MEDIA_TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
_COMMON: Final = {
    "cache-control": "public, max-age=3600",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
    # Swagger UI sets styles on elements and draws its icons from data URLs.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


@router.get("/")
async def root(call: Call) -> Response:
    """Leads a browser to the docs."""
    return RedirectResponse(f"{call.scope.get('root_path', '')}/docs")


@router.get("/docs")
async def docs(call: Call) -> Response:
    """The page."""
    return _asset(call, "index.html")


@router.get("/docs/{name}")
async def asset(call: Call) -> Response:
    """A script or style sheet of the page."""
    return _asset(call, call.path_params["name"])


@router.get("/openapi.json")
async def openapi(call: Call) -> Response:
    """The OpenAPI document."""
    return Response(orjson.dumps(document(call.app)), media_type="application/json")


def document(app: FastAPI) -> dict[str, Any]:
    """Describes the routes as they are: FastAPI's own validation errors never leave the server."""
    described = app.openapi()
    described["components"]["schemas"].pop("HTTPValidationError", None)
    described["components"]["schemas"].pop("ValidationError", None)
    for methods in described["paths"].values():
        for operation in methods.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    return described


def _asset(call: Call, name: str) -> Response:
    if name not in _MEDIA_TYPES:
        raise RouteNotFound("The docs have no such file.")
    content = _compressed(name)
    headers = dict(_COMMON)
    if "gzip" in call.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        content = gzip.decompress(content)
    return Response(content, headers=headers, media_type=_MEDIA_TYPES[name])


@cache
def _compressed(name: str) -> bytes:
    packed = _FOLDER / f"{name}.gz"
    if packed.exists():
        return packed.read_bytes()
    return gzip.compress((_FOLDER / name).read_bytes(), mtime=0)
