"""Pipelines and admission in, what they hold and counted out, read when Prometheus asks.

So that counting costs a request next to nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from server import __version__
from server.inference.admission import Admission
from server.inference.pipeline import Pipeline
from server.inference.scheduling.distribution import Distribution
from server.logs import dropped_lines

Pipelines = Callable[[], Mapping[str, Pipeline]]


class ProcessStateCollector(Collector):
    """What the requests that are not answered yet hold together, and whether more are wanted."""

    def __init__(self, admission: Admission, is_ready: Callable[[], bool]) -> None:
        self._admission = admission
        self._is_ready = is_ready

    def collect(self) -> Iterator[Metric]:
        """Yields the state of the process, and each thing that is bounded with its bound."""
        build = GaugeMetricFamily(
            "cloze_build_info", "The version, as a label.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily(
            "cloze_ready",
            "Processes that have loaded their models and are not shutting down.",
            value=self._is_ready(),
        )
        held, limits = self._admission, self._admission.limits
        for name, purpose, value, limit in (
            (
                *("reserved_tokens", "Tokens that wait or are computed."),
                *(held.tokens, limits.queue_tokens),
            ),
            (
                *("reserved_answer_bytes", "Answers promised and not sent."),
                *(held.answer_bytes, limits.pending_answer_bytes),
            ),
            (
                *("pending_body_bytes", "Bodies of unanswered requests."),
                *(held.body_bytes, limits.pending_body_bytes),
            ),
        ):
            yield GaugeMetricFamily(f"cloze_{name}", purpose, value=value)
            most = f"Most of cloze_{name}, beyond which requests are refused."
            yield GaugeMetricFamily(f"cloze_{name}_limit", most, value=limit)
        yield CounterMetricFamily(
            "cloze_log_lines_dropped", "Log lines that nobody made room for.", value=dropped_lines()
        )


class PipelineCollector(Collector):
    """What each model holds, has computed, and did not have to compute."""

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines

    def collect(self) -> Iterator[Metric]:
        """Yields one family per row of the tables below, one sample per model."""
        pipelines = self._pipelines()
        stats = {name: pipeline.stats() for name, pipeline in pipelines.items()}
        spared = {name: pipeline.spared() for name, pipeline in pipelines.items()}
        for field, purpose in _GAUGES.items():
            gauge = GaugeMetricFamily(f"cloze_{field}", purpose, labels=["model"])
            yield _fill(gauge, field, stats)
        for field, purpose in _COUNTERS.items():
            counter = CounterMetricFamily(f"cloze_{field}", purpose, labels=["model"])
            yield _fill(counter, field, stats)
        for field, purpose in _SPARED.items():
            counter = CounterMetricFamily(f"cloze_spared_{field}", purpose, labels=["model"])
            yield _fill(counter, field, spared)
        for field, purpose in _SIZES.items():
            histogram = HistogramMetricFamily(f"cloze_{field}", purpose, labels=["model"])
            for model, snapshot in stats.items():
                sizes: Distribution = getattr(snapshot, field)
                buckets = [
                    ("+Inf" if math.isinf(most) else f"{most:.1f}", count)
                    for most, count in sizes.cumulative()
                ]
                histogram.add_metric([model], buckets, sizes.total)
            yield histogram


# By field of `PipelineStats`; Prometheus' own name for a counter ends in _total in any case.
_GAUGES: Final = {
    "queued_items": "Texts waiting for a worker.",
    "queued_tokens": "Tokens waiting for a worker.",
    "running_batches": "Batches being computed now.",
    "batch_budget_tokens": "Most tokens that a worker takes at a time, unless one text has more.",
    "worker_heartbeat_age_seconds": "Seconds since the longest-running batch began; 0 when idle.",
}
_COUNTERS: Final = {
    "batches_total": "Batches computed.",
    "items_total": "Texts computed.",
    "tokens_total": "Tokens computed.",
    "batch_seconds": "Seconds that workers spent computing.",
    "cancelled_total": "Texts dropped before computing because their client had left.",
    "expired_total": "Texts dropped before computing because their deadline had passed.",
    "poisoned_total": "Texts that made a batch fail and were failed alone.",
    "memory_errors_total": "Batches that did not fit into memory and were run in parts.",
}
_SIZES: Final = {
    "batch_items": "Texts of a batch.",
    "batch_tokens": "Tokens of a batch; over cloze_batch_budget_tokens, how full it was.",
}
# By field of `Spared`.
_SPARED: Final = {
    "padding_tokens": "Tokens of padding that no product computed.",
    "last_layer_rows": "Rows of the last layer that were not computed since nothing reads them.",
    "vocabulary_rows": "Rows of texts with masks that were not multiplied by the vocabulary.",
}


def _fill(
    family: GaugeMetricFamily | CounterMetricFamily, field: str, snapshots: Mapping[str, object]
) -> Metric:
    for model, snapshot in snapshots.items():
        family.add_metric([model], float(getattr(snapshot, field)))
    return family
