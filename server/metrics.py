"""Finished requests in, Prometheus text out, with what `server.collectors` reads besides.

Every label comes from a closed set (route template, status, name of a configured model, stage,
reason of the tree of errors, name of a key), so no client can make the number of series grow.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

from server.collectors import (
    Counts,
    Durations,
    PipelineCollector,
    Pipelines,
    ProcessStateCollector,
)
from server.inference.admission import Admission
from server.inference.pipeline import Usage
from server.process.shared_memory import ProcessGroupMember
from server.process.statistics import GroupCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

STAGES: Final = ("receive", "tokenise", "queue", "compute", "answer")
"""Of a request, one after the other; one of several rounds goes through the middle ones again."""

AnyCollector = TypeVar("AnyCollector", bound=Collector)


class Metrics:
    """What one server counts, in a registry of its own.

    Counting belongs to the event loop's thread; what was counted may be read on any.
    """

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
        self._answered = self._registered(
            Counts("cloze_requests", "Requests answered.", "route", "status", "model")
        ).of
        self._refused = self._registered(
            Counts(
                "cloze_refusals",
                "Requests answered with an error, by its code; a full queue by what was full of "
                "it.",
                *("route", "reason"),
            )
        ).of
        self._seconds = self._registered(
            Durations(
                "cloze_request_seconds",
                "From the request's first byte to the answer's end.",
                "route",
            )
        ).of
        self._stages = self._registered(
            Durations(
                "cloze_stage_seconds",
                "Where an answered request's time went.",
                *("stage", "model"),
            )
        ).of
        self._by_key = self._registered(
            Counts(
                "cloze_key_requests",
                "Requests answered, by the name of their key, where keys are asked for.",
                *("key", "status"),
            )
        ).of
        self._key_tokens = self._registered(
            Counts("cloze_key_tokens", "Tokens computed for a key.", "key")
        ).of
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
        self._answered[route, status, model] += 1
        if reason:
            self._refused[route, reason] += 1
        if key:
            self._by_key[key, status] += 1
            self._key_tokens[key,] += usage.tokens if usage else 0
        self._seconds[route,].add(ended - started)
        if usage is not None:
            seconds = (
                usage.begun - started,
                usage.tokenise_s,
                usage.queue_s,
                usage.compute_s,
                ended - usage.computed,
            )
            for stage, took in zip(STAGES, seconds, strict=True):
                self._stages[stage, model].add(took)

    def _registered(self, collector: AnyCollector) -> AnyCollector:
        self.registry.register(collector)
        return collector

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
