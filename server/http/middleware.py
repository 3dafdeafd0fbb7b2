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
from server.http.context import CONTEXT, KEPT, REFUSAL, RequestContext, Service
from server.http.disconnect import Watch
from server.http.error_responses import INTERNAL, failure
from server.inference.model_registry import Phase
from server.logs import ASKED, Asked
from server.tracing import Finished, Trace

logger = logging.getLogger("cloze")
access = logging.getLogger("cloze.access")

_CLOSE: Final = (b"connection", b"close")
_KEEP: Final = (b"connection", b"keep-alive")
_PIECE: Final = 1 << 18  # bytes of an answer that are handed on at a time


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
        # Not taken back: what the server says of this request once it has left here is of it too.
        ASKED.set(Asked(context.request_id, context.trace.trace_id if context.trace else ""))
        passage = _Passage(context, scope, receive, send)
        try:
            await passage.through(self._app, scope)
        except (asyncio.CancelledError, Exception) as error:
            if context.status:  # too late for another answer: the server closes the connection
                raise
            await self._tell(self._refusal(error, passage), scope, passage)
        finally:
            passage.end()
            self._record(scope, context)

    async def _tell(self, error: ClozeError, scope: Scope, passage: "_Passage") -> None:
        """Answers with an error, through all layers, so that theirs is on it too (CORS)."""
        scope[REFUSAL] = error
        try:
            await self._app(scope, passage.receive, passage.send)
        except (Exception, asyncio.CancelledError):  # one that fails again is passed by
            if passage.context.status:
                raise
            await failure(error, scope)(scope, passage.receive, passage.send)

    def _refusal(self, error: BaseException, passage: "_Passage") -> ClozeError:
        context = passage.context
        if isinstance(error, ClozeError):
            return error
        if isinstance(error, asyncio.CancelledError):
            if passage.watch.expired and context.received:
                return DeadlineExceeded()
            if passage.watch.expired:
                return RequestTimeout("The request did not arrive in time, or too slowly.")
            if passage.watch.client_left:
                return ClientClosedRequest("The client left before its answer was ready.")
            # Only the server's own end cancels a request from outside.
            return Draining("The server stopped before the answer was ready; send it again.")
        logger.error("unexpected failure", exc_info=error, extra={"route": context.route})
        return InternalError(INTERNAL)

    def _record(self, scope: Scope, context: RequestContext) -> None:
        ended = time.monotonic()
        self._service.metrics.observe(
            route=context.route,
            status=context.status,
            model=context.model,
            started=context.started,
            ended=ended,
            usage=context.usage,
            reason=context.reason,
            key=context.key,
        )
        if context.trace is not None:
            self._trace(scope, context, context.trace, ended)
        level = _level(context.status)
        if access.isEnabledFor(level):
            access.log(
                level,
                "request",
                extra={
                    "method": scope["method"],
                    "route": context.route,
                    "model": context.model,
                    **({"key": context.key} if context.key else {}),
                    "status": context.status,
                    **({"reason": context.reason} if context.reason else {}),
                    "ms": round((ended - context.started) * 1000, 1),
                },
            )

    def _trace(self, scope: Scope, context: RequestContext, trace: Trace, ended: float) -> None:
        if self._service.tracer is None:
            raise RuntimeError("expected a tracer of what it traces, found none")
        self._service.tracer.end(
            trace,
            Finished(
                method=scope["method"],
                route=context.route,
                model=context.model,
                request_id=context.request_id.decode(),
                status=context.status,
                reason=context.reason,
                started=context.started,
                ended=ended,
                usage=context.usage,
            ),
        )


class _Passage:
    """One request's way in and its answer's way out, counted and timed."""

    def __init__(self, context: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        self.context = context
        self.watch = Watch(receive)
        self._scope = scope
        self._receive = receive
        self._send = send

    async def through(self, app: ASGIApp, scope: Scope) -> None:
        """Lets `app` answer before the deadline; sending the answer may take longer."""
        try:
            self.context.authenticate(scope)
            self.context.check()
        except ClozeError as error:
            scope.setdefault(REFUSAL, error)
        if scope["method"] == "HEAD":
            # As a GET whose body uvicorn, which keeps the scope as it was, leaves out.
            scope = {**scope, "method": "GET"}
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("expected to run inside a task, found none")
        self.watch.begin(task, self._until)
        try:
            await app(scope, self.receive, self.send)
        finally:
            self.watch.end()
            if self.watch.expired or self.watch.client_left:
                task.uncancel()

    async def receive(self) -> Message:
        """The next part of the request, its bytes counted."""
        self._require_no_refusal()
        message = await self._receive()
        self._require_no_refusal()
        if message["type"] == "http.request":
            self.context.take(len(message.get("body", b"")))
            if not message.get("more_body", False):
                self.context.received = self.watch.received = True
        return message

    def _until(self) -> float:
        """When the request is given up, in `time.monotonic()` seconds.

        That is its deadline, or before, while its body comes slowly or not at all.
        """
        if self.context.has_body and not self.context.received:
            return min(self.context.deadline, self.context.body_until())
        return self.context.deadline

    def _require_no_refusal(self) -> None:
        refusal: ClozeError | None = self._scope.get(REFUSAL)
        if refusal is not None:
            raise refusal

    async def send(self, message: Message) -> None:
        """A part of the answer; its head gets the request's id."""
        if message["type"] == "http.response.start":
            context = self.context
            context.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", context.request_id)]
            if context.trace is not None:
                headers.append((b"traceparent", context.trace.traceparent))
            unread = context.has_body and not context.received
            if unread or context.service.registry.phase is Phase.DRAINING:
                headers.append(_CLOSE)
            elif KEPT in self._scope:
                headers.append(_KEEP)
            message["headers"] = headers
            # Once it is answered, a request counts as disconnected; what follows its answer, such
            # as a dependency's end, is not to be cancelled for that, nor for its deadline.
            self.watch.end()
        body = message.get("body", b"")
        while len(body) > _PIECE:  # each waits until the client has read of those before
            await self._send({"type": message["type"], "body": body[:_PIECE], "more_body": True})
            body = body[_PIECE:]
            message = {**message, "body": body}
        await self._send(message)

    def end(self) -> None:
        """Frees what the request held, an error and the frames that it came through, too.

        They hold the scope, which holds the error: a circle, and with it what came of the body.
        """
        self.context.reservation.close()
        refusal: ClozeError | None = self._scope.pop(REFUSAL, None)
        if refusal is not None:
            refusal.__traceback__ = None


def _level(status: int) -> int:
    """Our faults and departed clients are worth a line; the rest only when debugging.

    A 501 says that the request is beyond HTTP as it is spoken here, a 503 that the server is
    starting, stopping or full: no faults.
    """
    if status in (499, 501, 503):
        return logging.INFO
    return logging.WARNING if status >= 500 else logging.DEBUG
