"""A command -> a running server and how long it took to get ready, ended when no longer wanted."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

READY_LIMIT_S = 60
STOP_LIMIT_S = 30


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    url: str
    pid: int
    ready_s: float

    def resident_mb(self) -> float:
        """Return the memory that the process holds now, in megabytes (10^6 bytes); Linux only."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kibibytes = status.partition("VmRSS:")[2].split()[0]
        return int(kibibytes) * 1024 / 1e6


@contextmanager
def cloze(models: Path, *options: str) -> Iterator[Server]:
    """Run `python -m server` on a free port from start to ready, and stop it afterwards.

    Raises:
        RuntimeError: the server ended, or was not ready in a minute.
    """
    port = free_port()
    where = ["--port", str(port), "--models", str(models)]
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "server", *where, *options])
    try:
        while not is_ready(port):
            waited_s = time.perf_counter() - started
            if process.poll() is not None or waited_s > READY_LIMIT_S:
                raise RuntimeError(f"the server was not ready after {waited_s:.0f} s")
            time.sleep(0.02)
        yield Server(f"http://127.0.0.1:{port}", process.pid, time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)


@contextmanager
def ceiling() -> Iterator[str]:
    """Run `benchmarks.ceiling` and give its base URL."""
    command = [sys.executable, "-m", "benchmarks.ceiling"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


def free_port() -> int:
    """Return a TCP port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def is_ready(port: int) -> bool:
    """Tell whether /readyz answers 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
