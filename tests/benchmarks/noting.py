"""A subject for tests of what is asked, of whom and when: it notes calls and computes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.load.latencies import LatencySummary
from benchmarks.subjects import Server, Throughput
from benchmarks.workloads import TASKS, Task, Workload

SUMMARY = LatencySummary(100, 0, 0, 1.0, 2.0, 3.0, 4.0, 120)
EVERY_TASK = frozenset(TASKS)


class Noting(Server):
    """A server that computes nothing."""

    def __init__(self, name: str, tasks: frozenset[Task], calls: list[tuple[str, str]]) -> None:
        self.name, self.tasks, self.calls = name, tasks, calls

    @contextmanager
    def awake(self) -> Iterator[None]:
        yield

    def posts(self, workload: Workload) -> list[tuple[str, str]]:
        return [("/", workload.name)]

    def saturate(self, workload: Workload, *_: object, **__: object) -> Throughput:
        self.calls.append((self.name, workload.name))
        return Throughput(rate=200.0, cpu_s=1.0, latency=SUMMARY)

    def offer(self, streams: Any, **_: object) -> Any:
        (stream,) = streams.values()
        self.calls.append((self.name, f"{len(stream.due_s)} requests"))
        return dict.fromkeys(streams, SUMMARY)
