"""Connections that send pairs of long texts, each again when it has its answer -> a busy server.

Usage: python -m tests.crowd PORT CONNECTIONS obeys|insists; it goes on until it is ended, and says
when it began. Who is refused obeys Retry-After, or insists after a twentieth of a second.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop

from tests.running_server import REPOSITORY

TEXT = "the people of the town walked through the market and talked about the weather " * 16
BODY = json.dumps({"inputs": {"text": TEXT, "text_pair": TEXT}}).encode()
HEAD = f"POST /nsp HTTP/1.1\r\nHost: cloze\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
INSISTS_S = 0.05


async def ask(port: int, obeys: bool) -> None:
    """One connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(HEAD + BODY)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(field(head, b"content-length"))
        if b" 429 " in head[:16]:
            await asyncio.sleep(field(head, b"retry-after") if obeys else INSISTS_S)


def field(head: bytes, name: bytes) -> int:
    """The number in a field of an answer's head."""
    return int(head.lower().partition(name + b": ")[2].split()[0])


async def main(port: str, connections: str, manner: str) -> None:
    """All of them."""
    asked = [
        asyncio.create_task(ask(int(port), manner == "obeys")) for _ in range(int(connections))
    ]
    await asyncio.sleep(1)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await asyncio.gather(*asked)


@contextmanager
def crowded(port: int, connections: int, manner: str) -> Iterator[None]:
    """Crowds a server for as long as this is open."""
    command = [sys.executable, "-m", "tests.crowd", str(port), str(connections), manner]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            yield
            assert process.poll() is None, "a connection broke"
        finally:
            process.kill()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
