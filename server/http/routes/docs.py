"""`/docs` and `/openapi.json`: the API described for people and for programs.

Swagger UI comes from `server/web/docs`: no other host is ever asked.
"""

from http import HTTPStatus
from typing import Final

import orjson
from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from server.http.openapi import document
from server.http.routing import Call, TaskRoute
from server.http.web_files import WebFiles

router = APIRouter(route_class=TaskRoute, include_in_schema=False)
# Where the page at `/` is switched off.
root_router = APIRouter(route_class=TaskRoute, tags=["server"])

_FILES: Final = WebFiles(
    folder="docs",
    caching="public, max-age=3600",
    # Swagger UI sets styles on elements and draws its icons from data URLs.
    policy=(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
)


@root_router.get(
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


@router.get("/docs")
async def docs(call: Call) -> Response:
    """The page."""
    return _FILES.answer(call, "index.html")


@router.get("/docs/{name}")
async def asset(call: Call) -> Response:
    """A script or style sheet of the page."""
    return _FILES.answer(call, call.path_params["name"])


@router.get("/openapi.json")
async def openapi(call: Call) -> Response:
    """The OpenAPI document."""
    registry, root_path = call.context.service.registry, call.scope["root_path"]
    described = document(call.app, registry, root_path)
    return Response(orjson.dumps(described), media_type="application/json")
