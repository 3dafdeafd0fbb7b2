"""What is measured, by name: each section yields one round's samples of all subjects in turn.

Within a section the subjects take turns workload by workload (A B A B), so that a machine that gets
slower or faster meets all alike.
"""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.answers import answers
from benchmarks.bench import Bench
from benchmarks.load.arrivals import bursts, steady
from benchmarks.load.offer import Stream
from benchmarks.results import Sample
from benchmarks.workloads import LENGTHS, TASKS

LOADS = (20, 50, 65, 80, 90, 95)  # % of what the closed loop reached
SINGLES_PER_S = 20  # requests beside the lists: few enough not to be the load themselves
BURST = 256  # requests at once
BURST_EVERY_S = 2.0


Section = Callable[[Bench], Iterator[Sample]]


def throughput(bench: Bench) -> Iterator[Sample]:
    """All connections busy: texts of the chosen lengths, and pairs."""
    chosen = [bench.workloads.of(length, task) for length in bench.lengths for task in TASKS[:2]]
    if not bench.quick:
        chosen.append(bench.workloads.of("short", "nsp"))
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


def three_tasks(bench: Bench) -> Iterator[Sample]:
    """Requests of three tasks in turn, beside the same requests task by task."""
    mixed = bench.workloads.three_tasks()
    for server in bench.servers:
        if server.serves(mixed):
            together = bench.rate(server, mixed)
            apart = [
                bench.rate(server, bench.workloads.of("short", task), 1 / len(TASKS))
                for task in TASKS
            ]
            one_by_one = harmonic(apart)
            yield Sample(mixed.name, server.name, "rate", together)
            yield Sample("one task after the other", server.name, "rate", one_by_one)
            yield Sample(mixed.name, server.name, "mixed of apart", 100 * together / one_by_one)


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
            for name, one in (("singles", quiet), ("singles beside lists", seen)):
                yield Sample(name, server.name, "p50", one.p50_ms)
                yield Sample(name, server.name, "p99", one.p99_ms)
            ratio = seen.p99_ms / quiet.p99_ms
            yield Sample("singles beside lists", server.name, "p99 of alone", ratio)


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
            yield Sample(f"{BURST} at once", server.name, "p50", seen.p50_ms)
            yield Sample(f"{BURST} at once", server.name, "all answered", seen.worst_ms)
            yield Sample(f"{BURST} at once", server.name, "refused", seen.refused / (count - 1))


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
                    yield Sample(name, server.name, "rate", rate)
                    yield Sample(name, server.name, "p50", seen.p50_ms)
                    yield Sample(name, server.name, "p99", seen.p99_ms)
                    yield Sample(name, server.name, "refused", seen.refused)


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
        yield Sample("after the load", subject.name, "memory", subject.program.memory_mb())
        yield Sample("after the load", subject.name, "ready", subject.ready_s)


SECTIONS: dict[str, Section] = {
    "answers": answers,
    "throughput": throughput,
    "alone": alone,
    "three-tasks": three_tasks,
    "lists": lists,
    "burst": burst,
    "load": load,
    "length": length,
    "footprint": footprint,
}
"""In the order in which a round goes through them."""


def harmonic(rates: Sequence[float]) -> float:
    """Return the rate of doing equal numbers of each, one kind after the other.

    >>> harmonic([100.0, 50.0])
    66.66666666666667
    """
    return len(rates) / sum(1 / rate for rate in rates)
