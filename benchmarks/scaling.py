"""`make scaling`: what a request costs on one and two cores -> what more cores are expected to do.

Measured: requests per second, CPU time per request, and how much of that one process can only spend
on one core at a time, since one lock guards its interpreter: all of its event loop's time, and what
its workers spend in Python beside the session. Calculated, not measured:

    rate = busy x min(cores / CPU per request, processes / locked per request)

Memory bandwidth, caches, clock rates under load, hyperthreads and the network are not modelled.
"""

import argparse
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import product
from pathlib import Path
from statistics import mean, median
from urllib.request import urlopen

from benchmarks.bare import BareSession
from benchmarks.cloze import DEFAULT_MODEL, REPOSITORY, server
from benchmarks.load.offer import Stream, offer
from benchmarks.machine import conditions, core_list, leave
from benchmarks.report import short, table
from benchmarks.subjects import Server, running
from benchmarks.workloads import Workload, Workloads
from models.manifest import TOKENIZER_FILE, load_manifest
from server.process.supervisor import processes_for

CORES = (16, 64, 192)
GPU_RATES = (1_000, 5_000, 20_000)  # requests per second that a GPU may be able to compute
CONNECTIONS, WARM_S, READY_S = 32, 1.0, 60.0
BATCH_TOKENS = 200  # about what a worker takes with 32 busy connections
MEASURED = (
    "workload",
    "cores",
    "processes",
    "requests per second",
    "CPU per request (ms)",
    "of it the event loop's (ms)",
    "cores busy",
    "memory (MB)",
)


@dataclass(frozen=True)
class Setup:
    """How the server runs."""

    cores: tuple[int, ...]
    processes: int


@dataclass(frozen=True)
class Costs:
    """What a workload's requests did in a setup, and what one of them cost."""

    rate: float
    """Requests per second."""
    cpu_s: float
    loop_s: float
    """Of the CPU time, the event loop's."""
    busy: float
    """Share of the cores that server and load generator kept busy."""
    memory_mb: float
    """Of all processes, in 10^6 bytes; what they share counts once."""


def measured(subject: Server, setup: Setup, workload: Workload, seconds: float) -> Costs:
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
    busy = min(1.0, (cpu / active_s + shared) / len(setup.cores))
    return Costs(seen.rate, cpu / seen.served, loops / seen.served, busy, memory_mb)


def wait_for_all(url: str, processes: int) -> None:
    """Return once all processes of a server are ready; one alone is, if it answers."""
    limit = time.perf_counter() + READY_S
    while processes > 1 and time.perf_counter() < limit:
        with urlopen(f"{url}/metrics") as answer:  # noqa: S310 - the server that we started
            if f"\ncloze_processes {processes:.1f}" in answer.read().decode():
                return
        time.sleep(0.1)


def expected(costs: Costs, lock_s: float, cores: int, processes: int) -> float:
    """Return the requests per second that so many cores and processes should answer.

    >>> costs = Costs(rate=760, cpu_s=0.0025, loop_s=0.0003, busy=0.95, memory_mb=250)
    >>> round(expected(costs, 0.0004, cores=2, processes=1))
    760
    >>> round(expected(costs, 0.0004, cores=64, processes=1))
    2375
    """
    return costs.busy * min(cores / costs.cpu_s, processes / lock_s)


def middle(rounds: Sequence[Costs]) -> Costs:
    """Take the median of each measure."""
    columns = zip(*map(astuple, rounds), strict=True)
    return Costs(*map(median, columns))


Found = Mapping[tuple[Setup, str], Sequence[Costs]]


def gather(options: argparse.Namespace, workloads: Sequence[Workload]) -> Found:
    """Measure every setup and workload in turn, round by round."""
    both = tuple(options.cores)
    setups = [Setup(both[-1:], 1), *(Setup(both, processes) for processes in (1, 2, 4))]
    found: dict[tuple[Setup, str], list[Costs]] = {}
    for _, setup in product(range(options.rounds), setups):
        os.sched_setaffinity(0, both)
        leave(setup.cores)
        flags = ["--models", str(options.model), "--processes", str(setup.processes)]
        spec = server("scaling", *flags)
        with running(spec, setup.cores, options.results / "logs") as subject:
            if not isinstance(subject, Server):
                raise TypeError(f"expected a server, found {subject.name}")
            for workload in workloads:
                costs = measured(subject, setup, workload, options.seconds)
                found.setdefault((setup, workload.name), []).append(costs)
    return found


