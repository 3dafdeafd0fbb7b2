"""Who may call: nobody without a key, on whatever path, and as much as the key may."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from server.errors import QueueFull
from server.keys import Key, KeyFileError, KeyRing, _Entry
from tests.conftest import Serve
from tests.running_server import REPOSITORY, RunningServer

SECRET, OTHER = "cloze-" + "s" * 43, "cloze-" + "o" * 43
QUESTION = {"inputs": "The sky is [MASK]."}


def entry(name: str, secret: str, **limits: int) -> str:
    lines = [f'[keys."{name}"]', f'sha256 = "{hashlib.sha256(secret.encode()).hexdigest()}"']
    return "\n".join([*lines, *(f"{limit} = {value}" for limit, value in limits.items())]) + "\n"


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(entry("search", SECRET) + entry("lab", OTHER))
    return path


@pytest.fixture(scope="module")
def guarded(serve: Serve, default_model: Path, key_file: Path) -> RunningServer:
    return serve(default_model, api_key_file=key_file, log_level="debug")


def raw(server: RunningServer, request: bytes) -> int:
    """The status of a request that no client library would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(1 << 16):
            received += part
        return int(received[9:12])


def test_a_known_key_is_let_in_by_either_field(guarded: RunningServer) -> None:
    for fields in (
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": f"bearer   {SECRET}"},
        {"x-api-key": OTHER},
    ):
        assert guarded.post("/fill-mask", QUESTION, **fields).status_code == 200


def test_probes_need_no_key(guarded: RunningServer) -> None:
    for path in (
        *("/livez", "/readyz", "/health", "/ping"),
        *("/v2/health/live", "/v2/health/ready"),
    ):
        for asked in (path, f"{path}/"):  # one slash at the end is passed over, as by routes
            assert guarded.get(asked).status_code == 200
            assert guarded.client.head(guarded.url + asked).status_code == 200


FIELDS = {
    "none": [],
    "unknown": [("authorization", "Bearer cloze-unknown")],
    "no more than a scheme": [("authorization", "Bearer")],
    "empty": [("x-api-key", "")],
    "another scheme": [("authorization", f"Basic {SECRET}")],
    "no scheme": [("authorization", SECRET)],
    "the digest": [("x-api-key", hashlib.sha256(SECRET.encode()).hexdigest())],
    "the name": [("x-api-key", "search")],
    "a part": [("x-api-key", SECRET[:-1])],
    "twice": [("x-api-key", SECRET), ("x-api-key", SECRET)],
    "two kinds": [("x-api-key", SECRET), ("authorization", f"Bearer {SECRET}")],
    "one good, one bad": [("authorization", f"Bearer {SECRET}"), ("authorization", "Bearer x")],
    "not ASCII": [("x-api-key", "cloze-\u00e9")],
    "a forged host": [("host", "127.0.0.1/livez")],
    "forwarded": [("x-original-url", "/livez"), ("x-forwarded-prefix", "/livez")],
}


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("path", ["/fill-mask", "/models/cloze-small-en/embed"])
def test_without_one_good_key_nothing_is_answered(
    guarded: RunningServer, path: str, fields: list[tuple[str, str]]
) -> None:
    sent = [(name, value.encode("latin-1")) for name, value in fields]
    answered = guarded.client.post(guarded.url + path, json=QUESTION, headers=sent)  # type: ignore[arg-type]
    assert answered.status_code == 401
    assert answered.headers["www-authenticate"] == "Bearer"
    assert answered.json()["code"] == "unauthorized"
    assert SECRET not in answered.text


