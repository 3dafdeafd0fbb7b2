"""Rows 7 to 12: more clients, work and faults than the server can serve, and who notices."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from benchmarks.load.latencies import LatencySummary
from benchmarks.load.offer import Post, Stream, offer
from server.inference.runtime.cores import available_cores
from tests.acceptance.clients import Answer, ask, ask_all, files_of, p99, probing, request
from tests.acceptance.conftest import Reached
from tests.acceptance.faults import POISON, FaultyServer
from tests.conftest import Serve
from tests.running_server import RunningServer
from tests.server.http.test_disconnect import BUSY_TEXTS, kept_busy

QUESTION: Post = ("/fill-mask", '{"inputs": "Paris is the [MASK] of France."}')
# So much at a time that the generator, on the same cores, has little to do.
LIST: Post = ("/embed", json.dumps({"inputs": ["a fairly usual text of some words " * 6] * 64}))
ROUNDS = 3


def closed_loop(url: str, post: Post, connections: int, seconds: float) -> LatencySummary:
    """Clients that each wait for their answer, and ask again."""
    streams = {"only": Stream([post], connections)}
    return offer(url, streams, warm_s=0.5, seconds=seconds).streams["only"]


# --- 7 ------------------------------------------------------------------------------------------

SLOW = 500
CRAWL: dict[str, tuple[bytes, bytes]] = {  # what is sent at once, and then each second
    "header": (b"GET /livez HTTP/1.1\r\nhost: x\r\na: ", b"a"),
    "body": (b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n", b" "),
    "read": (b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n", b""),
}


def crawler(port: int, kind: str) -> socket.socket:
    """A connection of a client that takes its time, and has hardly room for an answer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", port))
    connection.sendall(CRAWL[kind][0])
    connection.setblocking(False)
    return connection


@contextmanager
def crawling(port: int) -> Iterator[None]:
    """Keeps slow clients of each kind going, as long as they are let."""
    kinds = [list(CRAWL)[number % len(CRAWL)] for number in range(SLOW)]
    connections = [crawler(port, kind) for kind in kinds]
    stop = threading.Event()

    def crawl() -> None:
        for turn, (kind, connection) in cycle(enumerate(zip(kinds, connections, strict=True))):
            # Nobody's clients keep time with each other: so many a second, one after the other.
            if turn % 10 == 0 and stop.wait(10 / SLOW):
                return
            with suppress(OSError):
                connection.send(CRAWL[kind][1])
                connection.recv(100 if kind == "read" else 1)

    thread = threading.Thread(target=crawl)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for connection in connections:
            connection.close()


@pytest.mark.alone
def test_07_slow_clients(serve: Serve, default_model: Path, reached: Reached) -> None:
    """500 slow clients (header, body, read): a good client's p99 ≤ 2 × its baseline; the sockets
    are gone in 15 s.
    """
    server = serve(default_model)
    process = server.process.pid
    before = files_of(process)

    def good_client() -> float:
        return closed_loop(server.url, QUESTION, 1, 2.5).p99_ms

    baseline = statistics.median(good_client() for _ in range(ROUNDS))
    with crawling(server.port):
        begun = time.monotonic()
        beside, alive = [], []
        while files_of(process) < before + SLOW and time.monotonic() < begun + 3:
            time.sleep(0.01)
        for _ in range(ROUNDS):
            alive.append(files_of(process) - before)
            beside.append(good_client())
        while files_of(process) > before and time.monotonic() < begun + 30:
            time.sleep(0.05)
        gone = time.monotonic() - begun
    slow = statistics.median(beside)
    server.kill()
    reached(
        f"p99 {slow:.1f} ms beside {alive[0]}, {alive[1]} and {alive[2]} slow clients, "
        f"{baseline:.1f} ms without: {slow / baseline:.2f} ×; all sockets gone after "
        f"{gone:.1f} s",
        alive[0] == SLOW,
        slow <= 2 * baseline,
        gone <= 15,
    )


# --- 8 ------------------------------------------------------------------------------------------

DEADLINE_S = 30.0  # of a request that names none
PEAK_S = 8.0
# A full queue holds some 20 lists. A shared machine's speed changes within seconds, so the peak is
# what is answered in between, when nothing is offered and the queue is not empty yet. In lists:
FILLS, DRAINS = 10, 10


@contextmanager
def more_lists(port: int) -> Iterator[list[Answer]]:
    """A few more clients, whose answers are looked at."""
    stop, answers = threading.Event(), list[Answer]()

    def look() -> None:
        while not stop.wait(0.5):
            answers.append(asyncio.run(ask(port, request(LIST[0], LIST[1].encode()))))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def counting(server: RunningServer) -> Iterator[list[tuple[float, float]]]:
    """Notes all the while how many texts have been computed, and when."""
    stop, counts = threading.Event(), list[tuple[float, float]]()

    def count() -> None:
        while not stop.wait(0.25):
            counts.append((time.perf_counter(), server.metric("cloze_items_total")))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join()


