"""`/docs` and `/openapi.json`: the API described for people and for programs.

Swagger UI comes from `server/web/docs`: no other host is ever asked. Files are sent compressed, as
they are stored; for clients that do not take that, they are inflated once.
"""

import gzip
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import APIRouter, FastAPI
from starlette.responses import RedirectResponse, Response

from server.errors import NotAcceptable, RouteNotFound
from server.http.routing import Call, TaskRoute

router = APIRouter(route_class=TaskRoute, include_in_schema=False)

_FOLDER: Final = Path(__file__).parents[2] / "web" / "docs"
GZIP, IDENTITY = "gzip", "identity"
_MEDIA_TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
_CODING: Final = re.compile(
    r"\s*([!#$%&'*+.^_`|~\w-]+)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?",
    re.ASCII | re.IGNORECASE,
)
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
    coding = content_coding(",".join(call.headers.getlist("accept-encoding")))
    content, tag = _copy(name, coding)
    headers = _COMMON | {"etag": tag}
    known = re.findall(r'"[^"]*"|^\s*\*\s*$', call.headers.get("if-none-match", ""))
    if tag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    if coding != IDENTITY:
        headers["content-encoding"] = coding
    return Response(content, headers=headers, media_type=_MEDIA_TYPES[name])


def content_coding(accepted: str) -> str:
    """The better of "gzip" and "identity" for an Accept-Encoding (RFC 9110, 12.5.3).

    Raises:
        NotAcceptable: the client takes neither.

    >>> content_coding("br, gzip;q=0.5"), content_coding("gzip;q=0, *"), content_coding("")
    ('gzip', 'identity', 'identity')
    """
    members = [found for part in accepted.split(",") if (found := _CODING.fullmatch(part))]
    weights = {found[1].lower(): float(found[2] or 1) for found in members}
    rest = weights.get("*")
    packed = weights.get(GZIP, weights.get("x-gzip", rest or 0))
    plain = weights.get(IDENTITY, rest)
    if packed > 0 and packed >= (plain or 0):
        return GZIP
    if plain == 0:
        raise NotAcceptable("The docs come as they are or in gzip; accept one of the two.")
    return IDENTITY


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
