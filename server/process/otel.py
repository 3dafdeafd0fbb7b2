"""Traced requests in, OpenTelemetry's spans out, by OTLP over HTTP to a collector.

The only module that loads OpenTelemetry (`make tracing` installs it), and only where
`--trace-endpoint` is given. No span holds a text of a client.
"""

import logging
import os
import random
import threading
import time
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Attributes, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server import __version__
from server.inference.scheduling.batcher import TracedBatch
from server.tracing import Finished, Headers, Stage, Trace, stages

_W3C: Final = TraceContextTextMapPropagator()
_PARENT, _STATE = "traceparent", "tracestate"
_PATH: Final = "/v1/traces"  # of every collector
_PATIENCE_S: Final = 5  # for a collector that does not answer
_MOST_LINKS: Final = 1024  # of a batch; short texts are so many where a GPU takes them

# It warns of headers that are not W3C's, and shows them: they are a client's.
logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)


class OtelTracer:
    """Writes the spans of one process."""

    def __init__(self, endpoint: str, share: float) -> None:
        """Begin to send spans to `endpoint`, of a `share` of the requests that begin here."""
        self._share = share
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_ON),  # of those that begin here, the chosen come so far
            resource=_process(),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_links=_MOST_LINKS),
        )
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + _PATH, timeout=_PATIENCE_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("cloze", __version__)

    def begin(self, headers: Headers, method: str, started: float) -> Trace | None:
        """The trace of a request: its caller's, if it names one, which then also decides."""
        caller = _caller(headers)
        # Before OpenTelemetry makes a span: for most requests this is all that traces cost.
        if caller is None and random.random() >= self._share:  # noqa: S311 (nothing secret)
            return None
        span = self._tracer.start_span(
            method, caller, SpanKind.SERVER, start_time=_Clock().at(started)
        )
        if not span.is_recording():
            return None
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(span))
        trace_id = f"{span.get_span_context().trace_id:032x}"
        return Trace(span, carrier[_PARENT].encode(), trace_id)

    def batch(self, model: str, batch: TracedBatch) -> None:
        """A span of the batch, within the first traced request and linked to all of them."""
        traces = [trace for trace in batch.traces if isinstance(trace, Trace)]
        links = [Link(trace.span.get_span_context()) for trace in traces]
        clock = _Clock()
        span = self._tracer.start_span(
            "batch",
            set_span_in_context(traces[0].span),
            attributes={"cloze.model": model, "cloze.items": batch.items},
            links=links,
            start_time=clock.at(batch.begun),
        )
        span.end(clock.at(batch.ended))

    def end(self, trace: Trace, finished: Finished) -> None:
        """The request's span, and one for each of its stages."""
        span: Span = trace.span
        span.update_name(f"{finished.method} {finished.route}")
        span.set_attributes(
            {
                "http.request.method": finished.method,
                "http.route": finished.route,
                "cloze.request_id": finished.request_id,
                "cloze.model": finished.model,
                "cloze.tokens": finished.usage.tokens if finished.usage else 0,
            }
        )
        if finished.status:  # it was answered
            span.set_attribute("http.response.status_code", finished.status)
        if finished.reason:
            span.set_attribute("error.type", finished.reason)
        if finished.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        within, clock = set_span_in_context(span), _Clock()
        for stage in stages(finished):
            self._write(stage, within, clock)
        span.end(clock.at(finished.ended))

    def _write(self, stage: Stage, within: Context, clock: "_Clock") -> None:
        span = self._tracer.start_span(stage.name, within, start_time=clock.at(stage.begun))
        span.end(clock.at(stage.ended))

    def close(self) -> None:
        """Sends what is left, unless the collector takes too long to take it."""
        # OpenTelemetry itself waits for half a minute, after which a supervisor kills the server.
        sending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(_PATIENCE_S)


def _process() -> Resource:
    """Who writes; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before."""
    own: Attributes = {
        "service.name": "cloze",
        "service.version": __version__,
        "process.pid": os.getpid(),
    }
    return Resource.create(own).merge(OTELResourceDetector().detect())


def _caller(headers: Headers) -> Context | None:
    """Whose trace a request belongs to, if its head names one; two name none, as W3C has it."""
    if not any(name == b"traceparent" for name, _ in headers):
        return None
    named: dict[str, list[str]] = {_PARENT: [], _STATE: []}
    for name, value in headers:
        if name in (b"traceparent", b"tracestate"):
            named[name.decode()].append(value.decode("latin-1"))
    if len(named[_PARENT]) != 1:
        return None
    context = _W3C.extract(named)
    return context if get_current_span(context).get_span_context().is_valid else None


class _Clock:
    """Moments of `time.monotonic()` as OpenTelemetry has them: nanoseconds since 1970."""

    def __init__(self) -> None:
        """Both clocks are read once for all that is told of a request, so that it fits together."""
        self._ahead_ns = time.time_ns() - time.monotonic_ns()

    def at(self, moment: float) -> int:
        """`moment` is in seconds."""
        return self._ahead_ns + int(moment * 1e9)
