"""Batches that ended in, counters since start out."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from server.errors import ClozeError, DeadlineExceeded, InternalError
from server.inference.runtime.packing import Result
from server.inference.scheduling.queue import Entry

Outcome = tuple[Entry, Result | ClozeError]


@dataclass(slots=True)
class Counters:
    """What became of the items of one model; the batcher holds its lock around every change."""

    batches_total: int = 0
    items_total: int = 0
    tokens_total: int = 0
    cancelled_total: int = 0
    """Items that left the queue because their client did."""
    expired_total: int = 0
    """Items that left the queue because their deadline passed."""
    poisoned_total: int = 0
    """Items that failed alone, without their neighbours."""
    memory_errors_total: int = 0
    batch_seconds: float = 0.0

    def ended(self, outcomes: Iterable[Outcome], seconds: float) -> None:
        """Count one batch."""
        self.batches_total += 1
        self.batch_seconds += seconds
        for entry, outcome in outcomes:
            if isinstance(outcome, DeadlineExceeded):
                self.expired_total += 1
            else:
                self.items_total += 1
                self.tokens_total += entry.tokens
                self.poisoned_total += isinstance(outcome, InternalError)

    def seconds_for(self, tokens: int, workers: int) -> float:
        """How long so many tokens will take at the rate seen so far; at least 1."""
        if not self.tokens_total:
            return 1.0
        return max(1.0, tokens * self.batch_seconds / self.tokens_total / workers)


@dataclass(frozen=True)
class BatcherStats:
    """Counters since start, and the state of the moment."""

    queued_items: int
    queued_tokens: int
    running_batches: int
    worker_heartbeat_age_seconds: float
    """Seconds since the longest-running batch began; 0 when no worker is busy, infinite when a
    worker has died."""
    batches_total: int
    items_total: int
    tokens_total: int
    cancelled_total: int
    expired_total: int
    poisoned_total: int
    memory_errors_total: int
    batch_seconds: float


def snapshot(
    counters: Counters, *, items: int, tokens: int, running: int, age_s: float
) -> BatcherStats:
    """The counters and the state of this moment, for metrics and probes."""
    return BatcherStats(items, tokens, running, age_s, **asdict(counters))
