"""A graph and how to open it -> a session that runs prepared batches."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier, Thread

import onnxruntime as ort

from benchmarks.variants.batches import Feeds
from export.graph.builder import GRAPH_FILE
from models.processor import precision_entries
from server.inference.runtime.session import DISABLED_OPTIMIZERS, ERRORS_ONLY, SPINNING


@dataclass(frozen=True)
class Opening:
    """How a session is opened and used; as the server does where nothing else is said."""

    intra_op: int = 1
    workers: int | None = None
    """Threads that run batches side by side; None for as many as are measured."""
    disabled: tuple[str, ...] = tuple(DISABLED_OPTIMIZERS)
    entries: tuple[tuple[str, str], ...] = ()
    memory_pattern: bool = True
    arena: bool = True


def open_session(
    graph: Path | bytes, opening: Opening, profile: Path | None = None
) -> ort.InferenceSession:
    """Open a folder's graph, or one in memory; write a profile to a file that begins so."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = opening.intra_op
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.enable_mem_pattern = opening.memory_pattern
    options.enable_cpu_mem_arena = opening.arena
    entries = SPINNING | precision_entries()
    for key, value in {**entries, **dict(opening.entries)}.items():
        options.add_session_config_entry(key, value)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph / GRAPH_FILE),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(opening.disabled),
    )


class Runner:
    """A session and the batches that it runs, over and over."""

    def __init__(self, session: ort.InferenceSession, batches: Sequence[Feeds]) -> None:
        names = {node.name for node in session.get_inputs()}
        self._session = session
        self._outputs = [node.name for node in session.get_outputs()]
        self._batches = [_known(batch, names) for batch in batches]

    def __call__(self) -> None:
        """Run every batch once."""
        for batch in self._batches:
            self._session.run(self._outputs, batch)


def _known(batch: Feeds, names: set[str]) -> Mapping[str, object]:
    return {name: feed for name, feed in batch.items() if name in names}


def passes_per_s(run: Callable[[], object], workers: int, seconds: float, *, alone: bool) -> float:
    """Return passes over all batches in a second, added up over the workers.

    A session `alone` on one thread is measured by the thread's own CPU time, which others on a
    shared machine do not disturb.
    """
    clock = time.thread_time if alone else time.perf_counter
    run()
    barrier = Barrier(workers)
    rates: list[float] = []

    def work() -> None:
        barrier.wait()
        begun, ends, done = clock(), time.perf_counter() + seconds, 0
        while not done or time.perf_counter() < ends:
            run()
            done += 1
        rates.append(done / (clock() - begun))

    threads = [Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)