def rate_between(counts: Sequence[tuple[float, float]], begins: float, ends: float) -> float:
    """Texts a second."""
    times, texts = zip(*counts, strict=True)
    before, after = np.interp([begins, ends], times, texts)
    return float(after - before) / (ends - begins)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("seconds", "turns"), [(8, 7), pytest.param(60, 3, marks=pytest.mark.slow)]
)
def test_08_overload(
    serve: Serve, default_model: Path, reached: Reached, seconds: int, turns: int
) -> None:
    """Five times capacity for 60 s: goodput ≥ 90 % of peak, the rest 429 with Retry-After, accepted
    p99 ≤ the deadline; probes answer with p99 < 100 ms.
    """
    server = serve(default_model)
    one = 1 / closed_loop(server.url, LIST, 4, PEAK_S).rate
    turn = seconds + DRAINS * one
    lists = range(math.ceil(5 * seconds / one))
    due = [turn * own + number * one / 5 for own in range(turns) for number in lists]
    offering = {"only": Stream([LIST], due_s=due)}
    watched = probing(server.port), more_lists(server.port), counting(server)
    with watched[0] as probes, watched[1] as looked_at, watched[2] as counts:
        whole = offer(server.url, offering, warm_s=FILLS * one, seconds=turn * turns - FILLS * one)
    server.kill()
    offered = whole.streams["only"]
    begins = [whole.began + turn * own for own in range(turns)]
    goodput = [rate_between(counts, at + FILLS * one, at + seconds) for at in begins]
    peak = [rate_between(counts, at + seconds, at + turn) for at in begins]
    shares = [good / most for good, most in zip(goodput, peak, strict=True)]
    share = statistics.mean(goodput) / statistics.mean(peak)
    refused = [answer for answer in looked_at if answer.status == 429]
    probed = p99(probes)
    reached(
        f"{statistics.mean(goodput):.0f} texts answered a second, {share:.0%} of peak "
        f"({min(shares):.0%} to {max(shares):.0%} in {turns} turns of {seconds} s), "
        f"{offered.refused} lists of 64 refused, {offered.failed} failed; accepted p99 "
        f"{offered.p99_ms / 1000:.1f} s (deadline {DEADLINE_S:.0f} s); probes p99 "
        f"{probed * 1000:.0f} ms; Retry-After on all of {len(refused)} looked at",
        share >= 0.9,
        offered.failed == 0,
        offered.refused > 2 * offered.answers,
        offered.p99_ms <= DEADLINE_S * 1000,
        probed < 0.1,
        len(refused) > 0,
        all(b"retry-after: " in answer.head for answer in refused),
        {answer.status for answer in looked_at} <= {200, 429},
    )


# --- 9 and 10 -----------------------------------------------------------------------------------

AHEAD, EXPIRING = 150, 150


@pytest.fixture(scope="module")
def one_worker(serve: Serve, default_model: Path) -> RunningServer:
    """A server that has room for much more than its only worker can do in time."""
    return serve(default_model, threads=1, queue_tokens=1_000_000, default_timeout_s=60)


def test_09_deadlines_in_a_full_queue(one_worker: RunningServer, reached: Reached) -> None:
    """Deadline 100 ms with a full queue: 0 expired items reach the session (counter)."""
    counters = ("cloze_items_total", "cloze_expired_total", "cloze_queued_items")
    before = [one_worker.metric(name) for name in counters]
    long = {"inputs": "word " * 400}
    with ThreadPoolExecutor(1) as others:
        ahead = others.submit(ask_all, one_worker.port, [request("/embed", long)] * AHEAD)
        one_worker.wait_until("cloze_queued_items", lambda count: count > AHEAD * 0.9)
        sent = request("/embed", long, "x-request-timeout-ms: 100")
        answers = ask_all(one_worker.port, [sent] * EXPIRING)
        assert {answer.status for answer in ahead.result()} == {200}
    items, expired, queued = (
        one_worker.metric(name) - then for name, then in zip(counters, before, strict=True)
    )
    statuses = Counter(answer.status for answer in answers)
    # One whose deadline passed before it was queued has no item there to expire.
    computed = items - AHEAD
    reached(
        f"{computed:.0f} of {EXPIRING} expired items computed; {expired:.0f} dropped from the "
        f"queue; answers: {dict(statuses)}",
        computed == 0,
        0 < expired <= statuses[504],
        statuses[504] + statuses[408] == EXPIRING,
        queued == 0,
    )


