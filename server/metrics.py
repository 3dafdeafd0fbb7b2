"""Finished requests and the pipelines' counters in, Prometheus text out.

Every label comes from a closed set (route template, status, name of a configured model, stage), so
no client can make the number of series grow.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.inference.admission import Admission
from server.inference.pipeline import Pipeline, PipelineStats, Usage
from server.logs import dropped_lines
from server.process.shared_memory import ProcessGroupMember
from server.process.statistics import GroupCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Seconds: from one short text alone (about 2 ms) to the longest that a request may take.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# When a series began says nothing, and doubles the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """What one server counts, in a registry of its own."""

    def __init__(
        self,
        pipelines: Callable[[], Mapping[str, Pipeline]],
        admission: Admission,
        member: ProcessGroupMember | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(_PipelineCollector(pipelines))
        self.registry.register(_AdmissionCollector(admission))
        labels = ("route", "status", "model")
        answered = Counter("cloze_requests", "Requests answered.", labels, registry=self.registry)
        self._answered = cache(answered.labels)  # looking a series up takes longer than counting
        self._seconds = self._histogram(
            "cloze_request_seconds", "From the request's head to the answer's end.", "route"
        )
        self._stages = self._histogram(
            "cloze_stage_seconds", "Where a request's time went.", "stage", "model"
        )
        self._by_key = Counter(
            "cloze_key_requests",
            "Requests answered, by the name of their key, where keys are asked for.",
            ("key", "status"),
            registry=self.registry,
        )
        self._key_tokens = Counter(
            "cloze_key_tokens", "Tokens computed for a key.", ("key",), registry=self.registry
        )
        self._group = None if member is None else GroupCollector(self.registry, member)

    def observe(
        self,
        *,
        route: str,
        status: int,
        model: str,
        seconds: float,
        usage: Usage | None,
        key: str = "",
    ) -> None:
        """Counts one finished request, whatever became of it."""
        self._answered(route, status, model).inc()
        if key:
            self._by_key.labels(key, status).inc()
            self._key_tokens.labels(key).inc(usage.tokens if usage else 0)
        self._seconds(route).observe(seconds)
        if usage is not None:
            self._stages("tokenise", model).observe(usage.tokenise_s)
            self._stages("queue", model).observe(usage.queue_s)
            self._stages("compute", model).observe(usage.compute_s)

    def _histogram(self, name: str, purpose: str, *labels: str) -> Callable[..., Histogram]:
        made = Histogram(name, purpose, labels, buckets=_BUCKETS, registry=self.registry)
        return cache(made.labels)

    def exposition(self) -> bytes:
        """Returns all metrics as Prometheus reads them, of all processes if there are several."""
        return generate_latest(self._group or self.registry)

    def publish(self) -> None:
        """Tells the other processes, if there are any, what this one counted."""
        if self._group is not None:
            self._group.publish()

    def silence_s(self) -> float:
        """Seconds since the last sign of life of whichever process gives none; 0 without others."""
        return 0.0 if self._group is None else self._group.silence_s()


class _AdmissionCollector(Collector):
    """What the requests that are not answered yet hold together."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> Iterator[Metric]:
        """Yields one gauge for each thing that is bounded."""
        held = {
            "reserved_tokens": (self._admission.tokens, "Tokens that wait or are computed."),
            "reserved_answer_bytes": (
                self._admission.answer_bytes,
                "Answers promised and not sent.",
            ),
            "pending_body_bytes": (self._admission.body_bytes, "Bodies of unanswered requests."),
        }
        for name, (value, purpose) in held.items():
            yield GaugeMetricFamily(f"cloze_{name}", purpose, value=value)
        yield CounterMetricFamily(
            "cloze_log_lines_dropped", "Log lines that nobody made room for.", value=dropped_lines()
        )


class _PipelineCollector(Collector):
    """Reads the pipelines' own counters when Prometheus asks, so that counting costs nothing."""

    def __init__(self, pipelines: Callable[[], Mapping[str, Pipeline]]) -> None:
        self._pipelines = pipelines

    def collect(self) -> Iterator[Metric]:
        """Yields one family per counter and gauge, one sample per model."""
        stats = {name: pipeline.stats() for name, pipeline in self._pipelines().items()}
        for field, purpose in _GAUGES.items():
            gauge = GaugeMetricFamily(f"cloze_{field}", purpose, labels=["model"])
            yield _fill(gauge, field, stats)
        for field, purpose in _COUNTERS.items():
            counter = CounterMetricFamily(f"cloze_{field}", purpose, labels=["model"])
            yield _fill(counter, field, stats)


# By field of `PipelineStats`; Prometheus' own name for a counter ends in _total in any case.
_GAUGES: Final = {
    "queued_items": "Texts waiting for a worker.",
    "queued_tokens": "Tokens waiting for a worker.",
    "running_batches": "Batches being computed now.",
    "worker_heartbeat_age_seconds": "Seconds since the longest-running batch began; 0 when idle.",
}
_COUNTERS: Final = {
    "batches_total": "Batches computed; items and tokens over batches are their mean sizes.",
    "items_total": "Texts computed.",
    "tokens_total": "Tokens computed.",
    "batch_seconds": "Seconds that workers spent computing.",
    "cancelled_total": "Texts dropped before computing because their client had left.",
    "expired_total": "Texts dropped before computing because their deadline had passed.",
    "poisoned_total": "Texts that made a batch fail and were failed alone.",
    "memory_errors_total": "Batches that did not fit into memory and were run in parts.",
}


def _fill(
    family: GaugeMetricFamily | CounterMetricFamily, field: str, stats: Mapping[str, PipelineStats]
) -> Metric:
    for model, snapshot in stats.items():
        family.add_metric([model], float(getattr(snapshot, field)))
    return family
