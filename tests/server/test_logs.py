"""One line per record, whatever is in it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.logs import ASKED, Asked, ByRequest, Floods, JsonLines, PromptHandler, TextLines
from tests.acceptance.faults import POISON, FaultyServer
from tests.running_server import REPOSITORY, START_TIMEOUT_S, Served


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "cloze", "levelname": "INFO", "msg": message})
    made.__dict__.update(extra)
    return made


def test_a_record_becomes_one_json_line_with_its_fields() -> None:
    line = JsonLines().format(record("model ready", model="minilm", ms=1.5))
    fields = json.loads(line)
    assert (fields["message"], fields["model"], fields["ms"]) == ("model ready", "minilm", 1.5)
    assert (fields["level"], fields["logger"]) == ("info", "cloze")


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_control_characters_cannot_forge_a_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("a\nb\x1b[31m", field="c\r\nd\x00"))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_an_exception_is_told_by_type_and_place_but_not_message(
    formatter: logging.Formatter,
) -> None:
    with pytest.raises(ValueError, match="Zanzibar") as caught:
        int("Zanzibar")
    raised = (caught.type, caught.value, caught.tb)
    line = formatter.format(record("failed", exc_info=raised))
    told = [part for part in line.replace("\\n", "\n").splitlines() if "int(" not in part]
    assert "ValueError" in line
    assert "test_logs.py" in line
    assert not any("Zanzibar" in part for part in told)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (None, {}),
        (Asked(b"order-7"), {"request_id": "order-7"}),
        (Asked(b"a", "0af7"), {"request_id": "a", "trace_id": "0af7"}),
    ],
)
def test_a_line_names_the_request_that_is_answered(asked: Asked | None, told: object) -> None:
    made = record("said by anybody")
    usual = set(vars(made))
    token = ASKED.set(asked)
    try:
        assert ByRequest().filter(made)
    finally:
        ASKED.reset(token)
    assert {name: value for name, value in vars(made).items() if name not in usual} == told


def test_a_request_that_makes_its_model_fail_is_found_by_its_id(
    faulty: Callable[..., FaultyServer],
) -> None:
    planted = faulty(threads=1)
    planted.poison()
    answer = planted.server.post("/embed", {"inputs": ["fine", f"so {POISON}"]}, x_request_id="odd")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    deadline = time.monotonic() + START_TIMEOUT_S
    while not any(line["message"] == "request" for line in planted.server.log_lines()):
        assert time.monotonic() < deadline
    lines = [line for line in planted.server.log_lines() if line.get("request_id") == "odd"]
    messages = [line["message"] for line in lines]
    assert "a batch of 1 failed: RuntimeError" in messages
    assert (messages[-1], lines[-1]["reason"]) == ("request", "internal_error")
    assert POISON not in planted.server.log.read_text()


class Reader:
    """A pipe that is read only when it is told to."""

    def __init__(self) -> None:
        self._out, own = os.pipe()
        os.set_blocking(self._out, False)
        self.stream = open(own, "w")  # noqa: PTH123, SIM115 - a descriptor

    def lines(self) -> list[dict[str, Any]]:
        received = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._out, 1 << 16):
                received += part
        return [json.loads(line) for line in received.splitlines()]

    def close(self) -> None:
        self.stream.close()
        os.close(self._out)


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


def test_a_line_that_nobody_makes_room_for_is_dropped_and_counted(reader: Reader) -> None:
    handler = PromptHandler(reader.stream)
    handler.setFormatter(JsonLines())
    for number in range(2000):
        handler.emit(record("x" * 500, number=number))
    assert handler.dropped > 1000
    written = reader.lines()
    assert [line["number"] for line in written] == list(range(2000 - handler.dropped))
    handler.emit(record("again"))
    (line,) = reader.lines()
    assert line["lines_dropped"] == handler.dropped
    handler.emit(record("and again"))
    assert "lines_dropped" not in reader.lines()[0]


def test_no_line_is_longer_than_a_pipe_takes_at_once(reader: Reader) -> None:
    handler = PromptHandler(reader.stream)
    handler.setFormatter(TextLines())
    assert len(handler.format(record("short", field="\u6771" * 5000)).encode()) < 4096


def test_of_many_lines_alike_the_first_are_written_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    floods = Floods()
    warned = [record("request", levelno=30, status=500) for _ in range(50)]
    assert [floods.filter(each) for each in warned] == [True] * 20 + [False] * 30
    assert floods.filter(record("request", levelno=30, status=504)), "another kind"
    debugged = [record("request", levelno=10, status=500) for _ in range(50)]
    assert all(floods.filter(each) for each in debugged)
    now[0] += 11
    later = record("request", levelno=30, status=500)
    assert floods.filter(later)
    assert vars(later)["alike_left_out"] == 30


@pytest.mark.parametrize("processes", [1, 2])
def test_a_log_that_nobody_reads_does_not_stop_the_server(
    default_model: Path, processes: int
) -> None:
    out, own = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "server", "--models", str(default_model), "--port", str(port)]
    command += ["--log-level", "debug", "--drain-delay-s", "0", "--processes", str(processes)]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=own) as process:
        os.close(own)
        served = Served(port=port)
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.TransportError):
                    if served.get("/readyz").is_success:
                        break
                time.sleep(0.05)
            while served.metric("cloze_log_lines_dropped_total") < 100:
                assert time.monotonic() < deadline
                for _ in range(100):
                    with served.connect() as connection:
                        connection.sendall(b"\x01nonsense\r\n\r\n")
                        connection.recv(1 << 16)
            assert served.post("/embed", {"inputs": "a"}).is_success
            served.client.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(out)
