"""Stands in front of the routes: no body that is compressed or too large gets past it.

Pure ASGI. A declared length is refused before a byte is read, an undeclared one is counted while it
streams in.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import BodyTooLarge, ClozeError, UnsupportedMedia
from server.http.error_responses import failure


class BodyLimits:
    """ASGI middleware that bounds request bodies to `max_bytes`."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request inwards, its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["headers"])
        if refusal is not None:
            await failure(refusal)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> ClozeError | None:
        for name, value in headers:
            if name == b"content-length" and int(value) > self._max_bytes:
                return self._too_large()
            if name == b"content-encoding" and value.lower() != b"identity":
                return UnsupportedMedia("The body is compressed; send it plain.")
        return None

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"The body is larger than the {self._max_bytes} bytes accepted; send fewer texts."
        )
