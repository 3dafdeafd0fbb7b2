"""Several real processes on one port: they share connections, counts, and a common end."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from server.inference.runtime.cores import available_cores, share_cores
from server.process.supervisor import processes_for
from tests.conftest import Serve
from tests.running_server import RunningServer
from tests.server.test_main import BODY, ask_until, finished, run

LIMIT_S = 30
# In the process whose id is in the file, its own state cannot be read.
CANNOT_COUNT = """
import os, pathlib
import prometheus_client

class Collector(prometheus_client.PlatformCollector):
    def collect(self):
        if str(os.getpid()) == pathlib.Path({file!r}).read_text():
            raise KeyError("MemTotal")
        return super().collect()

prometheus_client.PlatformCollector = Collector
"""
# Python on macOS has none of these, but for the last, which does not deal connections out there.
NOT_ON_MACOS = """
import os, select, signal, socket

for module, names in {
    os: "sched_getaffinity sched_setaffinity pipe2 eventfd memfd_create pidfd_open getrandom",
    signal: "sigtimedwait sigwaitinfo",
    select: "epoll",
    socket: "SO_REUSEPORT",
}.items():
    for name in names.split():
        vars(module).pop(name, None)
"""


@pytest.fixture
def pair(serve: Serve, default_model: Path) -> Iterator[RunningServer]:
    """Two processes, both ready."""
    server = serve(default_model, processes=2, threads=1, drain_delay_s=0.5)
    yield server
    server.kill()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def serving(server: RunningServer) -> list[int]:
    """The ids of the processes that serve."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(word) for word in children.read_text().split()]


def connections_of(process: int) -> int:
    """How many sockets a process holds."""
    links = Path(f"/proc/{process}/fd").iterdir()
    return sum(str(link.readlink()).startswith("socket:") for link in links)


def ask_anew(server: RunningServer, timeout_s: float = LIMIT_S) -> int:
    """Sends a request on a connection of its own."""
    return httpx.post(f"{server.url}/fill-mask", json=BODY, timeout=timeout_s).status_code


def test_nobody_is_ready_while_one_is_still_loading(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, processes=2, threads=1, wait=False)
    server.wait_until_listening()
    delayed, _ = serving(server)
    os.kill(delayed, signal.SIGSTOP)

    def answered(ask: Callable[[], int]) -> set[int]:
        """Statuses from the process that runs; the other one keeps its share waiting."""
        statuses = set()
        for _ in range(16):  # of fair coins, 1 in 65,536 throws gives it none
            with suppress(httpx.ReadTimeout):
                statuses.add(ask())
        return statuses

    def readiness() -> int:
        return httpx.get(f"{server.url}/readyz", timeout=0.5).status_code

    try:
        wait_for(lambda: 200 in answered(lambda: ask_anew(server, 0.5)))
        assert answered(readiness) == {503}
    finally:
        os.kill(delayed, signal.SIGCONT)
    server.wait_until_ready()
    assert {ask_anew(server) for _ in range(20)} == {200}


def test_where_it_refuses_while_it_loads_nobody_meets_the_one_that_still_does(
    serve: Serve, default_model: Path
) -> None:
    server = serve(default_model, processes=2, threads=1, wait=False, while_loading="refuse")
    server.wait_until_listening()
    delayed, _ = serving(server)
    os.kill(delayed, signal.SIGSTOP)
    try:
        server.wait_until_ready()
        assert {ask_anew(server, 5) for _ in range(16)} == {200}
    finally:
        os.kill(delayed, signal.SIGCONT)
    assert server.terminate() == 0


def test_connections_are_dealt_out_to_all_processes(pair: RunningServer) -> None:
    before = [connections_of(process) for process in serving(pair)]
    with ExitStack() as opened:
        for _ in range(32):
            opened.enter_context(socket.create_connection(("127.0.0.1", pair.port)))
        time.sleep(0.3)
        after = [connections_of(process) for process in serving(pair)]
    taken = [now - then for now, then in zip(after, before, strict=True)]
    assert sum(taken) == 32
    assert min(taken) >= 4  # of fair coins, 1 in 100,000 throws has fewer


