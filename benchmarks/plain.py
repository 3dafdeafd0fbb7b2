"""The server with one of its shortcuts taken out: what the shortcut is measured against.

Usage: python -m benchmarks.plain SHORTCUT [options of the server], as `benchmarks.paired` runs it.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final

from server.http import routing, shortcut


def without_short_way() -> None:
    """Let FastAPI resolve and validate every request."""
    vars(routing)["declares_only_a_body"] = lambda _: False


def without_shortcut() -> None:
    """Let FastAPI route every request."""
    vars(shortcut)["plain_handlers"] = lambda _: {}


SHORTCUTS: Final[Mapping[str, Callable[[], None]]] = {
    "shortcut": without_shortcut,
    "short-way": without_short_way,
}


if __name__ == "__main__":
    SHORTCUTS[sys.argv[1]]()
    from server.__main__ import main

    sys.exit(main(sys.argv[2:]))
