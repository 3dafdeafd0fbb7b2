"""An ASGI scope in, the path that routes are compared with out."""

from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

ASKED: Final = "cloze.asked"
"""In a scope that one route hands on to another: the path that the client asked for."""
_BEFORE_MODEL: Final = ("/models/", "/v1/models/", "/v2/models/")


def route_path(scope: Scope) -> str:
    """The path without what an outer application, or a proxy, has put in front of it.

    >>> route_path({"path": "/bert/embed", "root_path": "/bert"}), route_path({"path": "/embed"})
    ('/embed', '/embed')
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(f"{root}/")):
        return path.removeprefix(root)
    return path


def canonical(path: str, aliases: Mapping[str, str]) -> str:
    """A path without a slash at its end, and with a model's own name in place of an alias.

    >>> canonical("/models/org/MiniLM/embed/", {"org/MiniLM": "minilm"}), canonical("/", {})
    ('/models/minilm/embed', '/')
    """
    if len(path) > 1:
        path = path.removesuffix("/")
    done = ""  # a path may name two: `/models/minilm/v1/models/org/MiniLM`
    for before in _BEFORE_MODEL if aliases else ():
        if path.startswith(before):
            asked = path.removeprefix(before)
            known = [alias for alias in aliases if f"{asked}/".startswith(f"{alias}/")]
            name = max(known, key=len) if known else asked.partition("/")[0]
            done += before + aliases.get(name, name)
            path = asked.removeprefix(name)
    return done + path
