"""Finished requests in, Prometheus text out, with what `server.collectors` reads besides.

Every label comes from a closed set (route template, status, name of a configured model, stage,
reason of the tree of errors, name of a key), so no client can make the number of series grow.
"""

from collections.abc import Callable
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

from server.collectors import PipelineCollector, Pipelines, ProcessStateCollector
from server.inference.admission import Admission
from server.inference.pipeline import Usage
from server.process.shared_memory import ProcessGroupMember
from server.process.statistics import GroupCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Seconds: from one short text alone (about 2 ms) to the longest that a request may take.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

STAGES: Final = ("receive", "tokenise", "queue", "compute", "answer")
"""Of a request, one after the other; one of several rounds goes through the middle ones again."""

# When a series began says nothing, and doubles the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """What one server counts, in a registry of its own."""

    def __init__(
        self,
        pipelines: Pipelines,
        admission: Admission,
        member: ProcessGroupMember | None = None,
        is_ready: Callable[[], bool] = lambda: False,
    ) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(PipelineCollector(pipelines))
        self.registry.register(ProcessStateCollector(admission, is_ready))
        # Looking a series up takes longer than counting.
        self._answered = self._counter(
            "cloze_requests", "Requests answered.", "route", "status", "model"
        )
        self._refused = self._counter(
            "cloze_refusals",
            "Requests answered with an error, by its code; a full queue by what was full of it.",
            *("route", "reason"),
        )
        self._seconds = self._histogram(
            "cloze_request_seconds", "From the request's first byte to the answer's end.", "route"
        )
        self._stages = self._histogram(
            "cloze_stage_seconds", "Where an answered request's time went.", "stage", "model"
        )
        self._of_model = cache(lambda model: [self._stages(stage, model) for stage in STAGES])
        self._by_key = self._counter(
            "cloze_key_requests",
            "Requests answered, by the name of their key, where keys are asked for.",
            *("key", "status"),
        )
        self._key_tokens = self._counter("cloze_key_tokens", "Tokens computed for a key.", "key")
        self._group = None if member is None else GroupCollector(self.registry, member)

    def observe(
        self,
        *,
        route: str,
        status: int,
        model: str,
        started: float,
        ended: float,
        usage: Usage | None,
        reason: str = "",
        key: str = "",
    ) -> None:
        """Counts one finished request, whatever became of it.

        Args:
            route: its template.
            status: of its answer.
            model: which answered, empty for none.
            started: when its first byte came, in `time.monotonic()` seconds.
            ended: when its answer was handed on.
            usage: what it cost, if it was computed.
            reason: of the error that it was answered with, if it was.
            key: the name of the key that it came with, if any.
        """
        self._answered(route, status, model).inc()
        if reason:
            self._refused(route, reason).inc()
        if key:
            self._by_key(key, status).inc()
            self._key_tokens(key).inc(usage.tokens if usage else 0)
        self._seconds(route).observe(ended - started)
        if usage is not None:
            receive, tokenise, queue, compute, answer = self._of_model(model)
            receive.observe(usage.begun - started)
            tokenise.observe(usage.tokenise_s)
            queue.observe(usage.queue_s)
            compute.observe(usage.compute_s)
            answer.observe(ended - usage.computed)

    def _counter(self, name: str, purpose: str, *labels: str) -> Callable[..., Counter]:
        return cache(Counter(name, purpose, labels, registry=self.registry).labels)

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
