"""What one process counts in, what all processes of the server count out, by way of the board.

A process that replaces one that died goes on from the counts that its predecessor posted last, so
that no sum ever falls: Prometheus would take that for a restart from zero.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.process.shared_memory import Member

POST_EVERY_S: Final = 1.0
# A process that was silent for so long is not counted, and its gauges are out of date.
_SILENT_S: Final = 5.0

_ADDED_UP: Final = frozenset({"counter", "histogram"})
# Gauges are added up as well, but for these.
_EXTREMES: Final[dict[str, Callable[[float, float], float]]] = {
    "cloze_worker_heartbeat_age_s": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
    "python_info": max,
}


class Totals(Collector):
    """The sums over all processes, whichever of them is asked."""

    def __init__(self, own: CollectorRegistry, member: Member) -> None:
        self._own = own
        self._member = member
        self._restarts = 0
        self._inherited: list[Metric] = []
        last = member.board.read(member.place)
        if last is not None:
            self._inherited = [each for each in unpacked(last.content) if each.type in _ADDED_UP]
            self._restarts = 1

    def post(self) -> None:
        """Puts this process's counts on the board."""
        families = merged([*self._own.collect(), self._replaced(), *self._inherited])
        self._member.board.post(self._member.place, packed(families))

    def collect(self) -> Iterator[Metric]:
        """Yields everyone's families as one, and how many processes they are of."""
        self.post()
        board = self._member.board
        posts = [post for place in range(board.places) if (post := board.read(place))]
        limit = time.monotonic() - _SILENT_S
        live = [post for post in posts if post.time_s > limit]
        gone = [post for post in posts if post.time_s <= limit]
        families = [family for post in live for family in unpacked(post.content)]
        counts = [family for post in gone for family in unpacked(post.content)]
        yield from merged([*families, *(each for each in counts if each.type in _ADDED_UP)])
        yield GaugeMetricFamily(
            "cloze_processes", "Processes whose state is in these figures.", value=len(live)
        )

    def silence_s(self) -> float:
        """Seconds since the last sign of life of a ready process or its busiest worker."""
        board, now = self._member.board, time.monotonic()
        ready = (board.read(place) for place in range(board.places) if board.is_ready(place))
        silences = (now - post.time_s + _heartbeat_age_s(post.content) for post in ready if post)
        return max(silences, default=0.0)

    def _replaced(self) -> Metric:
        return CounterMetricFamily(
            "cloze_process_restarts", "Processes that died and were replaced.", value=self._restarts
        )


def _heartbeat_age_s(content: bytes) -> float:
    ages = (
        sample.value
        for family in unpacked(content)
        for sample in family.samples
        if sample.name == "cloze_worker_heartbeat_age_s"
    )
    return max(ages, default=0.0)


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


def packed(families: Iterable[Metric]) -> bytes:
    """Writes families as JSON, Python's own, which has an infinity."""
    return json.dumps(
        [
            (
                family.name,
                family.documentation,
                family.type,
                [(sample.name, sample.labels, sample.value) for sample in family.samples],
            )
            for family in families
        ]
    ).encode()


def unpacked(content: bytes) -> Iterator[Metric]:
    """Reads what `packed` wrote."""
    for name, documentation, kind, samples in json.loads(content):
        family = Metric(name, documentation, kind)
        for sample_name, labels, value in samples:
            family.add_sample(sample_name, labels, value)
        yield family