def page(found: Found, lock_parts: Mapping[str, float], stated: Mapping[str, str]) -> Iterator[str]:
    """Yield the report as Markdown, part by part."""
    yield "\n".join(f"- {name}: {value}" for name, value in stated.items())
    yield "Measured; medians of the rounds, in brackets the spread of the rates:"
    yield table(MEASURED, [measured_row(*key, rounds) for key, rounds in found.items()])
    base = {name: middle(rounds) for (setup, name), rounds in found.items() if wide(setup)}
    locks = {name: costs.loop_s + lock_parts[name] for name, costs in base.items()}
    for name, costs in base.items():
        yield (
            f"Calculated for {name}: {costs.cpu_s * 1e3:.2f} ms of CPU per request, "
            f"{locks[name] * 1e3:.2f} ms of it under the lock ({costs.loop_s * 1e3:.2f} of the "
            f"event loop, {lock_parts[name] * 1e3:.2f} of the workers). One process is the limit "
            f"from {costs.cpu_s / locks[name]:.1f} cores on."
        )
        yield table(
            ["cores", "1 process", "one per 6 cores", "processes", "limit of those"],
            [calculated_row(costs, locks[name], cores) for cores in CORES],
        )
    yield "Calculated for a GPU that computes so many requests per second (assumed, not measured):"
    yield table(
        ["GPU's rate", *(f"processes to keep it busy, {name}" for name in base)],
        [[f"{rate:,}", *(str(math.ceil(rate * lock)) for lock in locks.values())]
         for rate in GPU_RATES],
    )  # fmt: skip


def wide(setup: Setup) -> bool:
    """Tell whether a setup is the one that calculations start from."""
    return len(setup.cores) > 1 and setup.processes == 1


def measured_row(setup: Setup, workload: str, rounds: Sequence[Costs]) -> list[str]:
    """Write one setup."""
    costs = middle(rounds)
    rates = [each.rate for each in rounds]
    return [
        workload,
        str(len(setup.cores)),
        str(setup.processes),
        f"{short(costs.rate)} ({short(min(rates))} to {short(max(rates))})",
        f"{costs.cpu_s * 1e3:.2f}",
        f"{costs.loop_s * 1e3:.2f}",
        f"{costs.busy:.0%}",
        f"{costs.memory_mb:.0f}",
    ]


def calculated_row(costs: Costs, lock_s: float, cores: int) -> list[str]:
    """Write one machine."""
    processes = processes_for(cores)
    several = expected(costs, lock_s, cores, processes)
    limit = "cores" if cores / costs.cpu_s < processes / lock_s else "lock"
    alone = expected(costs, lock_s, cores, 1)
    return [str(cores), f"{alone:,.0f}", f"{several:,.0f}", str(processes), limit]


def main() -> None:
    """Measure, calculate, print, write."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    made.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    made.add_argument("--cores", type=core_list, default=[0, 1], help="two, like 0-1")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    made.add_argument("--results", type=Path, default=REPOSITORY / "benchmarks" / "results")
    options = made.parse_args()
    (options.results / "logs").mkdir(parents=True, exist_ok=True)
    every = Workloads(options.model / TOKENIZER_FILE)
    workloads = [every.of("short", "fill-mask"), every.of("mixed", "embed")]
    manifest = load_manifest(options.model)
    stated = conditions(options.cores) | {"model": f"{manifest.name} ({manifest.precision})"}
    stated["rounds"] = f"{options.rounds}, {options.seconds:g} s each, {CONNECTIONS} connections"
    found = gather(options, workloads)
    bare = BareSession(options.model)
    parts = {
        each.name: mean(bare.python_s(*each.texts(), BATCH_TOKENS) for _ in range(3))
        for each in workloads
    }
    text = "\n\n".join(page(found, parts, stated)) + "\n"
    (options.results / "scaling.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
