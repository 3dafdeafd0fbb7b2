"""The load generator: a plan in, what its clients saw out, in a process of its own.

On uvloop and raw HTTP, so that it takes little of the cores that it may share with the server.

Usage: python -m benchmarks.load PLAN.json; prints JSON.
"""

import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks.load.connection import request
from benchmarks.load.latencies import Window
from benchmarks.load.streams import ClosedLoop, OpenLoop

SWITCH_S = 0.0002  # in which the thread that paces an open loop gets its turn


async def measure(plan: dict[str, Any]) -> dict[str, Any]:
    """Run all streams of the plan side by side; `benchmarks.load.offer` says what a plan holds."""
    address = urlsplit(plan["url"])
    host, port = address.hostname or "", address.port or 80
    window = Window(plan["warm_s"], plan["seconds"])
    loops: dict[str, ClosedLoop | OpenLoop] = {}
    for name, stream in plan["streams"].items():
        ready = [request(target, address.netloc, body.encode()) for target, body in stream["posts"]]
        if stream["due_s"] is None:
            loops[name] = ClosedLoop(ready, stream["connections"], window)
        else:
            loops[name] = OpenLoop(ready, stream["due_s"], window)
    begun, cpu_begun = time.perf_counter(), time.process_time()
    await asyncio.gather(*(loop.run(host, port) for loop in loops.values()))
    busy = (time.process_time() - cpu_begun) / (time.perf_counter() - begun)
    streams = {name: asdict(loop.recorder.summary()) for name, loop in loops.items()}
    return {"busy": busy, "streams": streams}


def main() -> None:
    """Read the plan, measure, print."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    gc.disable()  # a collection would show as a latency
    sys.setswitchinterval(SWITCH_S)
    print(json.dumps(uvloop.run(measure(plan))))


if __name__ == "__main__":
    main()
