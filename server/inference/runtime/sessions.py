"""A model folder and options in, the sessions that run it out, each with its number of cores.

Runs on one core each, side by side, compute most. One run on all cores answers a single request
sooner, but small products do not fill the cores, so it computes less: how much less depends on the
model and the machine. Knows nothing of queues.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.manifest import ModelManifest
from server.inference.runtime.cores import available_cores
from server.inference.runtime.devices import Device
from server.inference.runtime.packing import Encoding, Item, OutputSpec, SentenceVector
from server.inference.runtime.session import Session, SessionOptions
from server.inference.runtime.spared import Spared
from server.settings import InferenceOptions

logger = logging.getLogger(__name__)

AUTO = 0
GIVEN_UP = 0.1  # share of the throughput that an answer by all cores may cost
SECONDS = 0.4  # of each of the two measurements
TEXTS, LENGTH = 8, 16  # a batch as it is under moderate load


@dataclass(frozen=True)
class Sessions:
    """The sessions of one model, and the options with what was left open decided."""

    options: InferenceOptions
    usual: Session
    alone: Session | None
    """For a run that has the machine to itself, where that one uses more cores."""

    @property
    def all(self) -> tuple[Session, ...]:
        """One or both."""
        return (self.usual,) if self.alone is None else (self.usual, self.alone)

    def spared(self) -> Spared:
        """What all runs together did not compute."""
        return sum([session.spared.read() for session in self.all], Spared())

    def forget_spared(self) -> None:
        """Count only runs that begin from now on."""
        for session in self.all:
            session.spared.forget()

    def warm(self, outputs: Sequence[OutputSpec], tokens: int) -> None:
        """Run each session once, so that its memory is in place (blocking)."""
        for session in self.all:
            session.warm(outputs, tokens)


def open_sessions(
    folder: Path, manifest: ModelManifest, options: InferenceOptions, device: Device
) -> Sessions:
    """Open a verified model folder (blocking).

    Raises:
        DeviceError: it does not run where it must.
    """

    def load(intra_op: int) -> Session:
        return Session(folder, manifest, SessionOptions(intra_op, device))

    if options.intra_op == AUTO and device.name == "cpu":
        usual, chosen = measured_session(load, available_cores())
        options = options.model_copy(update={"intra_op": chosen})
    else:
        usual = load(max(1, options.intra_op))
    cores = min(options.intra_op_alone, available_cores())
    lone = cores > options.intra_op and usual.device.name == "cpu"
    return Sessions(options, usual, load(cores) if lone else None)


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


def _tokens_per_s(session: Session, workers: int) -> float:
    encoding = Encoding(np.ones(LENGTH, np.int64), np.zeros(LENGTH, np.int64))
    batch = [Item(encoding, SentenceVector("mean"))] * TEXTS
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