TARGETS = [
    *("/", "/docs", "/docs/index.html", "/openapi.json", "/metrics", "/info", "/v1/models"),
    *("/models/cloze-small-en/info", "/nothing", "//livez", "/livez//", "/./livez", "/%6civez"),
    *("/ping//", "/livez%2f", "/livez/.", "/livez/..", "/livez/%2e%2e/info", "/info/", "/docs/"),
    *("/models/livez/", "/livez/models/cloze-small-en/info/", "/v2/health/", "/v2/models/livez/"),
    *("/livez/../info", "/%2e/info", "/info?/livez", "/LIVEZ", "/livez%00", "/livez;x=/info"),
    "http://127.0.0.1/info",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE"])
def test_no_other_path_or_method_is_open(guarded: RunningServer, method: str, target: str) -> None:
    request = f"{method} {target} HTTP/1.1\r\nHost: livez\r\nConnection: close\r\n\r\n"
    assert raw(guarded, request.encode()) == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *[("/embed/", 200), ("/models/cloze-small-en/embed/", 200), ("//", 200)],
        *[("/embed//", 404), ("/livez/embed/", 404), ("/embed/livez/", 404), ("/livez/", 405)],
    ],
)
def test_a_slash_at_the_end_opens_no_task(guarded: RunningServer, path: str, status: int) -> None:
    assert guarded.post(path, QUESTION).status_code == 401
    assert guarded.post(path, QUESTION, x_api_key=OTHER).status_code == status


