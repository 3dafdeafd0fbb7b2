"""Rows 1 to 6: whatever bytes come in, an answer that is right goes out, soon and small."""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.http.families import FAMILIES, family_of
from tests.acceptance.clients import Answer, ask_all, p99, request, resident_mib
from tests.acceptance.conftest import Reached
from tests.acceptance.faults import PLACE, POISON, SECRET, FaultyServer
from tests.conftest import Serve
from tests.running_server import REPOSITORY, RunningServer
from tests.server.http.every_route import Ask, answered

slow = pytest.mark.slow
CONFIGURATION = Path(__file__).parent / "schemathesis.toml"
HOOKS = Path(__file__).parent / "schemathesis_hooks.py"


@dataclass(frozen=True)
class Documented:
    """A route that takes a body, as the OpenAPI document has it."""

    template: str
    ask: Ask
    """A request that it answers."""
    statuses: frozenset[int]


def documented(server: RunningServer) -> list[Documented]:
    """Every route that takes a body."""
    return [
        Documented(path, answered("post", path), frozenset(map(int, methods["post"]["responses"])))
        for path, methods in server.get("/openapi.json").json()["paths"].items()
        if "post" in methods
    ]


# --- 1 ------------------------------------------------------------------------------------------


# What it takes for a right refusal, and why.
CHECKS = tomllib.loads(CONFIGURATION.read_text())["checks"]


def operation(route: Documented) -> str:
    """What schemathesis has to know of a route, if anything: a model, how its family refuses."""
    told = []
    if "{model}" in route.template:
        prefix, suffix = route.template.split("{model}")
        model = route.ask.path.removeprefix(prefix).removesuffix(suffix)
        told.append(f'parameters = {{ "path.model" = "{model}" }}')
    if family_of(route.template) is FAMILIES["v1"]:
        usual = CHECKS["positive_data_acceptance"]["expected-statuses"]
        expected = json.dumps([*usual, str(FAMILIES["v1"].status(422))])
        told.append(f"checks.positive_data_acceptance.expected-statuses = {expected}")
    head = ["[[operations]]", f'include-name = "POST {route.template}"']
    return "\n".join(["", *head, *told, ""]) if told else ""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("examples", [3, pytest.param(500, marks=slow)])