def test_any_process_counts_for_all(pair: RunningServer) -> None:
    assert {ask_anew(pair) for _ in range(20)} == {200}
    time.sleep(1.2)
    counted = ["cloze_items_total", 'cloze_requests_total{model="cloze-small-en"']
    for _ in range(6):
        metrics = httpx.get(f"{pair.url}/metrics").text.splitlines()
        for name in counted:
            lines = [line for line in metrics if line.startswith(name)]
            assert [float(line.rpartition(" ")[2]) for line in lines] == [20]
    assert pair.get("/info").json()["processes"] == 2


def test_a_drain_of_both_fails_no_request(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, processes=2, threads=1, drain_delay_s=2)
    stop = threading.Event()
    with ThreadPoolExecutor(24) as clients:
        busy = [clients.submit(ask_until, stop, server.url) for _ in range(24)]
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert [server.get("/readyz").status_code for _ in range(4)] == [503] * 4
        stop.set()
        statuses = [status for client in busy for status in client.result()]
    assert server.process.wait(LIMIT_S) == 0
    assert len(statuses) > len(busy)
    assert set(statuses) == {200}


def test_admitted_work_is_finished_by_all(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, processes=2, threads=1, drain_delay_s=0)
    # Seconds of work, but well within the drain's 20 s should one process be dealt all of it.
    body = {"inputs": ["word " * 400] * 8}
    with ThreadPoolExecutor(8) as clients:
        answers = [
            clients.submit(httpx.post, f"{server.url}/embed", json=body, timeout=LIMIT_S)
            for _ in range(8)
        ]
        server.wait_until_busy()
        time.sleep(0.3)
        assert server.terminate() == 0
        assert [answer.result().status_code for answer in answers] == [200] * 8


def test_a_killed_process_is_replaced_while_the_other_answers(pair: RunningServer) -> None:
    assert {ask_anew(pair) for _ in range(10)} == {200}
    time.sleep(1.2)
    counted = pair.metric("cloze_items_total")
    killed, other = serving(pair)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: killed not in serving(pair))
    while len(serving(pair)) < 2:
        assert ask_anew(pair) == 200
    assert {ask_anew(pair) for _ in range(10)} == {200}
    pair.client.close()
    pair.client = httpx.Client()  # the old connection may have been the killed one's
    wait_for(lambda: pair.metric("cloze_process_restarts_total") == 1)
    wait_for(lambda: pair.metric("cloze_processes") == 2)
    assert other in serving(pair)
    assert pair.metric("cloze_items_total") >= counted + 10
    (line,) = [line for line in pair.log_lines() if "exit_code" in line]
    assert (line["level"], line["exit_code"]) == ("error", -signal.SIGKILL)


