"""Finished requests and the pipelines' counters in, Prometheus text out.

Every label comes from a closed set (route template, status, name of a configured model, stage), so
no client can make the number of series grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

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

if TYPE_CHECKING:
    from server.inference.pipeline import Pipeline, PipelineStats, Usage

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Seconds: from one short text alone (about 2 ms) to the longest that a request may take.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# A second series per counter, with the time it was made, that nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

_STAGES: Final = ("tokenise", "queue", "compute")


class Metrics:
    """What one server counts, in a registry of its own."""

    def __init__(self, pipelines: Callable[[], Mapping[str, Pipeline]]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(_PipelineCollector(pipelines))
        requests = Counter(
            "cloze_requests", "Requests answered.", ("route", "status", "model"),
            registry=self.registry,
        )  # fmt: skip
        seconds = Histogram(
            "cloze_request_seconds", "From the request's head to the answer's end.", ("route",),
            registry=self.registry, buckets=_BUCKETS,
        )  # fmt: skip
        stages = Histogram(
            "cloze_stage_seconds", "Where a request's time went.", ("stage", "model"),
            registry=self.registry, buckets=_BUCKETS,
        )  # fmt: skip
        # `labels()` costs more than the observation itself; its results are few, so they are kept.
        self._requests = lru_cache(maxsize=None)(requests.labels)
        self._seconds = lru_cache(maxsize=None)(seconds.labels)
        self._stages = lru_cache(maxsize=None)(stages.labels)

    def observe(
        self, *, route: str, status: int, model: str, seconds: float, usage: Usage | None
    ) -> None:
        """Counts one finished request, whatever became of it."""
        self._requests(route, status, model).inc()
        self._seconds(route).observe(seconds)
        if usage is None:
            return
        spent = (usage.tokenise_s, usage.queue_s, usage.compute_s)
        for stage, stage_seconds in zip(_STAGES, spent, strict=True):
            self._stages(stage, model).observe(stage_seconds)

    def exposition(self) -> bytes:
        """Returns all metrics as Prometheus reads them."""
        return generate_latest(self.registry)


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
    "worker_heartbeat_age_s": "Seconds since the longest-running batch began; 0 when idle.",
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
