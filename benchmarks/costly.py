"""`make bench-costly`: requests that ask for most in fewest bytes -> what each costs the server.

Each is sent alone, and then in a burst beside a client of short requests, whose latency is measured
without and with them. A right answer is an answer within the price, or a refusal.
"""

import argparse
import asyncio
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from urllib.parse import urlsplit

from benchmarks import cloze
from benchmarks.harness import names, require_known
from benchmarks.load.latencies import LatencySummary
from benchmarks.load.offer import Stream, offer
from benchmarks.machine import conditions, core_list, leave
from benchmarks.programs import Program
from benchmarks.subjects import Server, running

MASK = "[MASK] "
SHORT = ("/fill-mask", '{"inputs": "Paris is the [MASK] of France."}')
WARM_S, LEAD_S = 0.2, 0.5  # before the short client is measured, and before a burst beside it
SAMPLE_S = 0.02  # between two looks at the server's memory
ANSWER_LIMIT_S = 120


@dataclass(frozen=True)
class Costly:
    """One request, how often it is sent at a time, and which answers to it are right."""

    path: str
    body: bytes
    right: frozenset[int]
    burst: int = 50
    timeout_ms: int | None = None

    @property
    def bytes(self) -> bytes:
        """The request as it goes over the wire; the server closes the connection after it."""
        head = f"POST {self.path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        if self.timeout_ms:
            head += f"x-request-timeout-ms: {self.timeout_ms}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        return head.encode() + self.body


def fill(inputs: object, **parameters: object) -> bytes:
    """The body of a fill-mask request."""
    body = {"inputs": inputs, "parameters": parameters}
    return json.dumps(body, separators=(",", ":")).encode()


def words(count: int) -> list[str]:
    """Words of several word pieces each, no two alike."""
    return [f"qz{number}x" for number in range(count)]


OK, REFUSED, FULL = frozenset({200}), frozenset({422}), frozenset({429})
LATE = frozenset({408, 504})
TEXTS = json.dumps({"inputs": ["a fairly usual text of some words " * 110] * 500}).encode()

REQUESTS = {
    "200 masks x 200 words": Costly("/fill-mask", fill(MASK * 200, targets=words(200)), REFUSED),
    "508 masks x 1000 words": Costly("/fill-mask", fill(MASK * 508, targets=words(1000)), REFUSED),
    "255 masks x words of 255 pieces": Costly(
        "/fill-mask", fill(MASK * 255, targets=["!" * 255, "?" * 255]), REFUSED
    ),
    "333 masks x a word of 100 KB": Costly(
        "/fill-mask", fill(MASK * 333, targets=["a!" * 50_000]), REFUSED
    ),
    "64 texts x 1000 words": Costly("/fill-mask", fill([MASK] * 64, targets=words(1000)), REFUSED),
    "512 lists of words": Costly(
        "/fill-mask", fill(["[MASK]"] * 512, targets=[["a", "b"] * 450] * 512), REFUSED
    ),
    "50 masks x top_k 200": Costly("/fill-mask", fill(MASK * 50, top_k=200), OK),
    "508 masks x top_k 1000": Costly("/fill-mask", fill(MASK * 508, top_k=1000), REFUSED),
    "17000 blanks": Costly("/embed", json.dumps({"inputs": "a" + " " * 17_000 + "b"}).encode(), OK),
    "17000 newlines": Costly(
        "/fill-mask", fill("Paris is the [MASK]" + "\n" * 17_000 + "of France."), OK
    ),
    "17000 emoji": Costly(
        "/embed", json.dumps({"inputs": "\U0001f600" * 17_000}).encode(), OK | REFUSED
    ),
    "2 MB to tokenize": Costly(
        "/tokenize", json.dumps({"inputs": ["!" * 16_000] * 120}).encode(), REFUSED
    ),
    "2 MB lists in 1 ms": Costly("/embed", TEXTS, LATE, burst=500, timeout_ms=1),
    "2 MB lists": Costly("/embed", TEXTS, REFUSED),
}


@dataclass(frozen=True)
class Outcome:
    """What became of one request."""

    status: int
    seconds: float
    size: int


