"""A URL and a file of request bodies -> how many answers a second, and how long each took.

The load generator: it keeps a fixed number of connections busy, each sending its next request when
the last one is answered. It runs as a process of its own, on uvloop and raw HTTP, so that it takes
little from the server that it measures. Knows nothing of what the requests mean.

Usage: python -m benchmarks.load URL FILE-OF-BODIES CONNECTIONS SECONDS
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True)
class Load:
    """What one run of the load generator saw; the percentiles are latencies."""

    answers: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Good answers per second.

        >>> Load(answers=300, failed=0, seconds=2.0, p50_ms=1.0, p99_ms=2.0).rate
        150.0
        """
        return self.answers / self.seconds


def offer(url: str, bodies: Path, *, connections: int, seconds: float) -> Load:
    """Post the lines of `bodies` to `url`, in turn, over `connections` busy connections.

    Raises:
        RuntimeError: a request failed, which would make the rate meaningless.
    """
    command = [sys.executable, "-m", "benchmarks.load"]
    arguments = [url, str(bodies), str(connections), str(seconds)]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    load = Load(**json.loads(done.stdout))
    if load.failed or not load.answers:
        raise RuntimeError(f"{load.failed} requests to {url} failed, {load.answers} were answered")
    return load


class Connection(asyncio.Protocol):
    """Sends one request after the other and notes when each answer is complete."""

    def __init__(self, requests: Iterator[bytes], latencies_s: list[float]) -> None:
        self.requests = requests
        self.latencies_s = latencies_s
        self.failed = 0
        self.received = bytearray()
        self.sent_at = 0.0
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = cast("asyncio.WriteTransport", transport)
        self._send(self.transport)

    def data_received(self, data: bytes) -> None:
        """Count a complete answer and send the next request."""
        self.received += data
        end = answer_length(self.received)
        if end is None or len(self.received) < end or self.transport is None:
            return
        if self.received.startswith(b"HTTP/1.1 200 "):
            self.latencies_s.append(time.perf_counter() - self.sent_at)
        else:
            self.failed += 1
        self.received.clear()
        self._send(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - told by count
        """Count a connection that the server closed: the measurement is over before it does."""
        self.failed += self.transport is not None
        self.transport = None

    def finish(self) -> None:
        """Close without counting what is still under way."""
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.close()

    def _send(self, transport: asyncio.WriteTransport) -> None:
        self.sent_at = time.perf_counter()
        transport.write(next(self.requests))


def answer_length(received: bytes | bytearray) -> int | None:
    r"""Return the length in bytes of the answer that begins here, None until its head is complete.

    >>> answer_length(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
    40
    """
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    field = received[:head_end].lower().partition(b"content-length:")[2]
    return head_end + 4 + int(field.partition(b"\r\n")[0])


def request(target: str, host: str, body: bytes) -> bytes:
    """Return the bytes of one POST request."""
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def measure(url: str, bodies: list[bytes], connections: int, seconds: float) -> Load:
    """Keep the connections busy for so long and return what was seen."""
    address = urlsplit(url)
    requests = cycle([request(address.path, address.netloc, body) for body in bodies])
    latencies_s: list[float] = []
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: Connection(requests, latencies_s), address.hostname or "", address.port or 80
        )
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for _, connection in opened:
        connection.finish()
    latencies_s.sort()
    return Load(
        answers=len(latencies_s),
        failed=sum(connection.failed for _, connection in opened),
        seconds=time.perf_counter() - started,
        p50_ms=percentile(latencies_s, 0.50) * 1000,
        p99_ms=percentile(latencies_s, 0.99) * 1000,
    )


def percentile(ascending: list[float], share: float) -> float:
    """Return the value below which the share lies, NaN for none.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    3.0
    """
    return ascending[int(share * len(ascending))] if ascending else float("nan")


def main() -> None:
    """Read the command line, measure, print."""
    url, file, connections, seconds = sys.argv[1:]
    bodies = Path(file).read_bytes().splitlines()
    load = uvloop.run(measure(url, bodies, int(connections), float(seconds)))
    print(json.dumps(asdict(load)))


if __name__ == "__main__":
    main()
