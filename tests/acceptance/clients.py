"""Requests as bytes in, answers and how long they took out: many at once, over plain sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LIMIT_S = 60
PAGE_MIB = 4096 / (1 << 20)


Sent = bytes | Sequence[bytes | Iterable[bytes]]
"""A request, or its parts, which may be made only while it is sent."""


@dataclass(frozen=True)
class Answer:
    """One answer; status 0 where the connection ended without one."""

    status: int
    seconds: float
    """From the first byte sent to the whole answer."""
    head: bytes = b""
    body: bytes = b""


def request(path: str, body: object, *fields: str) -> bytes:
    """A POST of JSON, or of bytes as they are, after which the connection closes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: cloze",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *fields,
    ]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + content


async def ask(port: int, sent: Sent) -> Answer:
    """Sends bytes until they end or an answer comes."""
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            sending = asyncio.create_task(_send(writer, sent))
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                body = await reader.readexactly(int(length or 0))
            finally:
                sending.cancel()
                writer.transport.abort()
    except (OSError, EOFError):  # reset, closed, or never answered
        return Answer(0, time.perf_counter() - begun)
    return Answer(int(head.split()[1]), time.perf_counter() - begun, head, body)


async def _send(writer: asyncio.StreamWriter, sent: Sent) -> None:
    with suppress(OSError):
        for part in [sent] if isinstance(sent, bytes) else sent:
            for piece in [part] if isinstance(part, bytes) else part:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)  # so that an answer is read meanwhile


def ask_all(port: int, requests: Sequence[Sent], at_once: int = 10_000) -> list[Answer]:
    """Sends requests, each on a connection of its own, so many at a time; answers in order."""

    async def run() -> list[Answer]:
        room = asyncio.Semaphore(at_once)

        async def one(sent: Sent) -> Answer:
            async with room:
                return await ask(port, sent)

        return await asyncio.gather(*map(one, requests))

    return asyncio.run(run())


@contextmanager
def probing(port: int) -> Iterator[list[float]]:
    """Asks both probes all the while; how many seconds each answer took."""
    stop, taken = threading.Event(), list[float]()

    def probe() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        while not stop.wait(0.1):
            for path in ("/livez", "/readyz"):
                begun = time.perf_counter()
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                taken.append(time.perf_counter() - begun)
                assert answer.status == 200
        connection.close()

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


def files_of(process: int) -> int:
    """How many files and sockets a process holds."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def resident_mib(process: int) -> float:
    """The memory of a process that is in RAM."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_MIB


def p99(values: Sequence[float]) -> float:
    """The value that one of a hundred exceeds."""
    return float(np.percentile(values, 99))
