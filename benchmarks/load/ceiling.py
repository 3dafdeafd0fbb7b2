"""A server that answers at once, whatever it is asked: shows what the load generator could offer.

Usage: python -m benchmarks.load.ceiling; prints its base URL and serves until it is ended.
"""

import asyncio
import subprocess
import sys
from typing import cast

import uvloop

from benchmarks.load.offer import Stream, offer

BODY = b"[" + b"0.123456789," * 40 + b"0]"  # about as long as a fill-mask answer
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Answering(asyncio.Protocol):
    """Answers each read: the generator sends a request only when the last is answered."""

    transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - the same answer to everything
        """Answer."""
        self.transport.write(ANSWER)


async def serve() -> None:
    """Serve on a free port of this machine."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def ceiling_rate(connections: int, seconds: float = 1.0) -> float:
    """Return the requests per second of the load generator against this server."""
    command = [sys.executable, "-m", "benchmarks.load.ceiling"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            stream = Stream([("/", "{}")], connections)
            return offer(url, {"all": stream}, warm_s=0.2, seconds=seconds).streams["all"].rate
        finally:
            process.terminate()


if __name__ == "__main__":
    uvloop.run(serve())
