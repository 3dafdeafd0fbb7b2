"""Streams of requests -> a run of the load generator against a URL, and what its clients saw."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.load.latencies import LatencySummary

Post = tuple[str, str]
"""Path and body of a request."""
BUSIEST = 0.9  # share of one core above which the generator may be what limits a rate


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


def offer(url: str, streams: Mapping[str, Stream], *, warm_s: float, seconds: float) -> Offered:
    """Run the streams side by side against the server at `url`, in a process of their own.

    Raises:
        RuntimeError: a request failed, which would make all rates meaningless.
    """
    plan = {
        "url": url,
        "warm_s": warm_s,
        "seconds": seconds,
        "streams": {
            name: {
                "posts": stream.posts,
                "connections": stream.connections,
                "due_s": None if stream.due_s is None else list(stream.due_s),
            }
            for name, stream in streams.items()
        },
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        file.write_text(json.dumps(plan))
        command = [sys.executable, "-m", "benchmarks.load", str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    summaries = {name: LatencySummary(**counts) for name, counts in answer["streams"].items()}
    for name, stream in summaries.items():
        if stream.failed:
            raise RuntimeError(f"{name}: {stream.failed} requests to {url} failed")
    return Offered(summaries, answer["busy"])
