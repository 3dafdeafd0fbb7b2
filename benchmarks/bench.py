"""Subjects and workloads -> what the sections ask of them: closed loops, capacities, durations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.results import Sample, samples
from benchmarks.subjects import Server, Subject
from benchmarks.workloads import KINDS, Workload, Workloads


@dataclass
class Bench:
    """The subjects, what they are asked, and for how long each time."""

    subjects: Sequence[Subject]
    workloads: Workloads
    connections: int
    seconds: float
    quick: bool = False
    lengths: Sequence[str] = KINDS
    """Of the texts under saturation."""
    reference: Server | None = None
    """Whose answers those of all servers are compared with."""
    _capacities: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def warm_s(self) -> float:
        """Seconds of load before each measurement."""
        return self.seconds / 4

    @property
    def servers(self) -> Sequence[Server]:
        """The subjects that answer over HTTP."""
        return [subject for subject in self.subjects if isinstance(subject, Server)]

    def saturate(
        self, subject: Subject, workload: Workload, *, connections: int = 0, share: float = 1.0
    ) -> Iterator[Sample]:
        """Measure a closed loop, for a share of the seconds."""
        done = subject.saturate(
            workload,
            connections or self.connections,
            warm_s=self.warm_s * share,
            seconds=self.seconds * share,
        )
        found = {"rate": done.rate}
        if done.latency:
            found |= {"p50": done.latency.p50_ms, "p99": done.latency.p99_ms}
            found["generator"] = 100 * done.busy
        yield from samples(workload.name, subject.name, **found, CPU=done.cpu_s)

    def rate(self, subject: Subject, workload: Workload, share: float = 1.0) -> float:
        """Return what a closed loop reaches."""
        times = {"warm_s": self.warm_s * share, "seconds": self.seconds * share}
        return subject.saturate(workload, self.connections, **times).rate

    def capacity(self, server: Server, workload: Workload) -> float:
        """Return what a closed loop reached when first asked: the same in all rounds."""
        key = (server.name, workload.name)
        if key not in self._capacities:
            self._capacities[key] = self.rate(server, workload)
        return self._capacities[key]
