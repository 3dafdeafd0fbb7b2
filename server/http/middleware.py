"""The outermost layer: every request gets an id, every answer carries it, each is counted once.

Pure ASGI. What no inner layer caught becomes an answer here, so no client ever sees a bare 500.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import ClozeError, Draining, InternalError
from server.http.context import SCOPE_KEY, Exchange, Service, request_id
from server.http.error_responses import INTERNAL, failure
from server.inference.model_registry import Phase

logger = logging.getLogger("cloze")
access = logging.getLogger("cloze.access")

_CLOSE: Final = (b"connection", b"close")


class Envelope:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request inwards and sees its answer out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(self._service, request_id(scope["headers"]))
        scope[SCOPE_KEY] = exchange

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", exchange.request_id)]
                if self._service.registry.phase is Phase.DRAINING:
                    headers.append(_CLOSE)
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        except (asyncio.CancelledError, Exception) as error:
            if exchange.status:  # too late for another answer: the server closes the connection
                raise
            await failure(self._refusal(error, exchange))(scope, receive, stamped)
        finally:
            self._record(scope, exchange)

    def _refusal(self, error: BaseException, exchange: Exchange) -> ClozeError:
        if isinstance(error, asyncio.CancelledError):
            # Only the server's own end cancels a request from outside: see `Departures`.
            return Draining("The server stopped before the answer was ready; send it again.")
        logger.error(
            "unexpected failure",
            exc_info=error,
            extra={"request_id": exchange.request_id.decode(), "route": exchange.route},
        )
        return InternalError(INTERNAL)

    def _record(self, scope: Scope, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.started
        self._service.metrics.observe(
            route=exchange.route,
            status=exchange.status,
            model=exchange.model,
            seconds=seconds,
            usage=exchange.usage,
        )
        level = _level(exchange.status)
        if access.isEnabledFor(level):
            access.log(
                level,
                "request",
                extra={
                    "request_id": exchange.request_id.decode(),
                    "method": scope["method"],
                    "route": exchange.route,
                    "model": exchange.model,
                    "status": exchange.status,
                    "ms": round(seconds * 1000, 1),
                },
            )


def _level(status: int) -> int:
    """Our faults and departed clients are worth a line; the rest only when debugging.

    A 503 says that the server is starting or stopping, which is no fault.
    """
    if status in (499, 503):
        return logging.INFO
    return logging.WARNING if status >= 500 else logging.DEBUG
