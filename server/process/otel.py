"""Traced requests in, OpenTelemetry's spans out, by OTLP over HTTP to a collector.

The only module that loads OpenTelemetry (`make tracing` installs it), and only where
`--trace-endpoint` is given. No span holds a text of a client.
"""

import time
from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server import __version__
from server.inference.scheduling.batcher import TracedBatch
from server.tracing import Finished, Stage, Trace, stages

_W3C: Final = TraceContextTextMapPropagator()
_PATH: Final = "/v1/traces"  # of every collector
_PATIENCE_S: Final = 5  # for a collector that does not answer


class OtelTracer:
    """Writes the spans of one process."""

    def __init__(self, endpoint: str, share: float) -> None:
        """Begin to send spans to `endpoint`, of a `share` of the requests that begin here."""
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create({"service.name": "cloze", "service.version": __version__}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + _PATH, timeout=_PATIENCE_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("cloze", __version__)

    def begin(self, headers: Mapping[bytes, bytes], method: str, started: float) -> Trace | None:
        """The trace of a request: its caller's, if it names one, which then also decides."""
        named = {
            name: value.decode("latin-1")
            for name in ("traceparent", "tracestate")
            if (value := headers.get(name.encode())) is not None
        }
        context = _W3C.extract(named) if named else None
        span = self._tracer.start_span(
            method, context, SpanKind.SERVER, start_time=_wall_ns(started)
        )
        if not span.is_recording():
            return None
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(span))
        trace_id = f"{span.get_span_context().trace_id:032x}"
        return Trace(span, carrier["traceparent"].encode(), trace_id)

    def batch(self, model: str, batch: TracedBatch) -> None:
        """A span of the batch, within the first traced request and linked to all of them."""
        traces = [trace for trace in batch.traces if isinstance(trace, Trace)]
        links = [Link(trace.span.get_span_context()) for trace in traces]
        span = self._tracer.start_span(
            "batch",
            set_span_in_context(traces[0].span),
            attributes={"cloze.model": model, "cloze.items": batch.items},
            links=links,
            start_time=_wall_ns(batch.begun),
        )
        span.end(_wall_ns(batch.ended))

    def end(self, trace: Trace, finished: Finished) -> None:
        """The request's span, and one for each of its stages."""
        span: Span = trace.span
        span.update_name(f"{finished.method} {finished.route}")
        span.set_attributes(
            {
                "http.request.method": finished.method,
                "http.route": finished.route,
                "http.response.status_code": finished.status,
                "cloze.request_id": finished.request_id,
                "cloze.model": finished.model,
                "cloze.tokens": finished.usage.tokens if finished.usage else 0,
            }
        )
        if finished.reason:
            span.set_attribute("error.type", finished.reason)
        if finished.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        within = set_span_in_context(span)
        for stage in stages(finished):
            self._write(stage, within)
        span.end(_wall_ns(finished.ended))

    def _write(self, stage: Stage, within: Context) -> None:
        span = self._tracer.start_span(stage.name, within, start_time=_wall_ns(stage.begun))
        span.end(_wall_ns(stage.ended))

    def close(self) -> None:
        """Sends what is left, if the collector takes it in time."""
        self._provider.shutdown()


def _wall_ns(moment: float) -> int:
    """A moment of `time.monotonic()` as OpenTelemetry has it: nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)