def test_01_schemathesis(
    whole: RunningServer, tmp_path: Path, reached: Reached, examples: int
) -> None:
    """Schemathesis over our OpenAPI, all checks: 0 × 5xx, 0 schema violations."""
    configuration = tmp_path / "schemathesis.toml"
    of_routes = "".join(map(operation, documented(whole)))
    configuration.write_text(f'hooks = "{HOOKS}"\n{CONFIGURATION.read_text()}{of_routes}')
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", configuration]
    options = ["--checks", "all", "--max-examples", examples, "--continue-on-failure"]
    done = subprocess.run(
        [*map(str, [*program, "run", *options]), f"{whole.url}/openapi.json", "--no-color"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    cases = re.search(r"(\d+) generated", done.stdout)
    operations = re.search(r"Tested: (\d+)", done.stdout)
    assert cases, done.stdout + done.stderr
    assert operations, done.stdout
    # Late answers are refusals; before it was ready, it said so.
    fives = [
        line
        for line in whole.get("/metrics").text.splitlines()
        if 'status="5' in line and 'status="504"' not in line and 'route="/readyz"' not in line
    ]
    assert done.returncode == 0, done.stdout
    reached(
        f"{cases[1]} cases of {operations[1]} operations, all checks hold; {len(fives)} × 5xx but "
        "for 504, which is the deadline's",
        fives == [],
        int(cases[1]) > 1000,
    )


# --- 2 ------------------------------------------------------------------------------------------

CHARACTERS = st.characters() | st.sampled_from("\0\ud800\udfff\uffff\u202e\x7f\U0001f600")
TEXTS = st.text(CHARACTERS, max_size=30) | st.sampled_from(["A river.", "a [MASK].", "[MASK] " * 9])
LEAVES = (
    st.none() | st.booleans() | TEXTS | st.integers() | st.floats()
    | st.sampled_from([10**400, -(2**63) - 1, 2**64, 1e308, -0.0])
)  # fmt: skip
NAMES = TEXTS | st.sampled_from(
    [
        "inputs",
        "input",
        "model",
        "parameters",
        "targets",
        "top_k",
        "truncate",
        "text",
        "question",
        "context",
        "prompt",
        "normalize",
        "dimensions",
        "stride",
        "encoding_format",
    ]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def changed(draw: st.DrawFn, value: Any) -> Any:
    """A value with some of its parts replaced."""
    if draw(st.integers(0, 3)) == 0:
        return draw(TEXTS if isinstance(value, str) else VALUES)
    if isinstance(value, dict):
        return {name: changed(draw, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [changed(draw, inner) for inner in value]
    return value


@st.composite
def bodies(draw: st.DrawFn, request: Any) -> bytes:
    """JSON that is nearly a request, written well or badly, whole or damaged."""
    value = changed(draw, request)
    if isinstance(value, dict) and draw(st.booleans()):
        value = value | draw(st.dictionaries(NAMES, VALUES, max_size=2))
    escaped = draw(st.booleans())
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    match draw(st.integers(0, 9)):
        case 0:
            return body[: draw(st.integers(0, len(body)))]
        case 1:
            at = draw(st.integers(0, len(body)))
            return body[:at] + draw(st.binary(max_size=4)) + body[at:]
        case 2:
            return draw(st.binary(max_size=60))
        case _:
            return body


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("examples", [400, pytest.param(50_000, marks=slow)])
def test_02_random_bodies(whole: RunningServer, reached: Reached, examples: int) -> None:
    """Hypothesis: 50,000 random JSON/Unicode bodies (surrogates, NaN, NUL, big integers): 200 or a
    documented 4xx.
    """
    routes = documented(whole)
    seen: Counter[int] = Counter()

    @settings(
        max_examples=examples, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    )  # fmt: skip
    @given(st.data(), st.sampled_from(routes))
    def send(data: st.DataObject, route: Documented) -> None:
        path, body = route.ask.path, data.draw(bodies(route.ask.body))
        answer = whole.post_raw(path, body)
        seen[answer.status_code] += 1
        assert answer.status_code in route.statuses, (path, body, answer.text)
        assert answer.status_code < 500, (path, body, answer.text)
        if answer.status_code != 200:
            assert len(answer.content) <= LARGEST, (path, body)

    send()
    reached(
        f"{seen.total()} bodies to {len(routes)} routes: {dict(sorted(seen.items()))}, all "
        "documented",
        seen.total() >= examples,
        {200, 400, 422} <= set(seen),
    )


# --- 3 ------------------------------------------------------------------------------------------

HANG_S = 5.0


def whole_requests(server: RunningServer) -> list[bytes]:
    """One request for each route, as it should be."""
    found = []
    for path, methods in server.get("/openapi.json").json()["paths"].items():
        for ask in [answered(method, path) for method in methods]:
            sent = request(ask.path, b"" if ask.body is None else ask.body)
            found.append(sent.replace(b"POST", ask.method.encode(), 1))
    return found


def damaged(sent: bytes, dice: random.Random) -> bytes:
    """A request with some bytes lost, changed, added, or said twice."""
    data = bytearray(sent)
    for _ in range(dice.randint(0, 6)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0:
                del data[at : at + dice.randint(1, 40)]
            case 1:
                data[at:at] = dice.randbytes(dice.randint(1, 8))
            case 2 if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            case 3:
                data[at:at] = data[at : at + dice.randint(1, 60)]
            case 4:
                data[at:at] = dice.choice([b"\r\n", b"\n", b"\0", b": ", b"Transfer-Encoding: "])
            case _:
                data[at:at] = dice.choice(
                    [b"Content-Length: 7\r\n", b"chunked", b"-1", b"\r\n\r\n"]
                )
        data = data or bytearray(b"\r\n")
    return bytes(data)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [600, pytest.param(15_000, marks=slow)])
def test_03_raw_bytes(whole: RunningServer, reached: Reached, count: int) -> None:
    """Raw-socket fuzz of all routes: process alive, no hang over 5 s."""
    good = whole_requests(whole)
    dice = random.Random()  # noqa: S311
    taken, statuses = [], Counter[str]()
    for number in range(count):
        sent = damaged(good[number % len(good)], dice)
        begun = time.monotonic()
        with whole.connect() as connection:
            connection.settimeout(HANG_S * 2)
            received = b""
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(1 << 16):
                    received += part
            except ConnectionError:
                pass
            except TimeoutError:
                received = b"HTTP/1.1 hangs: " + sent
        taken.append(time.monotonic() - begun)
        statuses[received[9:12].decode("latin-1") or "closed"] += 1
    reached(
        f"{count} damaged requests to {len(good)} routes: {dict(sorted(statuses.items()))}; the "
        f"slowest took {max(taken) * 1000:.0f} ms; /livez {whole.get('/livez').status_code}",
        max(taken) < HANG_S,
        whole.process.poll() is None,
        whole.get("/livez").status_code == 200,
        not any(status.startswith("5") and status != "501" for status in statuses),
    )


# --- 4 ------------------------------------------------------------------------------------------

PART = b'"' + b"a" * 49_999


def hundred_megabytes() -> Iterator[bytes]:
    """What a client sends until it reads an answer."""
    for _ in range(2000):
        yield PART


HEAD = b"POST /embed HTTP/1.1\r\nHost: cloze\r\nConnection: close\r\n"
HUGE: dict[str, Callable[[], list[Any]]] = {
    "100 MB": lambda: [HEAD + b"Content-Length: 100000000\r\n\r\n", hundred_megabytes()],
    "100 MB in chunks": lambda: [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        (b"%x\r\n%b\r\n" % (len(part), part) for part in hundred_megabytes()),
    ],
    "100,000 inputs": lambda: [request("/embed", {"inputs": ["a"] * 100_000})],
    "depth 100,000": lambda: [request("/embed", b'{"inputs":' + b"[" * 100_000)],
    "text of 10 MB": lambda: [request("/embed", {"inputs": "a " * 5_000_000})],
    "text of 1.9 MB": lambda: [request("/embed", {"inputs": "a " * 950_000})],
}
REPEATS = 100


def test_04_huge_bodies(serve: Serve, default_model: Path, reached: Reached) -> None:
    """100 MB body, 100,000 inputs, depth 100,000, 10 MB text: 4xx in under 200 ms; resident memory
    grows under 20 MiB after 100 repeats.
    """
    server = serve(default_model)
    process = server.process.pid
    server.post("/embed", {"inputs": "warm"})
    before = resident_mib(process)
    answers: dict[str, list[Answer]] = {}
    grown = []
    for name, make in HUGE.items():
        parts = [make() for _ in range(REPEATS)]
        answers[name] = ask_all(server.port, parts, at_once=1)
        grown.append(resident_mib(process) - before)
    server.kill()
    slowest = {name: p99([answer.seconds for answer in each]) for name, each in answers.items()}
    told = ", ".join(
        f"{name} {each[0].status} in {slowest[name] * 1000:.0f} ms"
        for name, each in answers.items()
    )
    reached(
        f"{told} (p99 of {REPEATS}); memory {grown[-2]:+.1f} MiB, "
        f"with the last, which passes the bound on bodies, {grown[-1]:+.1f}",
        all(400 <= answer.status < 500 for each in answers.values() for answer in each),
        max(slowest.values()) < 0.2,
        grown[-2] < 20,
    )


# --- 5 ------------------------------------------------------------------------------------------

LARGEST = 4096
CANARY = "xyzzycanary"
LEAKS = re.compile(
    rf"{CANARY}|{SECRET}|127\.0\.0\.1|{re.escape(PLACE)}|{re.escape(str(REPOSITORY))}|0x[0-9a-f]{{6}}"
    r"|site-packages|\.py\b|Traceback",
    re.IGNORECASE,
)
LONG = CANARY * 20_000
NAME = f"{CANARY} {CANARY}"  # of a field; one of up to 40 plain letters is told, to find it by


def provoked(server: RunningServer) -> Iterator[httpx.Response]:
    """An error reply of every kind that a client can cause, by requests that hold the canary."""
    fields: list[dict[str, Any]] = [
        {"inputs": [{NAME: 1}] * 20_000}, {"inputs": {NAME: LONG}}, {NAME: LONG},
        {LONG: CANARY}, {"inputs": CANARY, LONG: 1}, {"inputs": CANARY, "parameters": {LONG: 1}},
        {"inputs": f"[MASK] {CANARY}", "parameters": {"targets": [CANARY * 500]}},
        {"inputs": f"[MASK] {CANARY}", "parameters": {"top_k": CANARY}}, {"inputs": [CANARY, 1]},
        {"inputs": LONG}, {"inputs": [CANARY] * 600}, {"inputs": CANARY}, {"inputs": f"{CANARY}\0"},
        {f"{NAME}{number}": 1 for number in range(20_000)}, {"inputs": [[CANARY] * 3] * 500},
        {"inputs": CANARY, "model": LONG}, {"input": CANARY, "model": CANARY},
    ]  # fmt: skip
    known = [route.ask.path for route in documented(server)]
    for path in (f"/{CANARY}", *known, f"/models/{CANARY}/embed"):
        for field in fields:
            yield server.post(path, field)
        for raw in (f'{{"{CANARY}', f'"{CANARY}\\ud800"', f"[{CANARY}]", f'{{"a": NaN, "{CANARY}'):
            yield server.post_raw(path, raw.encode())
        yield server.post_raw(path, b"\xff" + CANARY.encode())
        yield server.post_raw(path, b"1" * 3_000_000)
        yield server.post(path, {"inputs": "a"}, content_type=f"text/{CANARY}")
        yield server.post(path, {"inputs": "a"}, content_encoding=CANARY)
        yield server.post(path, {"inputs": "a"}, x_request_timeout_ms=CANARY)
        yield server.post(path, {"inputs": "a"}, x_padding="a" * 70_000)
        yield server.client.request(CANARY.upper(), server.url + path)
        yield server.client.delete(server.url + path, headers={"accept": CANARY})
    yield server.get(f"/{CANARY * 3000}")
    yield server.get(f"/docs/{CANARY}")


def test_05_error_replies(faulty: Callable[..., FaultyServer], reached: Reached) -> None:
    """Any error reply ≤ 4 KB, with no input text, address or path in it."""
    planted = faulty()
    server = planted.server
    planted.poison()
    replies = [reply for reply in provoked(server) if not reply.is_success]
    replies.append(server.post("/embed", {"inputs": f"{CANARY} {POISON}"}))
    assert replies[-1].status_code == 500
    sizes, leaks = [], []
    for reply in replies:
        head = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        sizes.append(len(head) + len(reply.content))
        leaks += LEAKS.findall(head + reply.text)
    statuses = sorted({reply.status_code for reply in replies})
    reached(
        f"{len(replies)} error replies of statuses {', '.join(map(str, statuses))}: the largest "
        f"{max(sizes)} bytes with its head; {len(leaks)} with input, address or path",
        max(sizes) <= LARGEST,
        leaks == [],
        {400, 404, 405, 413, 414, 415, 422, 431, 500} <= set(statuses),
    )


# --- 6 ------------------------------------------------------------------------------------------

MOST = 65_536
HEADS = {
    "one field": b"a" * MOST,
    "many fields": (b"a" * 900 + b"\r\nb: ") * 75,
    "short fields": b"b\r\na: " * 12_000,
}


def refusal(server: RunningServer, start: bytes) -> int:
    """The status that comes when so much of a head has, 0 where none does."""
    with server.connect() as connection:
        connection.sendall(start)
        connection.settimeout(1)
        try:
            return int(connection.recv(12)[9:])
        except TimeoutError:
            return 0


def test_06_headers_without_end(serve: Serve, default_model: Path, reached: Reached) -> None:
    """60 MB of headers: refused after ≤ 64 KiB read."""
    server = serve(default_model)
    start = b"GET /livez HTTP/1.1\r\nHost: cloze\r\na: "
    found = {name: refusal(server, (start + rest)[: MOST + 1]) for name, rest in HEADS.items()}
    short = refusal(server, (start + HEADS["one field"])[:MOST])
    before = resident_mib(server.process.pid)
    refused = ask_all(server.port, [[start, (b"a" * 60_000 for _ in range(1000))]] * 5)
    grown = resident_mib(server.process.pid) - before
    server.kill()
    told = ", ".join(f"{status} to {name}" for name, status in found.items())
    reached(
        f"{told} with the byte after {MOST:,}; 5 × 60 MB at once: {refused[0].status}, memory "
        f"{grown:+.1f} MiB",
        set(found.values()) == {431},
        short == 0,
        {answer.status for answer in refused} == {431},
        grown < 20,
    )