@pytest.mark.parametrize("path", ["/livez", "/ping/"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT"])
def test_a_probe_is_only_asked(guarded: RunningServer, method: str, path: str) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: livez\r\nConnection: close\r\n\r\n"
    assert raw(guarded, request.encode()) == 401


def test_the_key_is_asked_for_before_the_body_is_read(guarded: RunningServer) -> None:
    head = b"POST /fill-mask HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
    begun = time.monotonic()
    assert raw(guarded, head) == 401
    assert time.monotonic() - begun < 5


def test_what_may_be_open_is_open_if_it_is_said(
    serve: Serve, default_model: Path, key_file: Path
) -> None:
    origin = "https://app.example"
    server = serve(
        default_model,
        api_key_file=key_file,
        open_metrics=True,
        open_docs=True,
        cors_origins=origin,
    )
    shown = ("/", "/page/main.js", "/docs", "/docs/start.js", "/openapi.json", "/docs/")
    for path in ("/metrics", "/metrics/", *shown):
        assert server.get(path).status_code == 200
    for path in ("/info", "/info/", "/metrics//", "/docs-", "/docsx/start.js", "/openapi.json//"):
        assert server.get(path).status_code == 401
    asked = {"origin": origin, "access-control-request-method": "POST"}
    assert server.client.options(server.url + "/embed", headers=asked).status_code == 200
    foreign = asked | {"origin": "https://evil.example"}
    assert server.client.options(server.url + "/embed", headers=foreign).status_code == 400
    refused = server.post("/embed", {"inputs": "a"}, origin=origin)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == origin


def test_a_keys_name_is_counted_and_logged_and_never_the_key(guarded: RunningServer) -> None:
    before = guarded.client.get(guarded.url + "/metrics", headers={"x-api-key": OTHER}).text
    guarded.post("/fill-mask", QUESTION, x_api_key=OTHER, x_request_id="who-am-i")
    after = guarded.client.get(guarded.url + "/metrics", headers={"x-api-key": OTHER}).text
    line = 'cloze_key_tokens_total{key="lab"}'
    counts = [
        float(text.partition(line)[2].split("\n")[0] if line in text else 0)
        for text in (before, after)
    ]
    assert counts[1] - counts[0] == 7
    (logged,) = [one for one in guarded.log_lines() if one.get("request_id") == "who-am-i"]
    assert logged["key"] == "lab"
    assert SECRET not in guarded.log.read_text() + after
    assert OTHER not in guarded.log.read_text() + after


@pytest.mark.parametrize("processes", [1, 2])
def test_keys_are_read_again_without_losing_a_request(
    serve: Serve, default_model: Path, tmp_path: Path, processes: int
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(entry("old", SECRET) + entry("both", OTHER))
    server = serve(default_model, api_key_file=path, processes=processes)
    statuses: list[int] = []
    done = threading.Event()

    def ask() -> None:
        with httpx.Client() as client:
            while not done.is_set():
                answered = client.post(
                    server.url + "/embed", json={"inputs": "a"}, headers={"x-api-key": OTHER}
                )
                statuses.append(answered.status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for content, old in (
            (entry("both", OTHER), 401),
            ("no TOML", 401),  # the keys of before stay
            (entry("old", SECRET) + entry("both", OTHER), 200),
        ):
            path.write_text(content)
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            for _ in range(4):  # of every process
                with httpx.Client() as client:
                    answered = client.post(
                        server.url + "/embed", json={"inputs": "a"}, headers={"x-api-key": SECRET}
                    )
                assert answered.status_code == old
    finally:
        done.set()
        asking.join()
    assert set(statuses) == {200}
    assert server.terminate() == 0


def test_a_key_that_has_sent_enough_is_told_when_to_come_again(
    serve: Serve, default_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(
        entry("few", SECRET, requests_per_minute=3)
        + entry("small", OTHER, tokens_at_once=20, tokens_per_minute=40)
    )
    server = serve(default_model, api_key_file=path)
    statuses = [
        server.post("/embed", {"inputs": "a"}, x_api_key=SECRET).status_code for _ in range(4)
    ]
    assert statuses == [200, 200, 200, 429]
    refused = server.post("/embed", {"inputs": "a"}, x_api_key=SECRET)
    assert 1 <= int(refused.headers["retry-after"]) <= 21
    at_once = server.post("/embed", {"inputs": ["a b c d"] * 4}, x_api_key=OTHER)
    assert at_once.status_code == 429
    statuses = [
        server.post("/embed", {"inputs": ["a b c d"] * 3}, x_api_key=OTHER).status_code
        for _ in range(4)
    ]
    assert statuses == [200, 200, 200, 429], "three times 18 tokens, of 40 a minute"


def key(**limits: int) -> Key:
    return Key("k", _Entry(sha256="0" * 64, **limits))


def test_tokens_that_were_not_computed_are_given_back() -> None:
    limited = key(tokens_per_minute=100, tokens_at_once=100)
    for _ in range(50):
        limited.begin()
        limited.hold(90)
        limited.hold(-40)
        limited.release(50, computed=False)
    limited.hold(100)
    limited.release(100, computed=True)
    with pytest.raises(QueueFull) as refused:
        limited.begin()
    assert 0 < (refused.value.retry_after_s or 0) <= 60


def test_each_of_several_processes_allows_its_part() -> None:
    part = Key("k", _Entry(sha256="0" * 64, requests_per_minute=4), processes=2)
    part.begin()
    part.begin()
    with pytest.raises(QueueFull):
        part.begin()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "keys"),
        ("[keys]", "keys"),
        ("[keys.a]\nsha256 = 'abc'", "sha256"),
        (f"[keys.a]\nsha256 = '{'0' * 64}'\nrequests = 3", "requests"),
        (f"[keys.a]\nsha256 = '{'0' * 64}'\ntokens_at_once = 0", "tokens_at_once"),
        (f"[keys.'a b']\nsha256 = '{'0' * 64}'", "name"),
        (f"[kees.a]\nsha256 = '{'0' * 64}'", "kees"),
        ("\x00", "no file of keys"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(content)
    with pytest.raises(KeyFileError, match=told):
        KeyRing.read(path)
    done = subprocess.run(
        [sys.executable, "-m", "server", "--api-key-file", path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --api-key-file")
    assert "Traceback" not in done.stderr


def test_the_command_makes_a_key_that_opens(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.keys", "my-team.1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    path = tmp_path / "keys.toml"
    path.write_text(done.stdout)
    secret = done.stderr.rpartition(" ")[2].strip()
    assert secret not in done.stdout
    found = KeyRing.read(path).find({b"authorization": [], b"x-api-key": [secret.encode()]})
    assert found.name == "my-team.1"
