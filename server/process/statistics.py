"""What one process counts in, what the whole group counts out, by way of shared memory.

A process that replaces one that died goes on from the counts that its predecessor published last,
so that no sum ever falls: Prometheus would take that for a restart from zero. Of many models there
is much to write, so that it is packed, and done on any thread but the event loop's.
"""

import json
import logging
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.process.shared_memory import ContentTooLong, ProcessGroupMember

logger = logging.getLogger("cloze")

PUBLISH_EVERY_S: Final = 1.0
# A process that was silent for so long is not counted, and its gauges are out of date.
_SILENT_S: Final = 5.0

_ADDED_UP: Final = frozenset({"counter", "histogram"})
_HEARTBEAT_AGE: Final = "cloze_worker_heartbeat_age_seconds"
_AGE: Final = struct.Struct("<d")  # the greatest one, in front, where probes find it soon
_FASTEST: Final = 1  # of zlib's levels; names and labels repeat so much that all are good
# Gauges are added up as well, but for these.
_EXTREMES: Final[dict[str, Callable[[float, float], float]]] = {
    _HEARTBEAT_AGE: max,
    "cloze_batch_budget_tokens": min,
    "cloze_build_info": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
    "python_info": max,
}


class GroupCollector(Collector):
    """The sums over all processes, whichever of them is asked."""

    def __init__(self, own: CollectorRegistry, member: ProcessGroupMember) -> None:
        self._own = own
        self._rank, self._shared = member.rank, member.statistics
        self._restarts = 0
        self._inherited: list[Metric] = []
        self._too_long = False
        self._one_writes = threading.Lock()
        last = self._shared.read(self._rank)
        if last is not None:
            self._inherited = [each for each in unpacked(last.content) if each.type in _ADDED_UP]
            self._restarts = 1

    def publish(self) -> None:
        """Shares this process's counts; what is too long to share leaves those of before."""
        with self._one_writes:
            families = [*self._own.collect(), self._replaced()]
            content = packed(merged([*families, *self._inherited]) if self._inherited else families)
            try:
                self._shared.publish(self._rank, content)
            except ContentTooLong as error:
                if not self._too_long:
                    logger.error("new statistics are not shared: %s", error)  # noqa: TRY400 (no crash)
                self._too_long = True
                last = self._shared.read(self._rank)  # a sign of life all the same
                counts = last.content if last else packed([])
                self._shared.publish(self._rank, content[: _AGE.size] + counts[_AGE.size :])
            else:
                self._too_long = False

    def collect(self) -> Iterator[Metric]:
        """Yields everyone's families as one, and how many processes they are of."""
        self.publish()
        ranks = range(self._shared.size)
        snapshots = [found for rank in ranks if (found := self._shared.read(rank))]
        limit = time.monotonic() - _SILENT_S
        live = [snapshot for snapshot in snapshots if snapshot.time_s > limit]
        gone = [snapshot for snapshot in snapshots if snapshot.time_s <= limit]
        families = [family for snapshot in live for family in unpacked(snapshot.content)]
        counts = [family for snapshot in gone for family in unpacked(snapshot.content)]
        yield from merged([*families, *(each for each in counts if each.type in _ADDED_UP)])
        yield GaugeMetricFamily(
            "cloze_processes", "Processes whose state is in these figures.", value=len(live)
        )

    def silence_s(self) -> float:
        """Seconds since the last sign of life of a ready process or its busiest worker."""
        shared, now = self._shared, time.monotonic()
        ready = (shared.read(rank) for rank in range(shared.size) if shared.is_ready(rank))
        silences = (now - last.time_s + heartbeat_age_s(last.content) for last in ready if last)
        return max(silences, default=0.0)

    def _replaced(self) -> Metric:
        return CounterMetricFamily(
            "cloze_process_restarts", "Processes that died and were replaced.", value=self._restarts
        )


def merged(families: Iterable[Metric]) -> list[Metric]:
    """Makes one family of those of the same name: samples with the same labels are added up.

    >>> one = GaugeMetricFamily("queued", "Waiting.", value=2)
    >>> other = GaugeMetricFamily("queued", "Waiting.", value=3)
    >>> [(family.name, family.samples[0].value) for family in merged([one, other])]
    [('queued', 5.0)]
    """
    firsts: dict[str, Metric] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in families:
        firsts.setdefault(family.name, family)
        values = sums.setdefault(family.name, {})
        join = _EXTREMES.get(family.name, float.__add__)
        for sample in family.samples:
            key = (sample.name, tuple(sample.labels.items()))
            value = float(sample.value)
            values[key] = join(values[key], value) if key in values else value
    return [_family(firsts[name], values) for name, values in sums.items()]


def _family(like: Metric, values: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> Metric:
    made = Metric(like.name, like.documentation, like.type)
    for (name, labels), value in values.items():
        made.add_sample(name, dict(labels), value)
    return made


def packed(families: Sequence[Metric]) -> bytes:
    """Writes families as JSON, Python's own, which has an infinity, and compresses it."""
    written = json.dumps(
        [
            (
                family.name,
                family.documentation,
                family.type,
                [(sample.name, sample.labels, sample.value) for sample in family.samples],
            )
            for family in families
        ]
    )
    beating = [family.samples for family in families if family.name == _HEARTBEAT_AGE]
    age = max([sample.value for samples in beating for sample in samples], default=0.0)
    return _AGE.pack(age) + zlib.compress(written.encode(), _FASTEST)


def heartbeat_age_s(content: bytes) -> float:
    """Seconds since the longest-running batch of what `packed` wrote began."""
    age: float = _AGE.unpack_from(content)[0]
    return age


def unpacked(content: bytes) -> Iterator[Metric]:
    """Reads what `packed` wrote."""
    for name, documentation, kind, samples in json.loads(zlib.decompress(content[_AGE.size :])):
        family = Metric(name, documentation, kind)
        for sample_name, labels, value in samples:
            family.add_sample(sample_name, labels, value)
        yield family
