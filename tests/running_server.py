"""A model folder and options in, a real `python -m server` on a port of its own out."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).parents[1]
START_TIMEOUT_S = 60


@dataclass
class Served:
    """Something that answers HTTP on a port of this machine."""

    port: int = field(default=0, kw_only=True)
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(timeout=60)

    @property
    def url(self) -> str:
        """Address without a path."""
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """Sends `body` as JSON; in header names an underscore stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(self.url + path, json=body, headers=named)

    def post_raw(self, path: str, content: bytes, **headers: str) -> httpx.Response:
        """Sends bytes as they are, declared as JSON unless `content_type` says otherwise."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            self.url + path, content=content, headers={"content-type": "application/json"} | named
        )

    def get(self, path: str) -> httpx.Response:
        """Asks for a path."""
        return self.client.get(self.url + path)

    def connect(self) -> socket.socket:
        """A connection for what no client library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def metric(self, line_start: str) -> float:
        """Sums the samples whose lines in /metrics start so, after a whole name."""
        samples = re.compile(re.escape(line_start) + ("" if "{" in line_start else "[{ ]"))
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if samples.match(line))

    def wait_until(self, line_start: str, reached: Callable[[float], bool]) -> None:
        """Returns once a metric is as wanted."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not reached(found := self.metric(line_start)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{line_start} stayed at {found}")
            time.sleep(0.01)

    def wait_until_busy(self) -> None:
        """Returns once a batch is being computed."""
        self.wait_until("cloze_running_batches", bool)


@dataclass
class RunningServer(Served):
    """One server process; its log is read from a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def log_lines(self) -> list[dict[str, Any]]:
        """Parses the log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def terminate(self, timeout_s: float = 30) -> int:
        """Sends SIGTERM and returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """Ends the process whatever it does."""
        self.client.close()
        self.process.kill()
        self.process.wait()

    def wait_until_listening(self) -> None:
        """Reads the port from the log."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if '"port":' in line:
                    self.port = json.loads(line)["port"]
                    return
            self._fail_if_ended()
            time.sleep(0.02)
        raise TimeoutError(self.log.read_text())

    def wait_until_ready(self) -> None:
        """Asks /readyz until it succeeds."""
        self.wait_until_listening()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            self._fail_if_ended()
            with suppress(httpx.ConnectError):  # where it refuses while it loads
                if self.get("/readyz").is_success:
                    return
            time.sleep(0.05)
        raise TimeoutError(self.log.read_text())

    def _fail_if_ended(self) -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"exit {self.process.returncode}: {self.log.read_text()}")


def start_server(models: Path, log: Path, **settings: object) -> RunningServer:
    """Starts a server on a free port without waiting for it.

    Args:
        models: folder of model folders.
        log: where its standard error goes.
        settings: fields of `Settings`, passed as environment variables.
    """
    options = {"port": 0, "models": models, **settings}
    environment = os.environ | {f"CLOZE_{key.upper()}": str(v) for key, v in options.items()}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "server"], cwd=REPOSITORY, env=environment, stderr=stream
        )
    return RunningServer(process, log)
