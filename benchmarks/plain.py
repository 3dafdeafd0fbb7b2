"""The server with one of its shortcuts taken out: what the shortcut is measured against.

Usage: python -m benchmarks.plain SHORTCUT [options of the server]; `benchmarks.paired --without`
runs it. A shortcut stays in the server for as long as it pays.
"""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.http import routing, shortcut
from server.http.context import FIRST_BYTE
from server.process import serving


class TwoWritesProtocol(HttpToolsProtocol):
    """uvicorn's own writing, with the clock of the request's first byte."""

    def on_message_begin(self) -> None:
        """Note the time."""
        super().on_message_begin()
        self.scope[FIRST_BYTE] = time.monotonic()  # type: ignore[typeddict-unknown-key]


def without_short_way() -> None:
    """Let FastAPI resolve and validate every request."""
    vars(routing)["declares_only_a_body"] = lambda _: False


def without_one_write() -> None:
    """Write the head of an answer by itself."""
    vars(serving)["OneWriteProtocol"] = TwoWritesProtocol


def without_shortcut() -> None:
    """Let FastAPI route every request."""
    vars(shortcut)["plain_handlers"] = lambda _: {}


SHORTCUTS: Final[Mapping[str, Callable[[], None]]] = {
    "shortcut": without_shortcut,
    "short-way": without_short_way,
    "one-write": without_one_write,
}


if __name__ == "__main__":
    SHORTCUTS[sys.argv[1]]()
    from server.__main__ import main

    sys.exit(main(sys.argv[2:]))
