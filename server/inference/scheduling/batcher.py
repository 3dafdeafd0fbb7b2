"""Requests' items in, their results out: one queue, shared batches, a few worker threads.

    event loop: submit -> queue            worker: take -> run -> deliver (one call back per batch)

While a core is free a worker takes what waits; nothing waits for a timer. All tasks share the queue
and the batches. A request is a `Ticket`; it is answered when its last item is done, and exactly
once: with its results, or with the error that ended it. What may be submitted was admitted before
(`server.inference.admission`). Knows nothing of HTTP or ONNX.

There may be more workers than cores. While all cores are busy, another run makes theirs slower and
is worth it in two cases only: when it is large enough for what every run costs to be little of it,
or when a small request would otherwise wait for bulk work. So bulk work never takes a worker that
is over.

Bulk work is run so that it makes way for everything else that wants a core.

A batch that has the machine to itself, with nothing running beside it and nothing left waiting, may
be run in another way, on all cores: nobody else could use them.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from server.errors import ClozeError, DeadlineExceeded
from server.inference.runtime.packing import Item, Result
from server.inference.scheduling.cost import CostModel
from server.inference.scheduling.counters import BatcherStats, Counters, Outcome, snapshot
from server.inference.scheduling.isolation import RunBatch, run_isolated
from server.inference.scheduling.queue import (
    Allows,
    Entry,
    Flow,
    ItemQueue,
    PriorityClass,
    Ticket,
    any_shape,
)

logger = logging.getLogger(__name__)

SMALLEST_BUDGET = 32  # tokens; the budget is not halved below this when memory runs out
WORTH_A_RUN = 64  # tokens; a short text alone takes twice the time that it takes among several
WORTH_BUSY_CORES = 4  # times what a run costs before its first token: that is at most a fifth of it


class Completed(NamedTuple):
    """What a request's items gave, in order, and how long they waited and ran, in seconds."""

    results: list[Result]
    tokens: int
    queue_s: float
    compute_s: float


class TracedBatch(NamedTuple):
    """A batch that ended, in which were items of traced requests."""

    traces: list[object]
    """Of those requests, each once."""
    items: int
    begun: float
    """`time.monotonic()` seconds, as is the end."""
    ended: float


@dataclass(frozen=True, slots=True)
class _Run:
    """A batch that a worker is computing."""

    since: float
    """`time.monotonic()` seconds."""
    priority: PriorityClass
    tokens: int


