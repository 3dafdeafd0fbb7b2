"""`/docs` and `/openapi.json`: the API described for people and for programs.

Swagger UI comes from `server/web/docs`: no other host is ever asked. Files are sent compressed, as
they are stored; for clients that do not take that, they are inflated once.
"""

import gzip
import re
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

import orjson
from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from server.errors import NotAcceptable, RouteNotFound
from server.http.compression import IDENTITY, content_coding
from server.http.openapi import document
from server.http.routing import Call, TaskRoute

router = APIRouter(route_class=TaskRoute, tags=["server"])

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


@router.get(
    "/",
    summary="Go to the docs",
    response_class=RedirectResponse,
    status_code=HTTPStatus.TEMPORARY_REDIRECT,
    response_description="They are at the address in `location`",
)
async def root(call: Call) -> Response:
    """Leads a browser to the docs, behind a proxy that strips what is in front of paths too."""
    return RedirectResponse(
        f"{call.scope['root_path']}/docs" if call.scope["root_path"] else "docs"
    )


@router.get("/docs", include_in_schema=False)
async def docs(call: Call) -> Response:
    """The page."""
    return _asset(call, "index.html")


@router.get("/docs/{name}", include_in_schema=False)
async def asset(call: Call) -> Response:
    """A script or style sheet of the page."""
    return _asset(call, call.path_params["name"])


@router.get("/openapi.json", include_in_schema=False)
async def openapi(call: Call) -> Response:
    """The OpenAPI document."""
    registry, root_path = call.context.service.registry, call.scope["root_path"]
    described = document(call.app, registry, root_path)
    return Response(orjson.dumps(described), media_type="application/json")


def _asset(call: Call, name: str) -> Response:
    if name not in _MEDIA_TYPES:
        raise RouteNotFound("The docs have no such file.")
    coding = content_coding(",".join(call.headers.getlist("accept-encoding")))
    if coding is None:
        raise NotAcceptable("The docs come as they are or in gzip; accept one of the two.")
    content, tag = _copy(name, coding)
    headers = _COMMON | {"etag": tag}
    known = re.findall(r'"[^"]*"|^\s*\*\s*$', call.headers.get("if-none-match", ""))
    if tag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    if coding != IDENTITY:
        headers["content-encoding"] = coding
    return Response(content, headers=headers, media_type=_MEDIA_TYPES[name])


@cache
def _copy(name: str, coding: str) -> tuple[bytes, str]:
    """A file in one coding, and its entity tag."""
    stored = _FOLDER / f"{name}.gz"
    if stored.exists():
        content = stored.read_bytes()
    else:
        content = gzip.compress((_FOLDER / name).read_bytes(), mtime=0)
    if coding == IDENTITY:
        content = gzip.decompress(content)
    return content, f'"{sha256(content).hexdigest()[:32]}"'
