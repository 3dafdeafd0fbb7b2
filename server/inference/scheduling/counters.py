"""Batches that ended in, counters since start out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.errors import ClozeError, DeadlineExceeded, InternalError
from server.inference.runtime.packing import Result
from server.inference.scheduling.distribution import Distribution
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
    batch_items: Distribution = field(
        default_factory=lambda: Distribution.over(1, 2, 4, 8, 16, 32, 64, 128)
    )
    batch_tokens: Distribution = field(
        default_factory=lambda: Distribution.over(16, 32, 64, 128, 256, 512, 1024, 4096, 8192)
    )

    def ended(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Count one batch."""
        self.batches_total += 1
        self.batch_seconds += seconds
        expired = tokens = 0
        for entry, outcome in outcomes:
            if isinstance(outcome, DeadlineExceeded):
                expired += 1
            else:
                tokens += entry.tokens
                self.poisoned_total += isinstance(outcome, InternalError)
        items = len(outcomes) - expired
        self.expired_total += expired
        self.items_total += items
        self.tokens_total += tokens
        if items:
            self.batch_items.add(items)
            self.batch_tokens.add(tokens)

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
    batch_budget_tokens: int
    """Most tokens of a batch, unless one text has more; halved where memory ran out."""
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
    batch_items: Distribution
    batch_tokens: Distribution


def snapshot(
    counters: Counters, *, items: int, tokens: int, running: int, budget: int, age_s: float
) -> BatcherStats:
    """The counters and the state of this moment, for metrics and probes."""
    return BatcherStats(
        items,
        tokens,
        running,
        budget,
        age_s,
        batches_total=counters.batches_total,
        items_total=counters.items_total,
        tokens_total=counters.tokens_total,
        cancelled_total=counters.cancelled_total,
        expired_total=counters.expired_total,
        poisoned_total=counters.poisoned_total,
        memory_errors_total=counters.memory_errors_total,
        batch_seconds=counters.batch_seconds,
        batch_items=counters.batch_items.copy(),
        batch_tokens=counters.batch_tokens.copy(),
    )
