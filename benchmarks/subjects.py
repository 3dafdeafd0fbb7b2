"""What is measured, servers over HTTP and bare loops alike: a workload in, its throughput out."""

import json
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.load.latencies import LatencySummary
from benchmarks.load.offer import Post, Stream, offer
from benchmarks.programs import Program
from benchmarks.workloads import Question, Task, Workload

Dialect = Callable[[Question], Post]
"""Puts a question into the words of one server's API."""

READY_LIMIT_S = 180
ANSWER_LIMIT_S = 60


@dataclass(frozen=True)
class Spec:
    """How a subject is started and asked."""

    name: str
    command: Sequence[str]
    """`{port}` stands for the port that it is to listen on."""
    tasks: frozenset[Task]
    dialect: Dialect | None = None
    """None for a bare loop."""
    ready: str = "/readyz"
    """The path that answers 200 once the model is loaded."""
    checkout: Path | None = None
    """The folder that it is started in; None for this one."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that it gets beside those of this process."""


@dataclass(frozen=True)
class Throughput:
    """What a subject did under load."""

    rate: float
    """Requests per second; of a loop, texts."""
    cpu_s: float
    """CPU seconds per 1,000 of them."""
    latency: LatencySummary | None = None
    """None for a loop."""
    busy: float = 0.0
    """The load generator's share of one core."""


class Subject(ABC):
    """A running program with a model loaded; it computes only inside `awake`."""

    def __init__(self, spec: Spec, program: Program, ready_s: float) -> None:
        self.name = spec.name
        self.tasks = spec.tasks
        self.ready_s = ready_s
        self.program = program
        program.pause()

    def serves(self, workload: Workload) -> bool:
        """Tell whether it can do all tasks of a workload."""
        return workload.tasks <= self.tasks

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run for so long, while all other subjects are paused."""
        self.program.resume()
        try:
            yield
        finally:
            self.program.pause()

    @abstractmethod
    def saturate(
        self, workload: Workload, connections: int, *, warm_s: float, seconds: float
    ) -> Throughput:
        """Keep so many requests waiting and return what it makes of them."""

    @abstractmethod
    def ask(self, question: Question) -> Any:
        """Return its answer to one question, as it gives it."""


class Server(Subject):
    """A subject that answers over HTTP."""

    def __init__(
        self, spec: Spec, program: Program, ready_s: float, dialect: Dialect, url: str
    ) -> None:
        super().__init__(spec, program, ready_s)
        self._dialect, self.url = dialect, url

    def posts(self, workload: Workload) -> list[Post]:
        """Put a workload's questions into the words of this server's API."""
        return [self._dialect(question) for question in workload.questions]

    def saturate(
        self, workload: Workload, connections: int, *, warm_s: float, seconds: float
    ) -> Throughput:
        """Keep so many connections busy."""
        streams = {workload.name: Stream(self.posts(workload), connections)}
        with self.awake():
            spent = self.program.cpu_s()
            offered = offer(self.url, streams, warm_s=warm_s, seconds=seconds)
            spent = self.program.cpu_s() - spent
        seen = offered.streams[workload.name]
        if not seen.answers and seconds >= ANSWER_LIMIT_S:
            raise RuntimeError(f"{self.name}: {workload.name}: no answer in {seconds:g} s")
        if not seen.answers:  # a batch takes longer than that
            longer_s = min(ANSWER_LIMIT_S, 4 * seconds)
            return self.saturate(workload, connections, warm_s=warm_s, seconds=longer_s)
        return Throughput(seen.rate, spent / seen.served * 1000, seen, offered.busy)

    def offer(
        self, streams: Mapping[str, Stream], *, warm_s: float, seconds: float
    ) -> Mapping[str, LatencySummary]:
        """Offer streams of requests side by side."""
        with self.awake():
            return offer(self.url, streams, warm_s=warm_s, seconds=seconds).streams

    def ask(self, question: Question) -> Any:
        """Post one question."""
        path, body = self._dialect(question)
        with self.awake():
            status, content = fetch(self.url, "POST", path, body)
        if status != 200:
            raise RuntimeError(f"{self.name} answered {status} to {path}: {content[:200]!r}")
        return json.loads(content)


class Loop(Subject):
    """A subject that computes without HTTP; `benchmarks.loops` is its other side."""

    def saturate(
        self, workload: Workload, connections: int, *, warm_s: float, seconds: float
    ) -> Throughput:
        """Let it compute a stream of which so many texts always wait."""
        task, texts = workload.texts()
        asked = {"task": task, "texts": texts, "waiting": connections}
        with self.awake():
            spent = self.program.cpu_s()
            ran = self._call(asked | {"warm_s": warm_s, "seconds": seconds})
            spent = self.program.cpu_s() - spent
        return Throughput(ran["texts"] / ran["seconds"], spent / ran["served"] * 1000)

    def serves(self, workload: Workload) -> bool:
        """Tell whether it can do a workload: a loop computes one task at a time."""
        return len(workload.tasks) == 1 and super().serves(workload)

    def ask(self, question: Question) -> Any:
        """Let it answer one question."""
        asked = {"task": question.task, "texts": [question.texts], "seconds": None}
        with self.awake():
            return self._call(asked)["answers"][0]

    def _call(self, asked: dict[str, Any]) -> Any:
        self.program.stdin.write(json.dumps(asked).encode() + b"\n")
        self.program.stdin.flush()
        return json.loads(self.program.stdout.readline() or self._ended())

    def _ended(self) -> bytes:
        raise RuntimeError(f"{self.name} ended: {self.program.last_words()}")


@contextmanager
def running(spec: Spec, cores: Sequence[int], logs: Path) -> Iterator[Subject]:
    """Start a subject, wait until it is ready, and end it when it is no longer wanted.

    Raises:
        RuntimeError: it ended, or was not ready in time; with the end of its log.
    """
    port = free_port()
    command = [word.format(port=port) for word in spec.command]
    begun = time.perf_counter()
    log = logs / f"{spec.name.replace(' ', '-')}.log"
    program = Program(command, cores, log, spec.environment, spec.checkout)
    try:
        if spec.dialect is None:
            if not program.stdout.readline():
                raise RuntimeError(program.last_words())
            yield Loop(spec, program, time.perf_counter() - begun)
        else:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(program, url, spec.ready)
            yield Server(spec, program, time.perf_counter() - begun, spec.dialect, url)
    finally:
        program.stop()


def wait_until_ready(program: Program, url: str, path: str) -> None:
    """Ask the path until it answers 200."""
    limit = time.perf_counter() + READY_LIMIT_S
    while time.perf_counter() < limit:
        with suppress(OSError, HTTPException):
            if fetch(url, "GET", path)[0] == 200:
                return
        program.require_running()
        time.sleep(0.02)
    raise RuntimeError(f"not ready after {READY_LIMIT_S} s: {program.last_words()}")


def free_port() -> int:
    """Return a TCP port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def fetch(url: str, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    """Return status and content of one answer."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_LIMIT_S)
    with closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
