"""Bytes of a request out, status of its answer in: HTTP/1.1 by hand, to cost the server little.

Knows nothing of what the requests mean or when they are due.
"""

import asyncio
from collections.abc import Callable
from typing import cast

LOST = 0  # in place of a status: the server closed the connection


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, answered: "Callable[[Connection, int], None]") -> None:
        self.due = 0.0
        """When the request under way was to be sent: what its latency is measured from."""
        self.busy = False
        self._answered = answered
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at `due`."""
        self.due, self.busy = due, True
        if self._transport is None:
            self._answer(LOST)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Report an answer when it is complete."""
        self._received += data
        end = answer_length(self._received)
        if end is None or len(self._received) < end:
            return
        status = int(self._received[9:12])
        self._received.clear()
        self._answer(status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - told by the status
        """Report a request that will not be answered."""
        self._transport = None
        if self.busy:
            self._answer(LOST)

    def close(self) -> None:
        """Close without reporting what is still under way."""
        self.busy = False
        if self._transport is not None:
            self._transport.close()

    def _answer(self, status: int) -> None:
        self.busy = False
        self._answered(self, status)


def answer_length(received: bytes | bytearray) -> int | None:
    r"""Return the length in bytes of the answer that begins here, None until its head is complete.

    >>> answer_length(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
    40
    """
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    field = received[:head_end].lower().partition(b"content-length:")[2]
    return head_end + 4 + int(field.partition(b"\r\n")[0])


def request(target: str, host: str, body: bytes) -> bytes:
    """Return the bytes of one POST request."""
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
