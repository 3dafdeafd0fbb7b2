"""Latencies and counts of one stream of requests -> what is reported of them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
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
    late_ms: float
    """How late the generator itself was, at worst, in sending a request that was due."""

    @property
    def rate(self) -> float:
        """Good answers per second.

        >>> Seen(300, 0, 0, 2.0, 1.0, 2.0, 3.0, 400, 0.1).rate
        150.0
        """
        return self.answers / self.seconds


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
