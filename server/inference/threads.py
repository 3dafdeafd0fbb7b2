"""A way to load a model in, the sessions whose runs use as many cores as pays out: measured.

Runs on one core each, side by side, compute most. One run on all cores answers a single request
sooner, but small products do not fill the cores, so it computes less: how much less depends on the
model and the machine. So there may be two sessions of a model, one for runs side by side and one
for a run that has the machine to itself, at the price of weights that are in memory twice. Knows
nothing of queues.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from server.inference.items import Encoding, Item, PoolWant
from server.inference.session import Session

logger = logging.getLogger(__name__)

AUTO = 0
GIVEN_UP = 0.1  # share of the throughput that an answer by all cores may cost
SECONDS = 0.4  # of each of the two measurements
TEXTS, LENGTH = 8, 16  # a batch as it is under moderate load
SPARED = 0.1  # share of its time that a lone run must spare for a second session
MOST_TWICE = 512_000_000  # bytes of weights that are in memory twice without being asked for
LONE_RUNS = 7  # timed of each session, in turn


@dataclass(frozen=True)
class Rates:
    """Tokens per second of the same cores."""

    apart: float
    """One core for each run, as many runs as cores."""
    together: float
    """All cores for one run."""

    def intra_op(self, cores: int) -> int:
        """Cores for one run: all, where that costs little throughput, otherwise one.

        >>> Rates(apart=1000, together=950).intra_op(8), Rates(apart=1000, together=700).intra_op(8)
        (8, 1)
        """
        return cores if self.together >= (1 - GIVEN_UP) * self.apart else 1


def measured_session(load: Callable[[int], Session], cores: int) -> tuple[Session, int]:
    """Load the model both ways and keep the one that pays, with its cores a run (blocking)."""
    if cores == 1:
        return load(1), 1
    alone, whole = load(1), load(cores)
    rates = Rates(_tokens_per_s(alone, cores), _tokens_per_s(whole, 1))
    chosen = rates.intra_op(cores)
    logger.info(
        "intra-op chosen",
        extra={
            "intra_op": chosen,
            "tokens_per_s_one_core_a_run": round(rates.apart),
            "tokens_per_s_all_cores_a_run": round(rates.together),
        },
    )
    return (alone if chosen == 1 else whole), chosen


@dataclass(frozen=True)
class LoneTimes:
    """Milliseconds of a run of one short text that has the machine to itself."""

    one_core: float
    all_cores: float

    @property
    def worth_it(self) -> bool:
        """Whether all cores spare enough of the time.

        >>> LoneTimes(one_core=4.0, all_cores=3.0).worth_it, LoneTimes(4.0, 3.9).worth_it
        (True, False)
        """
        return self.all_cores <= (1 - SPARED) * self.one_core


def lone_session(
    load: Callable[[int], Session], beside: Session, asked: int, cores: int, weights: int
) -> Session | None:
    """The session for runs that have the machine to themselves, or None for `beside` (blocking).

    `beside` is the one for runs side by side. `asked` cores are taken as they are; AUTO takes all,
    unless `weights` bytes are too many to have twice, or if it does not make a short text quicker.
    """
    if asked != AUTO:
        return load(asked) if asked > 1 else None
    if cores == 1 or weights > MOST_TWICE:
        return None
    whole = load(cores)
    times = LoneTimes(*_lone_ms([beside, whole]))
    logger.info(
        "intra-op of lone runs chosen",
        extra={
            "intra_op": cores if times.worth_it else 1,
            "ms_one_core": round(times.one_core, 2),
            "ms_all_cores": round(times.all_cores, 2),
        },
    )
    return whole if times.worth_it else None


def _lone_ms(sessions: Sequence[Session]) -> list[float]:
    """The median time of each session, which take turns."""
    encoding = Encoding(np.ones(LENGTH, np.int64), np.zeros(LENGTH, np.int64))
    text = [Item(encoding, PoolWant("mean"))]
    spent: list[list[float]] = [[] for _ in sessions]
    for turn in range(LONE_RUNS + 1):
        for session, times in zip(sessions, spent, strict=True):
            begun = time.perf_counter()
            session.run(text)
            if turn:  # the first one allocates
                times.append(1000 * (time.perf_counter() - begun))
    return [median(times) for times in spent]


def _tokens_per_s(session: Session, workers: int) -> float:
    encoding = Encoding(np.ones(LENGTH, np.int64), np.zeros(LENGTH, np.int64))
    batch = [Item(encoding, PoolWant("mean"))] * TEXTS
    rates: list[float] = []

    def work() -> None:
        begun, runs = time.perf_counter(), 0
        while not runs or time.perf_counter() < begun + SECONDS:
            session.run(batch)
            runs += 1
        rates.append(runs * TEXTS * LENGTH / (time.perf_counter() - begun))

    session.run(batch)  # the first one allocates
    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)
