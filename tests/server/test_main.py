"""Starting and stopping a real server: readiness, refusals, and a drain that loses nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import onnxruntime as ort
import pytest

from tests.conftest import Serve
from tests.running_server import REPOSITORY, RunningServer

BODY = {"inputs": "Paris is the [MASK] of France."}
FALLS_BACK = """
import onnxruntime

class OnTheCpu(onnxruntime.InferenceSession):
    def __init__(self, *arguments, providers, **options):
        super().__init__(*arguments, providers=["CPUExecutionProvider"], **options)

onnxruntime.InferenceSession = OnTheCpu
onnxruntime.preload_dlls = lambda: None
onnxruntime.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
"""


def test_it_listens_at_once_and_is_ready_when_its_models_are(
    serve: Serve, default_model: Path
) -> None:
    server = serve(default_model, wait=False)
    server.wait_until_listening()
    readiness = server.get("/readyz")
    assert (readiness.status_code, readiness.json()["code"]) == (503, "not_ready")
    assert readiness.headers["retry-after"] == "1"
    assert server.get("/livez").status_code == 200
    early = server.post("/fill-mask", BODY)
    assert (early.status_code, early.json()["code"]) == (503, "not_ready")
    server.wait_until_ready()
    assert server.post("/fill-mask", BODY).status_code == 200


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return finished([sys.executable, "-m", "server", *arguments], **environment)


def finished(command: Sequence[object], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)],
        cwd=REPOSITORY,
        env=environment or None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_models_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert run("--port", 0, "--models", tmp_path / name).returncode == 3


def test_a_default_model_that_is_not_there_is_refused(default_model: Path) -> None:
    ended = run("--port", 0, "--models", default_model, "--default-model", "nope")
    assert ended.returncode == 3


def test_a_port_in_use_is_one_clear_line(default_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("--models", default_model, "--port", taken.getsockname()[1])
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_help_lists_every_setting_with_its_default_and_environment_name() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    assert "--max-body-bytes" in ended.stdout
    assert "CLOZE_MAX_BODY_BYTES" in ended.stdout
    assert "default 8080" in ended.stdout


def test_a_wrong_setting_is_one_line_and_exit_code_2() -> None:
    ended = run("--port", "many", "--max-inputs", 0)
    assert ended.returncode == 2
    first, second = ended.stderr.splitlines()
    assert "--port (CLOZE_PORT)" in first
    assert "--max-inputs (CLOZE_MAX_INPUTS)" in second


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="has CUDA")
def test_a_gpu_that_this_install_cannot_use_is_one_line_and_exit_code_2(
    default_model: Path,
) -> None:
    ended = run("--port", 0, "--models", default_model, "--device", "cuda")
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: --device (CLOZE_DEVICE): this onnxruntime has no CUDA provider; "
        "install requirements/serve-cuda.txt\n"
    )


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="has CUDA")
def test_without_a_gpu_the_log_says_once_why_it_is_the_cpu(
    serve: Serve, default_model: Path
) -> None:
    lines = serve(default_model).log_lines()
    (why,) = [line for line in lines if line["message"].startswith("computing on the CPU: ")]
    assert "no CUDA provider" in why["message"]
    (ready,) = [line for line in lines if line["message"] == "model ready"]
    assert ready["device"] == "cpu"


def test_a_device_that_fails_late_ends_with_2_as_a_wrong_setting_does(
    default_model: Path, tmp_path: Path
) -> None:
    # A CUDA provider that is built in and does not load, as on a machine without a driver.
    (tmp_path / "sitecustomize.py").write_text(FALLS_BACK)
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    ended = run("--port", 0, "--models", default_model, "--device", "cuda", **environment)
    assert ended.returncode == 2
    assert "--device: the CUDA provider does not load" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_windows_is_refused_in_a_sentence() -> None:
    lacks = {os: "fork sched_getaffinity", signal: "SIGCHLD SIGALRM pthread_sigmask sigwait"}
    taken = [f"del {module.__name__}.{name}" for module in lacks for name in lacks[module].split()]
    program = ["import os, signal", *taken, "from server.__main__ import main", "main([])"]
    refused = finished([sys.executable, "-c", "\n".join(program)])
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: Cloze runs on Linux and macOS; on Windows use its container, or Linux in WSL\n"
    )


@pytest.mark.parametrize("host", ["a..b", "nowhere.invalid"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_host_that_is_none_is_one_clear_line(host: str, processes: int) -> None:
    ended = run("--host", host, "--processes", processes)
    assert ended.returncode == 1
    assert f"cannot listen on {host} port 8080: " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_with_0(
    serve: Serve, default_model: Path, sign: signal.Signals
) -> None:
    server = serve(default_model, drain_delay_s=0.2)
    server.process.send_signal(sign)
    assert server.process.wait(10) == 0


def test_readiness_fails_at_once_while_requests_are_still_served(
    serve: Serve, default_model: Path
) -> None:
    server = serve(default_model, drain_delay_s=1.5)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    readiness = server.get("/readyz")
    assert (readiness.status_code, readiness.json()["code"]) == (503, "draining")
    assert server.get("/livez").status_code == 200
    served = server.post("/fill-mask", BODY)
    assert served.status_code == 200
    assert served.headers["connection"] == "close"
    assert server.process.wait(10) == 0
    with pytest.raises(httpx.ConnectError):
        server.get("/livez")


def test_a_drain_under_load_fails_no_request(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, drain_delay_s=4)
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    stop = threading.Event()
    with ThreadPoolExecutor(50) as clients:
        busy = [clients.submit(ask_until, stop, server.url) for _ in range(30)]
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        answers = list(clients.map(ask_on, idle))
        stop.set()
        statuses = [status for client in busy for status in client.result()]
    assert server.process.wait(30) == 0
    assert len(statuses) > len(busy)
    assert set(statuses) == {200}
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert all(b"connection: close" in answer for answer in answers)


def ask_until(stop: threading.Event, url: str) -> list[int]:
    """Sends requests one after another, as a balancer does that has not noticed the drain yet."""
    statuses: list[int] = []
    with httpx.Client(timeout=30) as client:
        while not stop.is_set():
            statuses.append(client.post(f"{url}/fill-mask", json=BODY).status_code)
    return statuses


def ask_on(connection: socket.socket) -> bytes:
    """Sends a request on a connection that has been idle so far; reads until it is closed."""
    content = b'{"inputs": "Paris is the [MASK] of France."}'
    head = f"POST /fill-mask HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
    with connection, connection.makefile("rb") as answer:
        connection.settimeout(10)
        connection.sendall(head.encode() + content)
        return answer.read()


def test_admitted_work_is_finished_after_the_listener_closed(
    serve: Serve, default_model: Path
) -> None:
    server = serve(default_model, drain_delay_s=0, threads=1)
    answers: list[httpx.Response] = []
    body = {"inputs": ["word " * 400] * 40}
    thread = threading.Thread(target=lambda: answers.append(server.post("/embed", body)))
    thread.start()
    server.wait_until_busy()
    assert server.terminate() == 0
    thread.join()
    assert answers[0].status_code == 200
    assert len(answers[0].json()) == 40


def test_work_that_outlasts_the_drain_is_told_so_and_does_not_hold_up_the_end(
    serve: Serve, default_model: Path
) -> None:
    server = serve(default_model, drain_delay_s=0, drain_timeout_s=1, threads=1)
    with ThreadPoolExecutor(1) as client:
        body = {"inputs": ["word " * 400] * 150}
        answer = client.submit(server.post, "/embed", body)
        server.wait_until_busy()
        started = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - started < 6
        response = answer.result()
    assert (response.status_code, response.json()["code"]) == (503, "draining")


def test_slow_sockets_do_not_hold_up_the_end(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, drain_delay_s=0.2, drain_timeout_s=2)
    half_sent = [
        b"",
        b"POST /embed HTTP/1.1\r\nhost:",
        b'POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{"inputs',
    ]
    connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
    for index, connection in enumerate(connections):
        connection.sendall(half_sent[index % len(half_sent)])
    time.sleep(0.2)
    started = time.monotonic()
    assert server.terminate() == 0
    assert time.monotonic() - started < 8
    for connection in connections:
        connection.close()


def test_the_log_is_json_without_any_input(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, log_level="debug", drain_delay_s=0)
    server.post("/fill-mask", {"inputs": "Zanzibar [MASK]"}, x_request_id="find-me")
    server.post("/fill-mask", {"inputs": ["Zanzibar"], "Zanzibar": 1})
    assert server.terminate() == 0
    lines = server.log_lines()
    (line,) = [line for line in lines if line.get("request_id") == "find-me"]
    assert (line["route"], line["status"], line["model"]) == ("/fill-mask", 200, "cloze-small-en")
    assert "Zanzibar" not in server.log.read_text()


def test_browsers_of_configured_origins_may_call(serve: Serve, default_model: Path) -> None:
    origin = "https://app.example"
    server = serve(default_model, cors_origins=origin)
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    allowed = server.client.options(f"{server.url}/embed", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == origin
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    refused = server.post("/embed", {"inputs": ""}, origin=origin)
    assert refused.headers["access-control-allow-origin"] == origin
    other = server.post("/embed", {"inputs": "a"}, origin="https://evil.example")
    assert "access-control-allow-origin" not in other.headers


def test_browsers_may_not_call_by_default(server: RunningServer) -> None:
    response = server.post("/embed", {"inputs": "a"}, origin="https://app.example")
    assert "access-control-allow-origin" not in response.headers
