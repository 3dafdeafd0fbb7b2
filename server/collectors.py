"""What was counted, and what pipelines and admission hold, in; Prometheus' families out.

They are made when Prometheus asks, so that counting costs a request next to nothing: the library's
own counters and histograms take five times as long.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
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
Values = tuple[object, ...]
"""Of labels, in their order."""


class Counts(Collector):
    """A counter: `counts.of[values] += 1`."""

    def __init__(self, name: str, purpose: str, *labels: str) -> None:
        self._described = (name, purpose)
        self._labels = labels
        self.of = defaultdict[Values, float](float)

    def collect(self) -> Iterator[Metric]:
        """Yields one family."""
        family = CounterMetricFamily(*self._described, labels=self._labels)
        for values, count in list(self.of.items()):  # as it is now
            family.add_metric([str(value) for value in values], count)
        yield family


class Durations(Collector):
    """A histogram of seconds: `durations.of[values].add(seconds)`."""

    def __init__(self, name: str, purpose: str, *labels: str) -> None:
        self._described = (name, purpose)
        self._labels = labels
        self.of = defaultdict[Values, Distribution](partial(Distribution.over, *_SECONDS))

    def collect(self) -> Iterator[Metric]:
        """Yields one family."""
        family = HistogramMetricFamily(*self._described, labels=self._labels)
        for values, durations in list(self.of.items()):
            _add(family, [str(value) for value in values], durations)
        yield family


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
                _add(histogram, [model], getattr(snapshot, field))
            yield histogram


# From one short text alone (about 2 ms) to the longest that a request may take.
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

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


def _add(family: HistogramMetricFamily, values: list[str], counted: Distribution) -> None:
    buckets = [
        ("+Inf" if math.isinf(most) else str(float(most)), count)
        for most, count in counted.cumulative()
    ]
    family.add_metric(values, buckets, counted.total)


def _fill(
    family: GaugeMetricFamily | CounterMetricFamily, field: str, snapshots: Mapping[str, object]
) -> Metric:
    for model, snapshot in snapshots.items():
        family.add_metric([model], float(getattr(snapshot, field)))
    return family
