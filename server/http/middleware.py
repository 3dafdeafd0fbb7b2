"""The one layer around all routes: what holds for every request, whatever it asks.

Each gets an id, a bound on its body, a deadline that starts with its first byte, a place in
admission that ends with its answer, and one line in metrics and log. Pure ASGI, added to FastAPI as
any middleware is. What no inner layer caught becomes an answer here: no client sees a bare 500.
"""

import asyncio
import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import (
    ClientClosedRequest,
    ClozeError,
    DeadlineExceeded,
    Draining,
    InternalError,
    RequestTimeout,
)
from server.http.context import CONTEXT, RequestContext, Service
from server.http.disconnect import Watch
from server.http.error_responses import INTERNAL, failure
from server.inference.model_registry import Phase

logger = logging.getLogger("cloze")
access = logging.getLogger("cloze.access")

_CLOSE: Final = (b"connection", b"close")


class RequestMiddleware:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request inwards and sees its answer out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext.of(scope, self._service)
        scope[CONTEXT] = context
        passage = _Passage(context, receive, send)
        try:
            await passage.through(self._app, scope)
        except (asyncio.CancelledError, Exception) as error:
            if context.status:  # too late for another answer: the server closes the connection
                raise
            await failure(self._refusal(error, passage))(scope, receive, passage.send)
        finally:
            passage.end()
            self._record(scope, context)

    def _refusal(self, error: BaseException, passage: "_Passage") -> ClozeError:
        context = passage.context
        if isinstance(error, ClozeError):
            return error
        if isinstance(error, asyncio.CancelledError):
            if passage.watch.expired and context.received:
                return DeadlineExceeded()
            if passage.watch.expired:
                return RequestTimeout("The request did not arrive before its deadline.")
            if passage.watch.client_left:
                return ClientClosedRequest("The client left before its answer was ready.")
            # Only the server's own end cancels a request from outside.
            return Draining("The server stopped before the answer was ready; send it again.")
        logger.error(
            "unexpected failure",
            exc_info=error,
            extra={"request_id": context.request_id.decode(), "route": context.route},
        )
        return InternalError(INTERNAL)

    def _record(self, scope: Scope, context: RequestContext) -> None:
        seconds = time.monotonic() - context.started
        self._service.metrics.observe(
            route=context.route,
            status=context.status,
            model=context.model,
            seconds=seconds,
            usage=context.usage,
        )
        level = _level(context.status)
        if access.isEnabledFor(level):
            access.log(
                level,
                "request",
                extra={
                    "request_id": context.request_id.decode(),
                    "method": scope["method"],
                    "route": context.route,
                    "model": context.model,
                    "status": context.status,
                    "ms": round(seconds * 1000, 1),
                },
            )


class _Passage:
    """One request's way in and its answer's way out, counted and timed."""

    def __init__(self, context: RequestContext, receive: Receive, send: Send) -> None:
        self.context = context
        self.watch = Watch(receive)
        self._receive = receive
        self._send = send

    async def through(self, app: ASGIApp, scope: Scope) -> None:
        """Lets `app` answer before the deadline; sending the answer may take longer."""
        self.context.check()
        if scope["method"] == "HEAD":
            # As a GET whose body uvicorn, which keeps the scope as it was, leaves out.
            scope = {**scope, "method": "GET"}
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("expected to run inside a task, found none")
        self.watch.begin(task, lambda: self.context.deadline)
        try:
            await app(scope, self.receive, self.send)
        finally:
            self.watch.end()
            if self.watch.expired or self.watch.client_left:
                task.uncancel()

    async def receive(self) -> Message:
        """The next part of the request, its bytes counted."""
        message = await self._receive()
        if message["type"] == "http.request":
            self.context.take(len(message.get("body", b"")))
            if not message.get("more_body", False):
                self.context.received = self.watch.received = True
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer; its head gets the request's id."""
        if message["type"] == "http.response.start":
            context = self.context
            context.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", context.request_id)]
            if context.service.registry.phase is Phase.DRAINING:
                headers.append(_CLOSE)
            message["headers"] = headers
            # Once it is answered, a request counts as disconnected; what follows its answer, such
            # as a dependency's end, is not to be cancelled for that, nor for its deadline.
            self.watch.end()
        await self._send(message)

    def end(self) -> None:
        """Frees what the request held."""
        self.context.reservation.close()


def _level(status: int) -> int:
    """Our faults and departed clients are worth a line; the rest only when debugging.

    A 503 says that the server is starting or stopping, which is no fault.
    """
    if status in (499, 503):
        return logging.INFO
    return logging.WARNING if status >= 500 else logging.DEBUG