async def send(address: tuple[str, int], request: bytes) -> Outcome:
    """Send one request on a connection of its own; status 0 where none came."""
    begun = time.perf_counter()
    status = size = 0
    writer = None
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request)
            head = await reader.readline()
            status = int(head.split()[1]) if head else 0
            size = len(head)
            while part := await reader.read(1 << 20):
                size += len(part)
    except OSError:  # closed or reset; a time-out is one too
        pass
    finally:
        if writer is not None:
            writer.close()
    return Outcome(status, time.perf_counter() - begun, size)


class Burst:
    """Sends a request so many times at once, on connections of their own."""

    def __init__(self, url: str, costly: Costly) -> None:
        self._address = address_of(url)
        self._costly = costly
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.sleep(WARM_S + LEAD_S)
        request = self._costly.bytes
        burst = [send(self._address, request) for _ in range(self._costly.burst)]
        self.outcomes = await asyncio.gather(*burst)


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


@contextmanager
def peak_memory(program: Program) -> Iterator[list[float]]:
    """Gather the memory of a program, in 10^6 bytes, for as long as this is open."""
    seen = [program.memory_mb()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            seen.append(program.memory_mb())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def short_client(server: Server, seconds: float) -> LatencySummary:
    """A client that has one short request under way all the time."""
    offered = offer(server.url, {"short": Stream([SHORT])}, warm_s=WARM_S, seconds=seconds)
    return offered.streams["short"]


def alone(server: Server, costly: Costly) -> str:
    """Send it by itself, three times: status, time and size of the answer, memory that it took."""
    address = address_of(server.url)
    with peak_memory(server.program) as memory:
        outcomes = [asyncio.run(send(address, costly.bytes)) for _ in range(3)]
    statuses = {outcome.status for outcome in outcomes}
    spent = statistics.median(outcome.seconds for outcome in outcomes)
    return (
        f"{marked(statuses, costly)} | {spent * 1000:.1f} | {outcomes[0].size:,} | "
        f"{max(memory) - memory[0]:+.0f}"
    )


def beside(server: Server, costly: Costly, seconds: float) -> str:
    """Send a burst of it beside a client of short requests."""
    before = short_client(server, seconds)
    with peak_memory(server.program) as memory, Burst(server.url, costly) as burst:
        during = short_client(server, seconds)
    statuses = Counter(outcome.status for outcome in burst.outcomes)
    shown = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    ratio = during.p99_ms / before.p99_ms
    right = costly.right | FULL  # come later
    wrong = "" if set(statuses) <= right else " WRONG"
    return (
        f"{shown}{wrong} | {before.p99_ms:.1f} | {during.p99_ms:.1f} | {ratio:.1f} | "
        f"{max(memory) - memory[0]:+.0f}"
    )


def marked(statuses: set[int], costly: Costly) -> str:
    """Statuses, and whether one is not a right answer."""
    shown = ", ".join(map(str, sorted(statuses)))
    return shown if statuses <= costly.right else f"{shown} WRONG"


def report(server: Server, chosen: Sequence[str], seconds: float) -> Iterator[str]:
    """The table, line by line as it is measured."""
    yield (
        "| request | its bytes | alone: status | ms | answer, bytes | MB | beside: answers | "
        "p99 without, ms | p99 with | ratio | MB |"
    )
    yield "|---" * 11 + "|"
    for name in chosen:
        costly = REQUESTS[name]
        first = alone(server, costly)
        yield f"| {name} | {len(costly.body):,} | {first} | {beside(server, costly, seconds)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costly", description=__doc__)
    add = parser.add_argument
    add("--only", type=names, default=tuple(REQUESTS), help=f"of: {', '.join(REQUESTS)}")
    add(
        "--seconds",
        type=float,
        default=5.0,
        help="of the short client, beside which a burst is sent",
    )
    add("--cores", type=core_list, default=[0, 1], help="of the server")
    options = parser.parse_args()
    require_known("--only", options.only, REQUESTS)
    leave(options.cores)
    for name, value in conditions(options.cores).items():
        print(f"- {name}: {value}")
    with ExitStack() as stack:
        logs = Path(stack.enter_context(TemporaryDirectory()))
        subject = stack.enter_context(running(cloze.server("cloze"), options.cores, logs))
        if not isinstance(subject, Server):
            raise TypeError(f"expected a server, found {type(subject).__name__}")
        with subject.awake():
            for line in report(subject, options.only, options.seconds):
                print(line, flush=True)


if __name__ == "__main__":
    main()