DEPARTED = 1000


def test_10_disconnects(one_worker: RunningServer, reached: Reached) -> None:
    """1,000 disconnects while queued: ≥ 95 % never computed; the queue gauge returns to 0."""
    before = one_worker.metric("cloze_items_total")
    sent = request("/embed", {"inputs": "word " * 300})
    with kept_busy(one_worker):
        connections = [one_worker.connect() for _ in range(DEPARTED)]
        for connection in connections:
            connection.sendall(sent)
        for connection in connections:
            connection.close()
    one_worker.wait_until("cloze_reserved_tokens", lambda held: held == 0)
    computed = one_worker.metric("cloze_items_total") - before - BUSY_TEXTS
    queued = one_worker.metric("cloze_queued_items")
    reached(
        f"{1 - computed / DEPARTED:.1%} never computed; {queued:.0f} queued afterwards",
        computed <= 0.05 * DEPARTED,
        queued == 0,
    )


# --- 11 and 12 ----------------------------------------------------------------------------------


def vector(answer: Answer) -> np.ndarray:
    """The vector of one text."""
    return np.array(json.loads(answer.body)[0])


def test_11_one_poisonous_input(faulty: Callable[..., FaultyServer], reached: Reached) -> None:
    """One poisonous input among 32: 31 answers equal a clean run, 1 × 500."""
    planted = faulty(threads=1, intra_op=available_cores())  # which run one batch
    server = planted.server
    texts = [f"text number {number} of these" for number in range(31)]
    sent = [request("/embed", {"inputs": text}) for text in (*texts, f"a {POISON} among them")]
    clean = [vector(answer) for answer in ask_all(server.port, sent)]
    planted.poison()
    planted.plant("held")
    with ThreadPoolExecutor(2) as clients:
        first = clients.submit(ask_all, server.port, sent[:1])
        server.wait_until_busy()
        all_others = clients.submit(ask_all, server.port, sent)
        server.wait_until("cloze_queued_items", lambda count: count == len(sent))
        planted.remove("held")
        first.result()
        answers = all_others.result()
    failed = [number for number, answer in enumerate(answers) if answer.status != 200]
    worst = max(
        float(np.abs(vector(answer) - before).max())
        for answer, before in zip(answers[:31], clean, strict=False)
        if answer.status == 200
    )
    marks = ("a batch of ", " failed")
    sizes = [
        int(line["message"].removeprefix(marks[0]).partition(marks[1])[0])
        for line in server.log_lines()
        if line["message"].startswith(marks[0])
    ]
    reached(
        f"{32 - len(failed)} answered, largest difference to the clean run {worst:.0e}; "
        f"{len(failed)} × {answers[31].status}; the largest batch that failed had {max(sizes)} "
        f"texts, then {len(sizes) - 1} parts of it",
        failed == [31],
        answers[31].status == 500,
        worst <= 1e-5,
        max(sizes) == 32,
    )


EVERY = 200  # requests, of which one is poisoned: about one of a hundred batches has it in it


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_12_a_session_that_raises(
    faulty: Callable[..., FaultyServer], reached: Reached, seconds: int
) -> None:
    """The session raises on 1 % of batches for 5 min: no request hangs; only the poisoned fail."""
    planted = faulty()
    server = planted.server
    planted.poison()
    clean = request("/embed", {"inputs": "A river runs through it."})
    poisoned = request("/embed", {"inputs": f"A {POISON} runs through it."})
    until = time.monotonic() + seconds
    answered: dict[bool, list[Answer]] = {False: [], True: []}

    async def client(number: int) -> None:
        for count in range(1_000_000):
            if time.monotonic() > until:
                return
            bad = (count * 12 + number) % EVERY == 0
            answered[bad].append(await ask(server.port, poisoned if bad else clean))

    async def crowd() -> None:
        await asyncio.gather(*map(client, range(12)))

    asyncio.run(crowd())
    batches = server.metric("cloze_batches_total")
    raised = sum("a batch of" in line["message"] for line in server.log_lines())
    slowest = max(answer.seconds for each in answered.values() for answer in each)
    statuses = [Counter(answer.status for answer in answered[bad]) for bad in (False, True)]
    reached(
        f"{raised / batches:.1%} of {batches:.0f} batches raised; the others: {dict(statuses[0])}, "
        f"the poisoned: {dict(statuses[1])}; the slowest answer took {slowest:.2f} s",
        set(statuses[0]) == {200},
        set(statuses[1]) == {500},
        slowest < 5,
        raised > 0,
    )