class Batcher:
    """The queue and the workers of one model. `submit` belongs to the event loop's thread."""

    def __init__(
        self,
        run: RunBatch,
        cost: CostModel,
        *,
        workers: int,
        batch_tokens: int,
        allows: Allows = any_shape,
        cores: int | None = None,
        slots: threading.Semaphore | None = None,
        run_alone: RunBatch | None = None,
        run_bulk: RunBatch | None = None,
        watch: Callable[[TracedBatch], None] | None = None,
    ) -> None:
        self._run = run
        self._run_alone = run_alone
        self._run_bulk = run_bulk or run
        self._watch = watch
        self._queue = ItemQueue(cost, max(SMALLEST_BUDGET, batch_tokens // 4), allows)
        self._budget = batch_tokens
        self._cores = cores or workers  # runs that keep all of them busy
        self._slots = slots or contextlib.nullcontext()
        self._ready = threading.Condition()
        self._arrived: list[tuple[Ticket, float]] = []
        self._runs: dict[int, _Run] = {}
        self._stopping = False
        self._counters = Counters()
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{n}", daemon=True)
            for n in range(workers)
        ]

    def start(self) -> None:
        """Start the worker threads."""
        for thread in self._threads:
            thread.start()

    def weigh_by(self, cost: CostModel) -> None:
        """Choose batch mates by another cost from now on."""
        with self._ready:
            self._queue.cost = cost

    def wait_s(self, tokens: int) -> float:
        """Seconds until so many tokens will be computed, at the rate seen so far; at least 1."""
        return self._counters.seconds_for(tokens, len(self._threads))

    async def submit(
        self,
        items: Sequence[Item],
        deadline: float,
        computed: Callable[[int], None] | None = None,
        flow: Flow | None = None,
    ) -> Completed:
        """Queue `items` and wait for their results; `computed` hears of tokens that wait no more.

        They are a round of `flow`, where the request has several.

        `deadline` is in `time.monotonic()` seconds. Raises `DeadlineExceeded`, or the error of an
        item that failed. When the caller is cancelled, items that still wait are taken out and
        never computed.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        ticket = Ticket(items, deadline, loop, computed, flow)
        if not items:
            return Completed([], 0, 0.0, 0.0)
        if not self._arrived:
            loop.call_soon(self._admit)
        self._arrived.append((ticket, now))
        timer = loop.call_at(loop.time() + deadline - now, self._expire, ticket)
        try:
            await ticket.done
        except asyncio.CancelledError:
            self._leave(ticket, expired=time.monotonic() >= deadline)
            raise
        finally:
            timer.cancel()
        return Completed(ticket.delivered(), ticket.tokens, ticket.queue_s, ticket.compute_s)

    def stats(self) -> BatcherStats:
        """A snapshot for metrics and probes."""
        with self._ready:
            return snapshot(
                self._counters,
                items=len(self._queue),
                tokens=self._queue.tokens,
                running=len(self._runs),
                budget=self._budget,
                age_s=self._heartbeat_age(time.monotonic()),
            )

    def _heartbeat_age(self, now: float) -> float:
        if not all(thread.is_alive() or thread.ident is None for thread in self._threads):
            return math.inf
        return max((now - run.since for run in self._runs.values()), default=0.0)

    def close(self) -> None:
        """Stop the workers after their present batch. Threads are daemons: a stuck one is left."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()

    # --- on the event loop --------------------------------------------------------------------

    def _admit(self) -> None:
        """Queue what arrived in this turn of the event loop, so that it can share a batch."""
        with self._ready:
            for ticket, now in self._arrived:
                self._queue.add(ticket, now)
            if self._may_begin():
                self._ready.notify(len(self._queue))
        self._arrived.clear()

    def _expire(self, ticket: Ticket) -> None:
        if not ticket.done.done():
            self._leave(ticket, expired=True)
            ticket.done.set_exception(DeadlineExceeded())

    def _leave(self, ticket: Ticket, *, expired: bool = False) -> None:
        before = len(self._arrived)
        self._arrived = [(other, now) for other, now in self._arrived if other is not ticket]
        arrived = len(self._arrived) < before
        with self._ready:
            left = len(ticket.items) if arrived else self._queue.remove(ticket)
            if expired:
                self._counters.expired_total += left
            else:
                self._counters.cancelled_total += left

    def _deliver(self, outcomes: list[Outcome], started: float, seconds: float) -> None:
        """Hand a batch's outcomes to their requests."""
        if self._watch is not None:
            flows = {id(entry.ticket.flow): entry.ticket.flow for entry, _ in outcomes}
            traces = [flow.trace for flow in flows.values() if flow.trace is not None]
            if traces:
                self._watch(TracedBatch(traces, len(outcomes), started, started + seconds))
        for entry, outcome in outcomes:
            ticket = entry.ticket
            if ticket.computed is not None:
                ticket.computed(entry.tokens)
            if ticket.done.done():
                continue  # cancelled, expired, or failed by another of its items
            if isinstance(outcome, ClozeError):
                self._leave(ticket)
                ticket.done.set_exception(outcome)
                continue
            ticket.results[entry.index] = outcome
            ticket.remaining -= 1
            ticket.queue_s = max(ticket.queue_s, started - entry.queued_at)
            ticket.compute_s = max(ticket.compute_s, seconds)
            if ticket.remaining == 0:
                ticket.done.set_result(None)

    # --- on the worker threads ----------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._may_begin() and not self._stopping:
                    self._ready.wait()
                if self._stopping:
                    return
            with self._slots:
                self._work_once()

    def _work_once(self) -> None:
        thread = threading.get_ident()
        with self._ready:
            if not self._may_begin():
                return  # another worker was faster
            started = time.monotonic()
            first = self._queue.first(started, bulk=len(self._runs) < self._cores)
            taken = self._queue.take(first, self._share(first.priority))
            tokens = sum([entry.tokens for entry in taken])
            run = self._run_bulk if first.priority is self._queue.bulk else self._run
            if self._run_alone is not None and not self._runs and not len(self._queue):
                run = self._run_alone
            self._runs[thread] = _Run(started, first.priority, tokens)
            if self._may_begin():
                self._ready.notify()
        outcomes = self._outcomes(taken, started, run)
        seconds = time.monotonic() - started
        with self._ready:
            del self._runs[thread]
            self._counters.ended(outcomes, seconds)
        self._call_back(outcomes, started, seconds)

    def _outcomes(self, taken: list[Entry], now: float, run: RunBatch) -> list[Outcome]:
        """Run what was taken, but for entries whose deadline passed while they waited."""
        entries = [entry for entry in taken if entry.ticket.deadline > now]
        late = [(entry, DeadlineExceeded()) for entry in taken if entry.ticket.deadline <= now]
        if not entries:
            return [*late]
        items = [entry.item for entry in entries]
        request_ids = [entry.ticket.flow.request_id for entry in entries]
        results = run_isolated(run, items, self._shrink_budget, request_ids)
        return [*zip(entries, results, strict=True), *late]

    def _may_begin(self) -> bool:
        """Whether something waits that is worth a run now."""
        if len(self._runs) < self._cores:
            return len(self._queue) > 0
        if not self._queue.small_is_due:
            return False
        small = self._queue.small
        overhead = self._queue.cost.overhead(masked=small.entries[0].masked)
        if small.tokens >= max(WORTH_A_RUN, WORTH_BUSY_CORES * overhead):
            return True
        return any(run.priority is self._queue.bulk for run in self._runs.values())

    def _share(self, priority: PriorityClass) -> int:
        """Tokens to take of a class now: the budget, or less so that every core gets its part.

        That is, of what waits for cores that are idle, and of all that is in hand for those that
        will soon be back: one that took all would leave them crumbs.
        """
        running = sum([run.tokens for run in self._runs.values()])
        idle = max(1, self._cores - len(self._runs))  # with the one that this run takes
        share = max(WORTH_A_RUN, (priority.tokens + running) / self._cores)
        return min(self._budget, math.ceil(min(share, priority.tokens / idle)))

    def _call_back(self, outcomes: list[Outcome], started: float, seconds: float) -> None:
        entry, _ = outcomes[0]
        loop = entry.ticket.done.get_loop()
        try:
            loop.call_soon_threadsafe(self._deliver, outcomes, started, seconds)
        except RuntimeError:
            # The loop was closed while the batch ran: nobody is left to be answered.
            logger.warning("a batch ended after its event loop was closed")

    def _shrink_budget(self) -> None:
        with self._ready:
            self._counters.memory_errors_total += 1
            self._budget = max(SMALLEST_BUDGET, self._budget // 2)
