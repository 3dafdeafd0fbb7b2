"""`make bench-costly`: requests that ask for most in fewest bytes -> what each costs the server.

Each is sent alone, and the worst in bursts: with `--attacks` of all that `scripts.attacks` makes
for some routes. A process beside it asks for /livez all the time: the longest that it waits is the
longest for which nobody is answered. Beside bursts another one sends short texts: how much longer
99 % of them take at most. A right answer is one within the price, or a refusal; in a burst also the
word to come later.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks import cloze
from benchmarks.harness import names, require_known
from benchmarks.load.latencies import percentile
from benchmarks.machine import conditions, core_list, leave
from benchmarks.subjects import ANSWER_LIMIT_S, Server, Subject, fetch, running
from scripts.attacks import NAMED, ROUTES, SOCKETS, Request, of_route

PAUSE_S = 0.002  # between two questions whether the server lives
MOST_STALL_S, MOST_MB = 0.02, 67.1  # of one attack: 20 ms, and 64 MiB
REPEATS, WORST = 3, 10  # of one that seems to be beyond that, as other programs add to it; shown
WINDOW_S = 5  # of short texts, in which a burst comes
SHORT = b'{"inputs": "Paris is the [MASK] of France."}'
HEAD = "| sent | bytes | answers | tokens | ms | stall, ms | ms/KB | CPU, s | ms/KB | MB |"
RULE = "|---" * HEAD[1:].count("|") + "|"
BURST_HEAD = f"{HEAD} short texts' p99, ms | alone | ratio |\n{RULE}{'---|' * 3}"
HEAD += f"\n{RULE}"


Outcomes = Sequence[tuple[int, int]]  # status, 0 where no answer came, and tokens computed


class Toll(NamedTuple):
    """What a request took, or a burst of them; the last three are figures of the server."""

    outcomes: Outcomes
    seconds: float
    stall_s: float
    cpu_s: float
    peak_mb: float


async def send(address: tuple[str, int], request: bytes) -> tuple[int, int]:
    """Send it on a connection of its own, and read the answer to its end."""
    status = tokens = 0
    with suppress(OSError):  # closed or reset; a time-out is one too
        async with asyncio.timeout(ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request)
            head = await reader.read(1 << 16)
            status = int(head.split()[1]) if head else 0
            tokens = int(head.partition(b"x-compute-tokens: ")[2].partition(b"\r")[0] or 0)
            while await reader.read(1 << 20):
                pass
            writer.close()
    return status, tokens


def watch(address: tuple[str, int], worst: Any, asked: Any) -> None:
    """Ask whether the server lives, for ever; note the longest wait, and how often it was asked."""
    with suppress(PermissionError):
        os.nice(-10)
    connection = HTTPConnection(*address)
    while True:
        begun = time.perf_counter()
        connection.request("GET", "/livez")
        connection.getresponse().read()
        worst.value = max(worst.value, time.perf_counter() - begun)
        asked.value += 1
        time.sleep(PAUSE_S)


def chat(address: tuple[str, int], path: str, asking: Any, taken: Any, count: Any) -> None:
    """Send short texts while it is asked to, for ever; note how long each took."""
    connection = HTTPConnection(*address)
    while asking.wait():
        begun = time.perf_counter()
        connection.request("POST", path, SHORT, {"content-type": "application/json"})
        connection.getresponse().read()
        taken[count.value] = time.perf_counter() - begun
        count.value += 1


class Attacker:
    """Sends requests to a server, each when those before are over."""

    def __init__(self, server: Subject) -> None:
        if not isinstance(server, Server):
            raise TypeError(f"expected a server, found {type(server).__name__}")
        self.url, self._program = server.url, server.program
        self._address = urlsplit(server.url).hostname or "", urlsplit(server.url).port or 80
        self._worst, self._asked = (multiprocessing.Value("d", 0.0) for _ in range(2))
        self._calm_s = self._rate = 0.0
        self._asking, self._count = multiprocessing.Event(), multiprocessing.Value("l", 0)
        self._taken = multiprocessing.Array("d", 10_000, lock=False)
        watcher = (self._address, self._worst, self._asked)
        path = f"{path_to(self.url, '/fill-mask')}/fill-mask"
        chatter = (self._address, path, self._asking, self._taken, self._count)
        multiprocessing.Process(target=watch, args=watcher, daemon=True).start()
        multiprocessing.Process(target=chat, args=chatter, daemon=True).start()
        self.toll(next(iter(NAMED.values())))  # whatever is done once is done now
        calm = [self._toll(lambda: asyncio.sleep(0.2, [])) for _ in range(15)]
        self._calm_s = statistics.median(toll.stall_s for toll in calm)
        self._rate = statistics.mean(toll.cpu_s / toll.seconds for toll in calm)
        print(f"- unattacked: {self._calm_s * 1000:.1f} ms, {self._rate:.2f} cores\n")

    def toll(self, request: Request, times: int = 1) -> Toll:
        """What so many at once take; of one that seems to take too much the median of a few."""
        act = partial(self._send, request, times)
        tolls = [self._toll(act)]
        if times == 1 and (tolls[0].stall_s > MOST_STALL_S or tolls[0].peak_mb > MOST_MB):
            tolls += [self._toll(act) for _ in range(REPEATS - 1)]
        figures = zip(*[toll[1:] for toll in tolls], strict=True)
        return Toll(tolls[0].outcomes, *map(statistics.median, figures))

    def beside(self, request: Request) -> tuple[float, float]:
        """The p99 of short texts in milliseconds, beside a burst and alone."""
        return self._p99(partial(self._send, request, request.burst)), self._p99(
            lambda: asyncio.sleep(0)
        )

    def _p99(self, act: Callable[[], Any]) -> float:
        self._count.value, until = 0, time.monotonic() + WINDOW_S
        self._asking.set()
        asyncio.run(act())
        time.sleep(max(0.0, until - time.monotonic()))
        self._asking.clear()
        return percentile(sorted(self._taken[: self._count.value]), 0.99) * 1000

    async def _send(self, request: Request, times: int) -> Outcomes:
        return await asyncio.gather(*[send(self._address, request.bytes) for _ in range(times)])

    def _toll(self, act: Callable[[], Any]) -> Toll:
        held = self._program.peak_mb(forget=True)
        self._worst.value, begun, spent = 0.0, time.perf_counter(), self._program.cpu_s()
        outcomes = asyncio.run(act())
        seconds, asked = time.perf_counter() - begun, self._asked.value
        while self._asked.value < asked + 2:  # the answer that is waited for now, and one more
            self._program.require_running()
            time.sleep(PAUSE_S)
        spent = self._program.cpu_s() - spent - self._rate * (time.perf_counter() - begun)
        stall, peak = max(0.0, self._worst.value - self._calm_s), self._program.peak_mb() - held
        return Toll(outcomes, seconds, stall, max(0.0, spent), peak)


def path_to(url: str, route: str) -> str:
    """Where a model is that answers a route: the default one if it does."""
    if route.startswith("/v1"):
        return ""
    info = json.loads(fetch(url, "GET", "/info")[1])
    paths = [f"/models/{name}" for name in (info["model"], *info["models"])]
    infos = ((path, json.loads(fetch(url, "GET", f"{path}/info")[1])) for path in paths)
    return next(path for path, info in infos if route in info["tasks"])


def made_for(url: str, routes: Sequence[str]) -> Iterator[tuple[str, Request]]:
    """All attacks on some routes."""
    for route in routes:
        made = (
            SOCKETS.items() if route == "sockets" else of_route(route, path_to(url, route) + route)
        )
        yield from made


def report(attacker: Attacker, made: Iterable[tuple[str, Request]]) -> Iterator[str]:
    """What each took, what took most for its bytes, and bursts of that; of few of all."""
    sent = []
    yield HEAD
    for name, request in made:
        sent.append((name, request, attacker.toll(request)))
        yield row(*sent[-1])
    worst = {name: request for name, request, _ in sent[: len(NAMED)]}
    if len(sent) > len(NAMED):
        worst.clear()
        for figure in ("stall_s", "cpu_s", "peak_mb"):
            largest = max(sent, key=lambda one: getattr(one[2], figure))
            sent.sort(key=lambda one: -getattr(one[2], figure) / len(one[1].bytes))
            worst |= {name: request for name, request, _ in (largest, *sent[: WORST // 3])}
            yield f"\nof {len(sent)}, those of most {figure} for their bytes:\n\n{HEAD}"
            yield from [row(*one) for one in sent[:WORST]]
    yield f"\nbursts:\n\n{BURST_HEAD}"
    for name, request in worst.items():
        burst = row(f"{request.burst} × {name}", request, attacker.toll(request, request.burst))
        beside, alone = attacker.beside(request)
        yield f"{burst} {beside:.1f} | {alone:.1f} | {beside / alone:.1f} |"


def row(name: str, request: Request, toll: Toll) -> str:
    """A line of the table."""
    kb, statuses = len(request.bytes) / 1000, Counter(status for status, _ in toll.outcomes)
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    alone = len(toll.outcomes) == 1
    right = request.right | (set() if alone else {429})
    wrong = "" if set(statuses) <= right else " WRONG"
    fell = "FELL " if alone and (toll.stall_s > MOST_STALL_S or toll.peak_mb > MOST_MB) else ""
    tokens, stall, cpu = sum(n for _, n in toll.outcomes), toll.stall_s * 1000, toll.cpu_s * 1000
    return (
        f"| {fell}{name} | {kb * 1000:,.0f} | {answers}{wrong} | {tokens:,} | "
        f"{toll.seconds * 1000:.0f} | {stall:.1f} | {stall / kb:.2f} | {toll.cpu_s:.2f} | "
        f"{cpu / kb:.2f} | {toll.peak_mb:+.0f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m scripts.costly", description=__doc__)
    add, known = parser.add_argument, (*ROUTES, "sockets")
    add("--only", type=names, default=tuple(NAMED), help=f"of: {', '.join(NAMED)}")
    add("--attacks", type=names, help=f"instead of these; on: {', '.join(known)}")
    add("--models", type=Path, default=cloze.DEFAULT_MODEL.parent, help="folder of model folders")
    add("--cores", type=core_list, default=[0, 1], help="of the server")
    options = parser.parse_args()
    require_known("--only", options.only, NAMED)
    require_known("--attacks", options.attacks or (), known)
    leave(options.cores)
    print("\n".join(f"- {name}: {value}" for name, value in conditions(options.cores).items()))
    spec = cloze.server("cloze", "--models", str(options.models))
    with (
        TemporaryDirectory() as logs,
        running(spec, options.cores, Path(logs)) as server,
        server.awake(),
    ):
        attacker, chosen = Attacker(server), [(name, NAMED[name]) for name in options.only]
        made = made_for(attacker.url, options.attacks) if options.attacks else chosen
        for line in report(attacker, made):
            print(line, flush=True)


if __name__ == "__main__":
    main()
