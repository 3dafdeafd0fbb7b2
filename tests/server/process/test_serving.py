"""The end of a server under load: nothing that the kernel had accepted is lost."""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.asking import BODY, Asked, asking, crowd, refused
from tests.conftest import Serve
from tests.server.test_main import run

logger = logging.getLogger(__name__)

LOADS_SLOWLY = """
import pathlib, time, tokenizers

known = tokenizers.Tokenizer

class Tokenizer:
    from_str = known.from_str

    @staticmethod
    def from_file(path):
        pathlib.Path({file!r}).touch()
        time.sleep(2)
        return known.from_file(path)

tokenizers.Tokenizer = Tokenizer
"""
# Of what a thread ends with nothing is caught that is no `Exception`, such as a panic of Rust code.
DIES = """
import pathlib, onnxruntime

class Session(onnxruntime.InferenceSession):
    def run(self, *arguments):
        if pathlib.Path({file!r}).exists():
            raise GeneratorExit
        return super().run(*arguments)

onnxruntime.InferenceSession = Session
"""
HEAD = b"POST /fill-mask HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel cannot be told to wait")


def end_under_load(serve: Serve, model: Path, processes: int, delay_s: float) -> Asked:
    """Ends a server while clients ask that know nothing of it, until they are refused."""
    server = serve(model, processes=processes, threads=1, drain_delay_s=delay_s)
    with asking(crowd(server.port)) as asked:
        time.sleep(0.5)
        assert server.terminate() == 0
        assert refused(server.port)
        time.sleep(1.2)  # whoever asked for a connection at the end asks once more
    assert sum(asked.answers.values()) > 50
    return asked


@linux
@pytest.mark.parametrize(
    ("rounds", "delay_s"),
    [
        (2, 0.0),
        pytest.param(10, 0.0, marks=pytest.mark.slow),
        pytest.param(10, 1.0, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_no_connection_is_reset_by_the_end(
    serve: Serve, default_model: Path, processes: int, rounds: int, delay_s: float
) -> None:
    ends = [end_under_load(serve, default_model, processes, delay_s) for _ in range(rounds)]
    assert [asked.failed for asked in ends] == [{}] * rounds
    answered = sum(sum(asked.answers.values()) for asked in ends)
    logger.info("%d processes, %d ends: %d answered, 0 lost", processes, rounds, answered)


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_request_that_comes_just_after_the_listener_closed_is_the_last_of_its_connection(
    serve: Serve, default_model: Path, asked_before: bool
) -> None:
    server = serve(default_model, drain_delay_s=0)
    with server.connect() as connection, connection.makefile("rb") as answers:
        if asked_before:
            connection.sendall(HEAD + BODY)
            assert b"connection: close" not in read_answer(answers)
        server.process.send_signal(signal.SIGTERM)
        while not refused(server.port):
            time.sleep(0.02)
        connection.sendall(HEAD + BODY)
        answer = answers.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert server.process.wait(10) == 0


def read_answer(stream: BinaryIO) -> bytes:
    """The head of an answer; its body is read and thrown away."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.readline()
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    stream.read(int(length))
    return head


def test_idle_connections_do_not_hold_up_the_end(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, drain_delay_s=0)
    idle = [server.connect() for _ in range(5)]
    began = time.monotonic()
    assert server.terminate() == 0
    assert time.monotonic() - began < 4
    for connection in idle:
        assert connection.recv(1) == b""  # closed in order, not reset
        connection.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_where_it_refuses_while_it_loads_the_first_answer_says_that_it_is_ready(
    serve: Serve, default_model: Path, processes: int
) -> None:
    server = serve(default_model, wait=False, while_loading="refuse", processes=processes)
    server.wait_until_listening()
    assert refused(server.port)
    while refused(server.port):
        time.sleep(0.001)
    assert server.get("/readyz").status_code == 200
    assert server.post("/fill-mask", {"inputs": "a [MASK]"}).status_code == 200
    assert "bound; listens when the models are ready" in server.log.read_text()
    assert server.terminate() == 0


def test_one_that_is_ended_while_it_loads_never_listens(
    serve: Serve, default_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = tmp_path / "began"
    (tmp_path / "sitecustomize.py").write_text(LOADS_SLOWLY.format(file=str(began)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = serve(default_model, wait=False, while_loading="refuse")
    server.wait_until_listening()
    until = time.monotonic() + 30
    while not began.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    while server.process.poll() is None:
        assert time.monotonic() < until
        assert refused(server.port)
    assert server.process.returncode == 0


def test_who_waits_while_a_server_that_is_ended_has_only_begun_gets_an_answer(
    serve: Serve, default_model: Path
) -> None:
    server = serve(default_model, wait=False, drain_delay_s=0)
    server.wait_until_listening()
    with server.connect() as connection, connection.makefile("rb") as answers:
        connection.sendall(HEAD + BODY)
        server.process.send_signal(signal.SIGTERM)
        answer = answers.read()
    assert answer.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 200 "))
    assert server.process.wait(30) == 0


def test_one_that_cannot_load_never_listens(default_model: Path, tmp_path: Path) -> None:
    ended = run("--port", 0, "--models", tmp_path, "--while-loading", "refuse")
    assert ended.returncode == 3


def test_a_worker_that_dies_is_named_by_the_log_and_by_livez(
    serve: Serve, default_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = tmp_path / "deadly"
    (tmp_path / "sitecustomize.py").write_text(DIES.format(file=str(deadly)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = serve(default_model, threads=2)
    assert server.get("/livez").status_code == 200
    deadly.touch()
    late = server.post("/fill-mask", {"inputs": "a [MASK]"}, x_request_timeout_ms="500")
    assert late.status_code == 504
    (line,) = [line for line in server.log_lines() if "task" in line]
    assert (line["level"], line["message"]) == ("error", "a background task failed")
    assert line["exception"].endswith("GeneratorExit")
    alive = server.get("/livez")
    assert alive.status_code == 503
    assert f"The background task '{line['task']}' has failed" in alive.text
    assert line["task"].startswith("worker-")
