"""Rows 13 to 16: a server that is ended, replaced, killed, or runs for long."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.acceptance.clients import ask, request, resident_mib
from tests.acceptance.conftest import Reached
from tests.acceptance.faults import FaultyServer
from tests.acceptance.test_load import CRAWL, crawler
from tests.asking import BODY, Client, asking, refused
from tests.conftest import Serve
from tests.deploy.proxies import free_ports, haproxy, nginx
from tests.running_server import RunningServer
from tests.server.process.test_supervisor import serving

slow = pytest.mark.slow

# --- 13 -----------------------------------------------------------------------------------------

CLIENTS = 200
IDLE = 20


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel cannot be told to wait")
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=slow)])
def test_13_sigterm_under_load(
    serve: Serve, default_model: Path, reached: Reached, rounds: int
) -> None:
    """SIGTERM under 200 concurrent requests plus idle-then-send connections: 0 failed, exit 0 in
    < 30 s.
    """
    answers, lost, codes, took, late = 0, Counter[str](), [], [], []
    for _ in range(rounds):
        server = serve(default_model)
        crowd = [Client(server.port, number % 2 == 0, 0.0) for number in range(CLIENTS)]
        with asking(crowd) as asked, ExitStack() as stack:
            idle = [stack.enter_context(server.connect()) for _ in range(IDLE)]
            time.sleep(1)
            begun = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            sent = request("/tokenize", BODY)
            for connection in idle:
                connection.sendall(sent)
            late += [connection.recv(12)[9:] for connection in idle]
            codes.append(server.process.wait(60))
            took.append(time.monotonic() - begun)
            assert refused(server.port)
        answers += asked.answers[200]
        lost.update(asked.failed)
    reached(
        f"{rounds} ends under {CLIENTS} clients: {answers} answered, {lost.total()} failed; "
        f"{sum(status == b'200' for status in late)} of {len(late)} idle connections that sent "
        f"afterwards answered; exit {sorted(set(codes))} within {max(took):.1f} s",
        lost.total() == 0,
        set(late) == {b"200"},
        set(codes) == {0},
        max(took) < 30,
        answers > rounds * CLIENTS,
    )


@pytest.mark.parametrize(
    "drain", [{"drain_delay_s": 0.5, "drain_timeout_s": 4}, pytest.param({}, marks=slow)]
)
def test_13_sigterm_with_slow_sockets_and_a_stuck_batch(
    faulty: Callable[..., FaultyServer], reached: Reached, drain: dict[str, float]
) -> None:
    """With 50 slow sockets and a stuck batch: exits in < 30 s."""
    planted = faulty(**drain)
    server = planted.server
    planted.plant("held")
    slow_ones = [crawler(server.port, list(CRAWL)[number % 3]) for number in range(50)]
    with server.connect() as stuck:
        stuck.sendall(request("/embed", {"inputs": "a"}))
        server.wait_until_busy()
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
        took = time.monotonic() - begun
        answer = stuck.recv(12)[9:].decode()
    for connection in slow_ones:
        connection.close()
    reached(
        f"{f'with {drain}' if drain else 'default settings'}: exit {code} after {took:.1f} s, the "
        f"stuck request answered with {answer}",
        took < 30,
        code == 0,
        answer == "503",
    )


# --- 14 -----------------------------------------------------------------------------------------

# What docs/deploy.md advises; nginx asks nobody beforehand, and needs no time to notice.
SETTINGS: dict[str, dict[str, object]] = {
    "nginx": {"while_loading": "refuse", "drain_delay_s": 0.5},
    "haproxy": {"while_loading": "answer"},
}
START = {"nginx": nginx, "haproxy": haproxy}
NOTICED_S = {"nginx": 0.2, "haproxy": 2.0}  # HAProxy asks every second who is ready


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=slow)])
@pytest.mark.parametrize("proxy", START)
def test_14_rolling_replacement(
    serve: Serve, default_model: Path, tmp_path: Path, reached: Reached, proxy: str, rounds: int
) -> None:
    """Rolling replacement of two instances behind a real proxy (nginx or HAProxy from Debian) under
    load, ten times: 0 failed.
    """
    ports = free_ports(2)
    options: dict[str, object] = {"threads": 1, **SETTINGS[proxy]}
    servers = [serve(default_model, port=port, **options) for port in ports]
    with START[proxy](tmp_path, ports) as front:
        kinds = (Client(front.port, keeps, 0.05, "/fill-mask") for keeps in (False, True))
        with asking([kind for kind in kinds for _ in range(6)]) as asked:
            for _ in range(rounds):
                for index, port in enumerate(ports):
                    assert servers[index].terminate() == 0
                    servers[index] = serve(default_model, port=port, **options)
                    time.sleep(NOTICED_S[proxy])
    for server in servers:
        server.kill()
    reached(
        f"{proxy}: both replaced {rounds} times, {asked.answers[200]} answered, failed: "
        f"{asked.failed or 0}",
        asked.failed == {},
        asked.answers[200] > 100 * rounds,
    )


# --- 15 -----------------------------------------------------------------------------------------


def ready_s(server: RunningServer, killed: list[int]) -> float:
    """Kills processes; how long it takes until as many others serve, and all say so."""
    begun = time.monotonic()
    for process in killed:
        os.kill(process, signal.SIGKILL)
    while time.monotonic() < begun + 60:
        try:
            now = serving(server)
            ready = len(now) == 2 and not set(now) & set(killed)
            ready = ready and httpx.get(f"{server.url}/readyz", timeout=1).is_success
            if ready and server.metric("cloze_processes") == 2:
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=slow)])
def test_15_kill_9_under_load(
    serve: Serve, default_model: Path, reached: Reached, rounds: int
) -> None:
    """kill -9 under load, restarted by its supervisor: ready in < 20 s."""
    server = serve(default_model, processes=2, threads=1)
    one = []
    with asking([Client(server.port, False, 0.02, "/fill-mask")] * 8) as asked:
        for _ in range(rounds):
            one.append(ready_s(server, serving(server)[:1]))
            time.sleep(1)
        both = ready_s(server, serving(server))
    code = server.terminate()
    reached(
        f"one of two processes: ready after {max(one):.1f} s (worst of {rounds}), "
        f"both at once: {both:.1f} s; {asked.answers[200]} answered meanwhile; exit {code}",
        max(*one, both) < 20,
        asked.answers[200] > 0,
        code == 0,
    )


# --- 16 -----------------------------------------------------------------------------------------

MIXED = [
    request("/fill-mask", {"inputs": "Paris is the [MASK] of France."}),
    request("/embed", {"inputs": ["A river runs through it.", "word " * 300]}),
    request("/embed", {"inputs": ["word " * (3 * number) for number in range(1, 40)]}),
    request("/nsp", {"inputs": [["The train was late.", "We waited."]] * 3}),
    request("/tokenize", {"inputs": "a b c " * 100}),
    request("/fill-mask", {"inputs": "no mask"}),
    request("/embed", {"inputs": ["", 1, None]}),
    request("/embed", b'{"inputs": "\\ud800"}'),
    request("/embed", b"[" * 5000),
    request("/nothing", b""),
    request("/embed", {"inputs": "late " * 400}, "x-request-timeout-ms: 1"),
    b"nonsense\r\n\r\n",
]


def slope_mib_per_hour(samples: list[tuple[float, float]]) -> float:
    """The median of the slopes between all samples, in which single steps do not count.

    >>> slope_mib_per_hour([(0, 5.0), (1800, 6.0), (3600, 7.0)])
    2.0
    """
    times, sizes = np.array(samples).T
    first, second = np.triu_indices(len(samples), 1)
    return float(np.median((sizes[second] - sizes[first]) / (times[second] - times[first])) * 3600)


def soak(
    server: RunningServer, warm_s: float, seconds: float, warm_requests: int = 0
) -> tuple[float, int, float]:
    """The slope of resident memory under mixed load, how many requests, and memory at the end.

    It is watched for so many `seconds` from when both the time and the requests to warm are past:
    what settles does so by requests, of which a busy machine answers few.
    """
    samples: list[tuple[float, float]] = []
    count = 0
    warm, over = asyncio.Event(), asyncio.Event()

    async def client(number: int) -> None:
        nonlocal count
        for each in itertools.cycle([*MIXED[2 * number :], *MIXED[: 2 * number]]):
            if over.is_set():
                return
            await ask(server.port, each)
            count += 1
            if count >= warm_requests:
                warm.set()

    async def watch() -> None:
        await asyncio.sleep(warm_s)
        await warm.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            samples.append((time.monotonic(), resident_mib(server.process.pid)))
            await asyncio.sleep(seconds / 1000)
        over.set()

    async def run() -> None:
        async with asyncio.timeout(warm_s + seconds + 300):
            await asyncio.gather(watch(), *map(client, range(6)))

    asyncio.run(run())
    return slope_mib_per_hour(samples), count, samples[-1][1]


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize(
    ("warm_s", "seconds"),
    [(6, 8), pytest.param(600, float(os.environ.get("SOAK_S", "300")), marks=slow)],
)
def test_16_soak(
    faulty: Callable[..., FaultyServer], reached: Reached, warm_s: float, seconds: float
) -> None:
    """Soak (2 h in the long suite, 5 min in the short one), mixed lengths and bad input: resident
    slope < 1 MiB/h after warm-up; a planted leak must fail the test.
    """
    planted = faulty(threads=2)
    slope, count, resident = soak(planted.server, warm_s, seconds, warm_requests=1_000)
    leak, leak_s = (65_536, 6.0) if seconds < 60 else (512, 60.0)  # bytes of each batch
    planted.plant("leak", leak)
    leaking, _, _ = soak(planted.server, 1, leak_s)
    told = (
        f"{seconds:.0f} s, {count} requests, {resident:.0f} MiB: slope {slope:+.2f} MiB/h; "
        f"{leak:,} bytes leaked a batch: {leaking:+.0f} MiB/h"
    )
    if seconds < 60:
        # Memory still settles in the first seconds, by more than the bar; a leak stands out.
        reached(f"{told}; too short for the bar: the leak is told", leaking > 3 * max(slope, 1))
    else:
        reached(told, slope < 1, leaking > 20)
