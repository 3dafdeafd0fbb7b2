"""What is measured, by name: each section yields one round's samples of all subjects in turn.

Within a section the subjects take turns workload by workload (A B A B), so that a machine that gets
slower or faster meets all alike.

An open loop's requests are due when a plan says, whether earlier ones are answered or not, as those
of many independent clients are. A closed loop waits with its next request until a slow server has
answered, and so never sees the queue that the slowness made.
"""

import random
from collections.abc import Callable, Iterator

from benchmarks.answers import answers
from benchmarks.bench import Bench
from benchmarks.load.offer import Stream
from benchmarks.results import Sample, samples
from benchmarks.workloads import LENGTHS, TASKS

LOADS = (20, 50, 65, 80, 90, 95)  # % of what the closed loop reached
SINGLES_PER_S = 20  # requests beside the lists: few enough not to be the load themselves
BURST = 256  # requests at once
BURST_EVERY_S = 2.0
SEED = 20_26

Section = Callable[[Bench], Iterator[Sample]]


def throughput(bench: Bench) -> Iterator[Sample]:
    """All connections busy: texts of the chosen lengths, pairs, and three tasks in turn."""
    chosen = [bench.workloads.of(length, task) for length in bench.lengths for task in TASKS[:2]]
    if not bench.quick:
        chosen += [bench.workloads.of("short", "nsp"), bench.workloads.three_tasks()]
    for workload in chosen:
        for subject in bench.subjects:
            if subject.serves(workload):
                yield from bench.saturate(subject, workload)


def alone(bench: Bench) -> Iterator[Sample]:
    """One connection, or one text at a time: the next is sent when the last one is answered."""
    for task in TASKS[:2]:
        workload = bench.workloads.of("short", task)
        for subject in bench.subjects:
            if subject.serves(workload):
                yield from bench.saturate(subject, workload, connections=1, share=0.5)


def lists(bench: Bench) -> Iterator[Sample]:
    """Single requests, without and with a client that sends one list of 512 after the other."""
    singles, many = bench.workloads.of("short", "embed"), bench.workloads.lists()
    seconds = 2 * bench.seconds
    for server in bench.servers:
        if server.serves(many):
            due_s = steady(SINGLES_PER_S, bench.warm_s + seconds)
            stream = {"singles": Stream(server.posts(singles), due_s=due_s)}
            beside = {"lists": Stream(server.posts(many), connections=1)}
            quiet = server.offer(stream, warm_s=bench.warm_s, seconds=seconds)["singles"]
            seen = server.offer(stream | beside, warm_s=bench.warm_s, seconds=seconds)["singles"]
            yield from samples("singles", server.name, p50=quiet.p50_ms, p99=quiet.p99_ms)
            beside_lists = {"p50": seen.p50_ms, "p99": seen.p99_ms}
            beside_lists["p99 of alone"] = seen.p99_ms / quiet.p99_ms
            yield from samples("singles beside lists", server.name, **beside_lists)


def burst(bench: Bench) -> Iterator[Sample]:
    """Many requests at once on an idle server, from as many clients."""
    workload = bench.workloads.of("short", "fill-mask")
    count = max(2, round(bench.seconds / BURST_EVERY_S) + 1)
    due_s = bursts(BURST, BURST_EVERY_S, count)
    for server in bench.servers:
        if server.serves(workload):
            # The first burst opens the connections and is the warm-up.
            stream = {"burst": Stream(server.posts(workload), due_s=due_s)}
            seconds = (count - 1) * BURST_EVERY_S
            seen = server.offer(stream, warm_s=BURST_EVERY_S / 2, seconds=seconds)["burst"]
            found = {"p50": seen.p50_ms, "all answered": seen.worst_ms}
            found["refused"] = seen.refused / (count - 1)
            yield from samples(f"{BURST} at once", server.name, **found)


def load(bench: Bench) -> Iterator[Sample]:
    """Open loop: latency, from the moment a request was due, by offered share of capacity."""
    for workload in [bench.workloads.of("short", task) for task in TASKS[:2]]:
        for percent in (50, 80) if bench.quick else LOADS:
            for server in bench.servers:
                if server.serves(workload):
                    rate = bench.capacity(server, workload) * percent / 100
                    due_s = steady(rate, bench.warm_s + bench.seconds)
                    stream = {"load": Stream(server.posts(workload), due_s=due_s)}
                    seen = server.offer(stream, warm_s=bench.warm_s, seconds=bench.seconds)["load"]
                    name = f"{workload.name} at {percent} %"
                    found = {"p50": seen.p50_ms, "p99": seen.p99_ms, "refused": seen.refused}
                    yield from samples(name, server.name, rate=rate, **found)


def length(bench: Bench) -> Iterator[Sample]:
    """All connections busy, by the length of the texts."""
    for task in TASKS[:1] if bench.quick else TASKS[:2]:
        for tokens in LENGTHS[::3] if bench.quick else LENGTHS:
            workload = bench.workloads.of_tokens(tokens, task)
            for subject in bench.subjects:
                if subject.serves(workload):
                    rate = bench.rate(subject, workload, 0.5)
                    yield Sample(workload.name, subject.name, "rate", rate)


def footprint(bench: Bench) -> Iterator[Sample]:
    """How long each subject took to get ready, and its memory after the other sections' load."""
    for subject in bench.subjects:
        found = {"memory": subject.program.memory_mb(), "ready": subject.ready_s}
        yield from samples("after the load", subject.name, **found)


SECTIONS: dict[str, Section] = {
    "answers": answers,
    "throughput": throughput,
    "alone": alone,
    "lists": lists,
    "burst": burst,
    "load": load,
    "length": length,
    "footprint": footprint,
}
"""In the order in which a round goes through them."""


def steady(rate: float, seconds: float, seed: int = SEED) -> list[float]:
    """Return the seconds at which requests of a Poisson process are due, in order.

    The number of arrivals is exactly `rate * seconds`; given their number, the arrivals of a
    Poisson process are uniform. Every subject is offered the same moments.

    >>> [round(due, 2) for due in steady(rate=2, seconds=2)]
    [0.24, 1.01, 1.02, 1.72]
    """
    chance = random.Random(seed)  # noqa: S311 - the same arrivals every time
    return sorted(chance.uniform(0, seconds) for _ in range(round(rate * seconds)))


def bursts(size: int, every_s: float, count: int) -> list[float]:
    """Return the seconds at which `count` bursts of `size` requests at once are due.

    >>> bursts(size=2, every_s=1.5, count=2)
    [0.0, 0.0, 1.5, 1.5]
    """
    return [number * every_s for number in range(count) for _ in range(size)]
