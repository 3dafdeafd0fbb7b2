"""Streams of requests -> a run of the load generator against a URL, and what its clients saw.

The generator is this module in a process of its own, on uvloop and raw HTTP, so that it takes
little of the cores that it may share with the server.

Usage: python -m benchmarks.load.offer PLAN.json; prints JSON.
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks.load.connection import request
from benchmarks.load.latencies import LatencySummary, Window
from benchmarks.load.streams import ClosedLoop, OpenLoop

Post = tuple[str, str]
"""Path and body of a request."""
SWITCH_S = 0.0002  # in which the thread that paces an open loop gets its turn


@dataclass(frozen=True)
class Stream:
    """Requests, sent again from the first when there are too few, and when they are sent."""

    posts: Sequence[Post]
    connections: int = 1
    """Kept busy, where `due_s` is None: a closed loop."""
    due_s: Sequence[float] | None = None
    """Seconds from the start at which requests are due: an open loop."""


@dataclass(frozen=True)
class Offered:
    """What the clients of each stream saw, and how busy the generator was."""

    streams: Mapping[str, LatencySummary]
    busy: float
    """Of one core, from 0 to 1."""
    began: float
    """When the warm-up did, in `time.perf_counter()` seconds."""


def offer(url: str, streams: Mapping[str, Stream], *, warm_s: float, seconds: float) -> Offered:
    """Run the streams side by side against the server at `url`, in a process of their own.

    Raises:
        RuntimeError: a request failed, which would make all rates meaningless.
    """
    asked = {name: asdict(stream) for name, stream in streams.items()}
    plan = {"url": url, "warm_s": warm_s, "seconds": seconds, "streams": asked}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        file.write_text(json.dumps(plan))
        command = [sys.executable, "-m", "benchmarks.load.offer", str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    summaries = {name: LatencySummary(**counts) for name, counts in answer["streams"].items()}
    for name, stream in summaries.items():
        if stream.failed:
            raise RuntimeError(f"{name}: {stream.failed} requests to {url} failed")
    return Offered(summaries, answer["busy"], answer["began"])


async def measure(plan: dict[str, Any]) -> dict[str, Any]:
    """Run all streams of a plan side by side."""
    address = urlsplit(plan["url"])
    window = Window(plan["warm_s"], plan["seconds"])
    loops: dict[str, ClosedLoop | OpenLoop] = {}
    for name, stream in plan["streams"].items():
        ready = [request(target, address.netloc, body.encode()) for target, body in stream["posts"]]
        if stream["due_s"] is None:
            loops[name] = ClosedLoop(ready, stream["connections"], window)
        else:
            loops[name] = OpenLoop(ready, stream["due_s"], window)
    begun, cpu_begun = time.perf_counter(), time.process_time()
    host, port = address.hostname or "", address.port or 80
    await asyncio.gather(*(loop.run(host, port) for loop in loops.values()))
    busy = (time.process_time() - cpu_begun) / (time.perf_counter() - begun)
    streams = {name: asdict(loop.recorder.summary()) for name, loop in loops.items()}
    return {"busy": busy, "began": window.starts, "streams": streams}


if __name__ == "__main__":
    gc.disable()  # a collection would show as a latency
    sys.setswitchinterval(SWITCH_S)
    print(json.dumps(uvloop.run(measure(json.loads(Path(sys.argv[1]).read_text())))))
