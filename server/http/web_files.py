"""A folder of files for browsers in, answers out: in the coding that is asked for, tagged, guarded.

Files are sent compressed. Those that are stored so are inflated once, for clients that do not take
that.
"""

import gzip
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.responses import Response

import server
from server.errors import NotAcceptable, RouteNotFound
from server.http.compression import IDENTITY, content_coding
from server.http.routing import Call

_WEB: Final = Path(server.__file__).parent / "web"
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class WebFiles:
    """The files of one folder of `server/web`, and what a browser may do with them.

    Args:
        folder: its name.
        caching: the value of `cache-control`.
        policy: the value of `content-security-policy`.
    """

    folder: str
    caching: str
    policy: str

    def answer(self, call: Call, name: str, replaced: tuple[str, str] = ("", "")) -> Response:
        """A file, or that the client has it already.

        Args:
            call: the request.
            name: the file's, without what says that it is stored compressed.
            replaced: what stands in the file, and what is sent in its place.

        Raises:
            RouteNotFound: the folder has no such file for browsers.
            NotAcceptable: the client takes neither gzip nor the file as it is.
        """
        if name not in _names(self.folder):
            raise RouteNotFound("There is no such file.")
        coding = content_coding(",".join(call.headers.getlist("accept-encoding")))
        if coding is None:
            raise NotAcceptable("Files come as they are or in gzip; accept one of the two.")
        content, tag = copy(self.folder, name, coding, replaced)
        headers = self._headers() | {"etag": tag}
        known = re.findall(r'"[^"]*"|^\s*\*\s*$', call.headers.get("if-none-match", ""))
        if tag in known or known == ["*"]:
            return Response(status_code=304, headers=headers)
        if coding != IDENTITY:
            headers["content-encoding"] = coding
        return Response(content, headers=headers, media_type=_MEDIA_TYPES[Path(name).suffix])

    def _headers(self) -> dict[str, str]:
        return {
            "cache-control": self.caching,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
            "content-security-policy": self.policy,
        }


@cache
def _names(folder: str) -> frozenset[str]:
    """What may be sent: files of the types that browsers are served, as they are asked for."""
    found = (path.name.removesuffix(".gz") for path in (_WEB / folder).iterdir())
    return frozenset(name for name in found if Path(name).suffix in _MEDIA_TYPES)


@cache
def copy(folder: str, name: str, coding: str, replaced: tuple[str, str]) -> tuple[bytes, str]:
    """A file in one coding, and its entity tag."""
    stored = _WEB / folder / f"{name}.gz"
    if stored.exists():
        content = stored.read_bytes()
    else:
        old, new = replaced
        text = (_WEB / folder / name).read_bytes().replace(old.encode(), new.encode())
        content = gzip.compress(text, mtime=0)
    if coding == IDENTITY:
        content = gzip.decompress(content)
    return content, f'"{sha256(content).hexdigest()[:32]}"'
