"""`make scaling`: what a request costs on one and two cores -> what more cores are expected to do.

Measured: requests per second, CPU time per request, and how much of that one process can only spend
on one core at a time, since one lock guards its interpreter: all of its event loop's time, and what
its workers spend in Python beside the session. Calculated, not measured:

    rate = busy x min(cores / CPU per request, processes / locked per request)

Memory bandwidth, caches, clock rates under load, hyperthreads and the network are not modelled.
"""

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks.bare import BareSession
from benchmarks.cloze import DEFAULT_MODEL, server
from benchmarks.harness import command_line
from benchmarks.load.offer import Stream, offer
from benchmarks.machine import conditions, leave
from benchmarks.report import markdown, table
from benchmarks.results import Figure, Results, Sample, samples
from benchmarks.subjects import Server, fetch, running
from benchmarks.workloads import Workload, Workloads
from models.manifest import TOKENIZER_FILE, load_manifest
from server.process.supervisor import processes_for

CORES = (16, 64, 192)
CONNECTIONS, WARM_S, READY_S = 32, 1.0, 60.0
BATCH_TOKENS = 200  # about what a worker takes with 32 busy connections


@dataclass(frozen=True)
class Setup:
    """How the server runs."""

    cores: tuple[int, ...]
    processes: int

    @property
    def name(self) -> str:
        """What the report calls it."""
        return f"cores: {len(self.cores)}, processes: {self.processes}"


@dataclass(frozen=True)
class Costs:
    """What one request costs, and how busy the cores were with such requests."""

    cpu_s: float
    lock_s: float
    """Of the CPU time, what one process can only spend on one core at a time."""
    busy: float
    """Share of the cores that server and load generator kept busy."""

    def expected(self, cores: int, processes: int) -> float:
        """Return the requests per second that so many cores and processes should answer.

        >>> costs = Costs(cpu_s=0.0025, lock_s=0.0004, busy=0.95)
        >>> round(costs.expected(cores=2, processes=1)), round(costs.expected(64, 1))
        (760, 2375)
        """
        return self.busy * min(cores / self.cpu_s, processes / self.lock_s)


def measured(subject: Server, setup: Setup, workload: Workload, seconds: float) -> Iterator[Sample]:
    """Keep connections busy, and read the CPU times of the processes before and after."""
    stream = {"all": Stream(subject.posts(workload), CONNECTIONS)}
    program = subject.program
    with subject.awake():
        wait_for_all(subject.url, setup.processes)
        begun = time.perf_counter()
        cpu, loops = program.cpu_s(), program.main_threads_s()
        offered = offer(subject.url, stream, warm_s=WARM_S, seconds=seconds)
        cpu, loops = program.cpu_s() - cpu, program.main_threads_s() - loops
        memory_mb = program.memory_mb()
    seen = offered.streams["all"]
    shared = offered.busy if len(setup.cores) > 1 else 0.0
    active_s = min(time.perf_counter() - begun, WARM_S + seconds)
    yield from samples(
        workload.name,
        setup.name,
        rate=seen.rate,
        CPU=1000 * cpu / seen.served,
        event_loop=1000 * loops / seen.served,
        cores_busy=100 * min(1.0, (cpu / active_s + shared) / len(setup.cores)),
        memory=memory_mb,
    )


def wait_for_all(url: str, processes: int) -> None:
    """Return once all processes of a server are ready; one alone is, if it answers."""
    limit = time.perf_counter() + READY_S
    while processes > 1 and time.perf_counter() < limit:
        _, metrics = fetch(url, "GET", "/metrics")
        if f"\ncloze_processes {processes:.1f}" in metrics.decode():
            return
        time.sleep(0.1)


def gather(
    options: argparse.Namespace, setups: Sequence[Setup], workloads: Sequence[Workload]
) -> list[Figure]:
    """Measure every setup and workload in turn, round by round."""
    results = Results()
    for _, setup in product(range(options.rounds), setups):
        os.sched_setaffinity(0, options.cores)
        leave(setup.cores)
        flags = ["--models", str(options.model), "--processes", str(setup.processes)]
        spec = server("scaling", *flags)
        with running(spec, setup.cores, options.results / "logs") as subject:
            if not isinstance(subject, Server):
                raise TypeError(f"expected a server, found {subject.name}")
            for workload in workloads:
                results.add("measured", measured(subject, setup, workload, options.seconds))
    return results.figures()


def costs_of(figures: Sequence[Figure], setup: Setup, workload: str, python_s: float) -> Costs:
    """Take the medians of a setup; `python_s` is what workers spend in Python on a request."""
    medians = {
        figure.measure: figure.median
        for figure in figures
        if (figure.workload, figure.subject) == (workload, setup.name)
    }
    lock_s = medians["event loop"] / 1000 + python_s
    return Costs(medians["CPU"] / 1000, lock_s, medians["cores busy"] / 100)


def calculated(costs: Mapping[str, Costs]) -> Iterator[str]:
    """Yield what follows for more cores, as Markdown."""
    for name, one in costs.items():
        yield (
            f"Calculated for {name}: {one.cpu_s * 1e3:.2f} ms of CPU per request, "
            f"{one.lock_s * 1e3:.2f} ms of it under the lock. One process is the limit from "
            f"{one.cpu_s / one.lock_s:.1f} cores on."
        )
        titles = ["cores", "1 process", "one per 6 cores", "processes", "limit of those"]
        yield table(titles, [calculated_row(one, cores) for cores in CORES])


def calculated_row(costs: Costs, cores: int) -> list[str]:
    """Write one machine."""
    processes = processes_for(cores)
    limit = "cores" if cores / costs.cpu_s < processes / costs.lock_s else "lock"
    rates = [f"{costs.expected(cores, count):,.0f}" for count in (1, processes)]
    return [str(cores), *rates, str(processes), limit]


def main() -> None:
    """Measure, calculate, print, write."""
    parser = command_line("benchmarks.scaling", "What a request costs on one core and on two.")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.set_defaults(cores=[0, 1], rounds=3, seconds=4.0)
    options = parser.parse_args()
    (options.results / "logs").mkdir(parents=True, exist_ok=True)
    every = Workloads(options.model / TOKENIZER_FILE)
    workloads = [every.of("short", "fill-mask"), every.of("mixed", "embed")]
    manifest = load_manifest(options.model)
    stated = conditions(options.cores) | {"model": f"{manifest.name} ({manifest.precision})"}
    stated["rounds"] = f"{options.rounds}, {options.seconds:g} s each, {CONNECTIONS} connections"
    both = tuple(options.cores)
    base = Setup(both, 1)
    setups = [Setup(both[-1:], 1), base, *(Setup(both, processes) for processes in (2, 4))]
    figures = gather(options, setups, workloads)
    bare = BareSession(options.model)
    costs = {}
    for each in workloads:
        python_s = mean(bare.python_s(*each.texts(), BATCH_TOKENS) for _ in range(3))
        costs[each.name] = costs_of(figures, base, each.name, python_s)
    text = "\n\n".join([markdown(figures, stated).rstrip(), *calculated(costs)]) + "\n"
    (options.results / "scaling.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
