"""`/`: a page on which people try what the models can do, and watch the server.

Its files are plain ES modules in `server/web/page`: there is no build step, and no other host is
ever asked.
"""

from html import escape
from typing import Final

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from server.http.routing import Call, TaskRoute
from server.http.web_files import WebFiles

router = APIRouter(route_class=TaskRoute, tags=["server"])

_FILES: Final = WebFiles(
    folder="page",
    # Asked for each time, which is answered with 304: modules of two releases must not be mixed.
    caching="no-cache",
    policy=(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
)
_OWN: Final = '="page/'  # how the page refers to its files


@router.get("/", summary="The page to try the models on", response_class=HTMLResponse)
async def page(call: Call) -> Response:
    """Shows a page on which people try what the models can do."""
    # Relative to `/bert`, which a proxy may pass on as `/`, its files would not be found.
    root = call.scope["root_path"]
    where = f'="{escape(root)}/page/' if root else _OWN
    return _FILES.answer(call, "index.html", (_OWN, where))


@router.get("/page/{name}", include_in_schema=False)
async def asset(call: Call) -> Response:
    """A module or the style sheet of the page."""
    return _FILES.answer(call, call.path_params["name"])
