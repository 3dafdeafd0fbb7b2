"""Connections that send pairs of long texts, each again when it has its answer -> a busy server.

Usage: python -m tests.crowd PORT CONNECTIONS; it goes on until it is ended, and says when it began.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.running_server import REPOSITORY

TEXT = "the people of the town walked through the market and talked about the weather " * 16
BODY = json.dumps({"inputs": {"text": TEXT, "text_pair": TEXT}}).encode()
HEAD = f"POST /nsp HTTP/1.1\r\nHost: cloze\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
REFUSED_S = 0.05  # until the next try; whoever obeys Retry-After waits longer


async def ask(port: int) -> None:
    """One connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(HEAD + BODY)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split()[0]
        await reader.readexactly(int(length))
        if b" 429 " in head[:16]:
            await asyncio.sleep(REFUSED_S)


async def main(port: int, connections: int) -> None:
    """All of them."""
    asked = [asyncio.create_task(ask(port)) for _ in range(connections)]
    await asyncio.sleep(1)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await asyncio.gather(*asked)


@contextmanager
def crowded(port: int, connections: int) -> Iterator[None]:
    """Crowds a server for as long as this is open."""
    command = [sys.executable, "-m", "tests.crowd", str(port), str(connections)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            yield
            assert process.poll() is None, "a connection broke"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
