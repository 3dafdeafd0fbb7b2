"""Answers of one stream of requests, as they come -> counts and percentiles of their latencies."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

OK, TOO_MANY_REQUESTS, UNAVAILABLE = 200, 429, 503


@dataclass(frozen=True)
class LatencySummary:
    """What a client saw of one stream in the measured time; latencies in milliseconds."""

    answers: int
    """Good ones."""
    refused: int
    """Turned away by a server that said it was full."""
    failed: int
    """Any other answer, or none."""
    seconds: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    served: int
    """Good answers with those of the warm-up: what the server's CPU time was spent on."""

    @property
    def rate(self) -> float:
        """Good answers per second.

        >>> LatencySummary(300, 0, 0, 2.0, 1.0, 2.0, 3.0, 400).rate
        150.0
        """
        return self.answers / self.seconds


class Window:
    """A warm-up, then the measured time, counted from now."""

    def __init__(self, warm_s: float, seconds: float) -> None:
        self.starts = time.perf_counter()
        self.begins = self.starts + warm_s
        self.ends = self.begins + seconds


class LatencyRecorder:
    """Counts answers, and the latencies of those in the measured time."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._latencies_s: list[float] = []
        self._refused = self._failed = self._served = 0

    def answered(self, due: float, status: int, *, by: float) -> None:
        """Note an answer; `by` is the moment that decides whether it is in the measured time."""
        self._served += status == OK
        if not self._window.begins <= by < self._window.ends:
            return
        if status == OK:
            self._latencies_s.append(time.perf_counter() - due)
        elif status in (TOO_MANY_REQUESTS, UNAVAILABLE):
            self._refused += 1
        else:
            self._failed += 1

    def summary(self) -> LatencySummary:
        """Return what was counted."""
        ascending = sorted(self._latencies_s)
        p50, p99, worst = (percentile(ascending, share) * 1000 for share in (0.5, 0.99, 1.0))
        return LatencySummary(
            answers=len(ascending),
            refused=self._refused,
            failed=self._failed,
            seconds=self._window.ends - self._window.begins,
            p50_ms=p50,
            p99_ms=p99,
            worst_ms=worst,
            served=self._served,
        )


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share does not exceed, NaN for none.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5), percentile([1.0, 2.0, 3.0, 4.0], 0.99)
    (2.0, 4.0)
    """
    if not ascending:
        return float("nan")
    # The nearest rank, counted in whole millionths: 0.07 * 100 is 7.000000000000001.
    rank = -(-round(share * 1_000_000) * len(ascending) // 1_000_000)
    return ascending[max(rank, 1) - 1]
