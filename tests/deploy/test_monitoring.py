"""`deploy/monitoring` -> checked by Prometheus' own tools, and run against real servers."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from server.inference.admission import Admission
from server.inference.pipeline import Pipeline, Usage
from server.inference.runtime.spared import Spared
from server.inference.scheduling.counters import Counters, snapshot
from server.keys import main as make_key
from server.metrics import Metrics
from server.process.shared_memory import ProcessGroupMember, SharedStatistics
from server.settings import Settings
from tests.acceptance.faults import POISON, FaultyServer
from tests.conftest import Serve
from tests.deploy.prometheus import MONITORING, PATIENCE_S, hastened, watching
from tests.deploy.proxies import free_ports
from tests.running_server import REPOSITORY, RunningServer, Served

Faulty = Callable[..., FaultyServer]

# As Grafana puts them in: all instances, and a few scrapes.
VARIABLES = {"$instance": ".*", "$__rate_interval": "10s"}
# Of several processes alone, and of servers with keys.
NOT_OF_ONE = {"cloze_process_restarts_total"}
NAME = re.compile(r"\b(?:cloze|process)_\w+")


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    """Of all panels, as Prometheus gets them."""
    board = json.loads((MONITORING / "dashboard.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    for name, value in VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def promtool(*arguments: str, given: bytes = b"") -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run(
        ["promtool", *arguments], cwd=MONITORING, input=given, capture_output=True, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_prometheus_takes_the_configuration() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "config", "prometheus.yml")


def test_each_alert_passes_its_unit_test() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")
    tested = (MONITORING / "alerts.test.yml").read_text()
    for rule in rules():
        # Once where it stays quiet, and once where it fires.
        assert len(re.findall(rf"alertname: {rule['alert']}\b", tested)) >= 2, rule["alert"]


def test_a_rule_that_is_wrong_would_fail_its_unit_test(tmp_path: Path) -> None:
    for file in MONITORING.glob("alerts*.yml"):
        text = file.read_text().replace('{status="500"}', '{status="200"}')
        (tmp_path / file.name).write_text(text if file.name == "alerts.yml" else file.read_text())
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yml"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0


def test_operations_says_of_each_alert_what_to_do() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    told = re.findall(r"^### (Cloze\w+)$", page, flags=re.MULTILINE)
    assert sorted(told) == sorted(rule["alert"] for rule in rules())


def test_durations_are_in_minutes_so_that_a_test_can_hasten_them() -> None:
    text = (MONITORING / "alerts.yml").read_text()
    assert re.findall(r"\[\w+\]|for: \w+", hastened(text)) == [
        duration.replace("m", "s") for duration in re.findall(r"\[\d+m\]|for: \d+m", text)
    ]


def test_alerts_and_dashboard_ask_only_for_what_metrics_has(server: RunningServer) -> None:
    server.post("/embed", {"inputs": "a"})
    server.post("/embed", {"inputs": ""})
    families = text_string_to_metric_families(server.get("/metrics").text)
    known = {sample.name for family in families for sample in family.samples} | NOT_OF_ONE
    known |= {"cloze_key_requests_total", "cloze_key_tokens_total"}
    asked = [rule["expr"] for rule in rules()] + queries()
    assert len(asked) > 40
    for expression in asked:
        assert set(NAME.findall(expression)) <= known, expression


HOSTILE = ('say "cheese"', "back\\slash", "{le=1}", "größe,№=5", "#", " ", "x" * 200)


def held(name: str) -> SimpleNamespace:
    """What a model's pipeline says of itself; this one has computed a batch for each letter."""
    counters = Counters(batches_total=len(name))
    stats = snapshot(counters, items=1, tokens=2, running=0, budget=512, age_s=math.inf)
    return SimpleNamespace(stats=lambda: stats, spared=Spared)


@pytest.mark.parametrize("count", [0, 300])
def test_metrics_of_many_models_with_odd_names_are_as_prometheus_wants_them(count: int) -> None:
    names = [*HOSTILE, *(f"m{number}" for number in range(count))]
    pipelines = cast("dict[str, Pipeline]", {name: held(name) for name in names})
    shared = SharedStatistics(2)
    one, other = (
        Metrics(
            lambda: pipelines,
            Admission(Settings()),
            ProcessGroupMember(rank, shared, control=-1, is_replacement=False),
        )
        for rank in range(2)
    )
    for name in names:
        one.observe(
            route="/models/{model}/embed",
            status=429,
            model=name,
            started=1.0,
            ended=9.5,
            usage=Usage(9, (), 1, 1, 1, 2, 9),
            reason="queue_full",
            key="k",
        )
    one.publish()
    text = other.exposition()
    families = {one.name: one for one in text_string_to_metric_families(text.decode())}
    told = {one.labels["model"]: one.value for one in families["cloze_batches"].samples}
    assert told == {name: 2 * len(name) for name in names}
    answered = families["cloze_requests"].samples
    assert {one.labels["model"]: one.value for one in answered} == dict.fromkeys(names, 1)
    assert promtool("check", "metrics", given=text) == ""


