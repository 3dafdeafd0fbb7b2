"""uvicorn's HTTP protocol, but with an answer's head and body in one write.

uvicorn writes a head as soon as an answer starts and the body when it comes: two system calls, two
packets, and a client that wakes up twice. ASGI lets a server keep the head until the body's first
part, https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event.
"""

import asyncio
import time
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.http.context import FIRST_BYTE

_CONTINUE: Final = b"HTTP/1.1 100"


class OneWriteProtocol(HttpToolsProtocol):
    """Joins head and body of the answer to a POST; a HEAD's has no body to wait for."""

    def on_message_begin(self) -> None:
        """Notes when the first byte of a request came, from which its deadline counts."""
        super().on_message_begin()
        self.scope[FIRST_BYTE] = time.monotonic()  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        """Begins a request, as its parent does."""
        before = self.cycle
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is not before and self.scope["method"] == "POST":
            cycle.transport = _Joined(cycle.transport)  # type: ignore[assignment]


class _Joined:
    """A transport that keeps one answer's head until the next write."""

    __slots__ = ("_begun", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif not self._begun and not data.startswith(_CONTINUE):
            self._begun, self._head = True, data
            return
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()