def test_a_process_that_cannot_count_says_so_and_is_replaced(
    serve: Serve, default_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "id").write_text("")
    (tmp_path / "sitecustomize.py").write_text(CANNOT_COUNT.format(file=str(tmp_path / "id")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = serve(default_model, processes=2, threads=1, drain_delay_s=4)
    ill, well = serving(server)
    (tmp_path / "id").write_text(str(ill))
    wait_for(lambda: any(line.get("task") == "statistics" for line in server.log_lines()))
    (line,) = [line for line in server.log_lines() if line.get("task") == "statistics"]
    assert (line["level"], line["message"]) == ("error", "a background task failed")
    assert "sitecustomize.py" in line["exception"]
    assert line["exception"].endswith("KeyError")
    answers = [httpx.get(f"{server.url}/livez") for _ in range(20)]
    (message,) = {one.json()["error"] for one in answers if one.status_code == 503}
    assert message == "The background task 'statistics' has failed; restart the server."
    wait_for(lambda: ill not in serving(server) and len(serving(server)) == 2)
    server.wait_until_ready()
    assert well in serving(server)
    assert {ask_anew(server) for _ in range(10)} == {200}
    assert {httpx.get(f"{server.url}/livez").status_code for _ in range(20)} == {200}
    assert server.terminate() == 0


def test_a_replacement_that_cannot_be_started_is_tried_again(pair: RunningServer) -> None:
    def failed() -> bool:
        return any("Too many open files" in line["message"] for line in pair.log_lines())

    killed, _ = serving(pair)
    limits = resource.prlimit(pair.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pair.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(killed, signal.SIGKILL)
    wait_for(failed)
    assert ask_anew(pair) == 200
    resource.prlimit(pair.process.pid, resource.RLIMIT_NOFILE, limits)
    wait_for(lambda: len(serving(pair)) == 2)
    assert pair.terminate() == 0
    assert "Traceback" not in pair.log.read_text()


def test_a_process_that_cannot_be_started_at_first_is_one_clear_line(default_model: Path) -> None:
    if (
        os.geteuid() == 0
    ):  # root has no limit; but after a namespace's first process no other starts
        unable = ["unshare", "--pid", "sh", "-c", '/usr/bin/env true; exec "$@"', "sh"]
    else:
        unable = ["bash", "-c", 'ulimit -u 1; exec "$@"', "bash"]
    if finished([*unable, "sh", "-c", "exec true"]).returncode != 0:
        pytest.skip("processes cannot be forbidden here")
    server = [sys.executable, "-m", "server", "--port", 0, "--processes", 2, "--models"]
    ended = finished([*unable, *server, default_model])
    assert ended.returncode == 1
    first, _stopped = ended.stderr.splitlines()
    assert "cannot start a process: " in first


@pytest.mark.parametrize("processes", [1, 2])
def test_what_macos_lacks_is_not_needed(
    serve: Serve,
    default_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NOT_ON_MACOS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = serve(default_model, processes=processes, drain_delay_s=0.5)
    assert {ask_anew(server) for _ in range(10)} == {200}
    if processes > 1:
        killed, _ = serving(server)
        os.kill(killed, signal.SIGKILL)
        assert {ask_anew(server) for _ in range(10)} == {200}
        wait_for(lambda: killed not in serving(server) and len(serving(server)) == 2)
        wait_for(lambda: server.metric("cloze_processes") == 2)
    assert server.terminate() == 0


def test_a_signal_to_the_processes_themselves_changes_nothing(pair: RunningServer) -> None:
    for process in serving(pair):
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(process, sign)
    time.sleep(1)
    assert ask_anew(pair) == 200
    assert len(serving(pair)) == 2


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_pair_ends_with_0(pair: RunningServer, sign: signal.Signals) -> None:
    pair.process.send_signal(sign)
    assert pair.process.wait(10) == 0
    assert [line["message"] for line in pair.log_lines()].count("listening") == 1


def test_nobody_outlives_a_killed_supervisor(pair: RunningServer) -> None:
    processes = serving(pair)
    pair.kill()
    wait_for(lambda: not any(is_running(process) for process in processes))


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_port_in_use_is_one_clear_line(pair: RunningServer, default_model: Path) -> None:
    ended = run("--models", default_model, "--port", pair.port, "--processes", 2)
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_refused_model_ends_all_with_3(default_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "broken"
    shutil.copytree(default_model, folder)
    (folder / "tokenizer.json").unlink()
    ended = run("--port", 0, "--models", folder.parent, "--processes", 2)
    assert ended.returncode == 3
    assert "tokenizer.json" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_device_that_is_not_there_ends_all_with_2(default_model: Path) -> None:
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    options = ["--port", 0, "--models", default_model, "--processes", 2, "--device", "cuda"]
    ended = run(*options, **hidden)
    assert ended.returncode == 2
    assert "--device: " in ended.stderr


def test_cores_are_shared_out() -> None:
    cores = available_cores()
    try:
        share_cores(cores)
        assert available_cores() == 1
        share_cores(2 * cores)
        assert available_cores() == 1
    finally:
        share_cores(1)
    assert [processes_for(count) for count in (2, 192)] == [1, 32]