# --- a real Prometheus ------------------------------------------------------------------------


@contextmanager
def asking(server: Served, *bodies: object, clients: int = 4, **headers: str) -> Iterator[None]:
    """Clients that embed one body after the other until the block ends."""
    done = False

    def ask() -> None:
        while not done:
            for body in bodies:
                with suppress(httpx.TransportError):
                    httpx.post(f"{server.url}/embed", json=body, headers=headers, timeout=60)
                time.sleep(0.02)

    with ThreadPoolExecutor(clients) as pool:
        for _ in range(clients):
            pool.submit(ask)
        try:
            yield
        finally:
            done = True


@pytest.mark.slow
def test_each_query_of_the_dashboard_answers_under_load_and_no_alert_fires(
    serve: Serve,
    default_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert make_key(["search"]) == 0
    made = capsys.readouterr()
    (tmp_path / "keys.toml").write_text(made.out)
    key = made.err.split()[-1]
    server = serve(
        default_model, processes=2, api_key_file=tmp_path / "keys.toml", open_metrics=True
    )
    good, wrong = {"inputs": ["one text", "and another one"]}, {"inputs": ""}
    with (
        watching(tmp_path, [server]) as prometheus,
        asking(server, good, good, wrong, clients=2, **{"x-api-key": key}),
    ):
        unanswered, deadline = set(queries()), time.monotonic() + PATIENCE_S
        while unanswered := {
            query
            for query in unanswered
            if not (found := prometheus.query(query))
            or any(one["value"][1] == "NaN" for one in found)
        }:
            assert time.monotonic() < deadline, unanswered
            assert not prometheus.firing()
            time.sleep(0.2)


@pytest.mark.slow
def test_a_server_that_is_gone_one_that_ends_and_a_process_that_died(
    serve: Serve, default_model: Path, tmp_path: Path
) -> None:
    options = {"processes": 2, "threads": 1}
    group, gone, ending = (
        serve(default_model, **options),
        serve(default_model),
        serve(default_model, drain_delay_s=2 * PATIENCE_S),
    )
    with watching(tmp_path, [group, gone, ending]) as prometheus:
        while len(prometheus.query("cloze_ready == 1 or cloze_ready == 2")) < 3:
            time.sleep(0.1)
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(group.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        gone.kill()
        ending.process.send_signal(signal.SIGTERM)
        prometheus.wait_for("ClozeProcessDied", "ClozeDown", "ClozeNotReady")


@pytest.mark.slow
def test_a_model_that_fails_and_one_without_memory(faulty: Faulty, tmp_path: Path) -> None:
    failing, short = faulty(threads=1), faulty(threads=1)
    failing.poison()
    with watching(tmp_path, [failing.server, short.server]) as prometheus:
        with asking(failing.server, {"inputs": POISON}, {"inputs": "a"}, clients=1):
            prometheus.wait_for("ClozePoisoned", "ClozeFailing")
        short.plant("memory")
        short.server.post("/embed", {"inputs": ["a", "b"]})
        short.remove("memory")
        prometheus.wait_for("ClozeOutOfMemory")


@pytest.mark.slow
def test_a_server_that_is_full_slow_and_late(faulty: Faulty, tmp_path: Path) -> None:
    full = faulty(threads=1, queue_tokens=600, batch_tokens=64)
    full.plant("slow", 0.7)
    long = {"inputs": "word " * 60}
    with (
        watching(tmp_path, [full.server]) as prometheus,
        asking(full.server, long, clients=14),
        asking(full.server, long, clients=2, **{"x-request-timeout-ms": "300"}),
    ):
        prometheus.wait_for("ClozeRefusing", "ClozeSlow", "ClozeMissesDeadlines")


@pytest.mark.slow
def test_a_batch_that_does_not_end(faulty: Faulty, tmp_path: Path) -> None:
    stuck = faulty(threads=1)
    stuck.plant("held")
    with watching(tmp_path, [stuck.server]) as prometheus, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stuck.server.post, "/embed", {"inputs": "a"})
        try:
            prometheus.wait_for("ClozeWorkerStuck")
        finally:
            stuck.remove("held")
            waiting.result()


@pytest.mark.slow
def test_a_log_that_nobody_reads(default_model: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    out, own = os.pipe()
    command = [sys.executable, "-m", "server", "--models", str(default_model), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--log-level", "debug"], cwd=REPOSITORY, stderr=own
    ) as process:
        os.close(own)
        try:
            with watching(tmp_path, [Served(port=port)]) as prometheus:
                prometheus.wait_for("ClozeLogLost", meanwhile=lambda: _nonsense(port))
        finally:
            process.kill()
            os.close(out)


def _nonsense(port: int) -> None:
    """Requests that are refused, each of which is a line of the log."""
    for _ in range(50):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"\x01nonsense\r\n\r\n")
            connection.recv(1 << 16)
