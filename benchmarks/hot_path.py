"""`make hot-path`: a server under load -> where the microseconds of a short request go.

The event loop's time per request comes from the kernel's count of its thread. py-spy samples what
the thread is doing meanwhile, and each sample counts for the part of the request's way whose file
its innermost Python frame is in. What native code does (sockets, JSON) counts for its caller.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cloze import DEFAULT_MODEL, subjects
from benchmarks.machine import conditions, own_cores
from benchmarks.report import table
from benchmarks.subjects import Server, running
from benchmarks.workloads import TASKS, Workload, Workloads
from models.manifest import TOKENIZER_FILE

CONNECTIONS, WARM_S = 32, 1.0
SAMPLES_PER_S = 200
LOOP = "MainThread"
HTTP = "HTTP: parsing requests, writing answers (uvicorn, httptools)"
BODY = "body, checks, answer, headers (JSON and schemas included)"

# Where a file belongs; the first that its path contains. Folders, where they are enough.
PARTS = (
    ("asyncio/runners.py", "the loop itself: waiting for sockets, reading, calling back"),
    ("uvicorn/", HTTP),
    ("server/process/", HTTP),
    ("asyncio/", "tasks, futures, timers (asyncio)"),
    ("server/inference/tokenizer", "tokenising, and word pieces back to text"),
    ("server/inference/tasks", "the task: items, results, candidates"),
    ("server/inference/scheduling/", "queue, and handing out results"),
    ("server/inference/", "the flow between them"),
    ("server/http/", BODY),
    ("fastapi/", BODY),
    ("starlette/", BODY),
    ("pydantic", BODY),
    ("server/", "the rest of the server: deadlines, metrics, logs"),
)


def part_of(frames: Sequence[str]) -> str:
    """Name the part of a request's way that a stack of frames is in, the outermost frame first.

    >>> part_of(["run (uvicorn/server.py:86)", "_find (server/inference/tokenizer.py:266)"])
    'tokenising, and word pieces back to text'
    """
    for frame in reversed(frames):
        for path, name in PARTS:
            if path in frame:
                return name
    return "other"


def shares(stacks: Iterable[str]) -> Counter[str]:
    """Count the samples of the event loop's thread in each part, from py-spy's raw lines.

    >>> put = "put (server/inference/scheduling/queue.py:9)"
    >>> dict(shares([f"thread (1): MainThread;{put} 3", "worker;x 5"]))
    {'queue, and handing out results': 3}
    """
    counted: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if LOOP in thread:
            counted[part_of(frames)] += int(count)
    return counted


def sampled(server: Server, workload: Workload, seconds: float) -> tuple[float, Counter[str]]:
    """Return the event loop's microseconds per request, and samples of where they go."""
    program = server.program
    quiet = program.main_threads_s()
    done = server.saturate(workload, CONNECTIONS, warm_s=WARM_S, seconds=seconds)
    loop_s = program.main_threads_s() - quiet
    # Sampling slows the server down, so it gets a load of its own.
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "stacks.txt"
        command = ["py-spy", "record", "--threads", "--format", "raw", "--output", str(raw)]
        command += ["--rate", str(SAMPLES_PER_S), "--duration", str(round(seconds))]
        with subprocess.Popen(
            [*command, "--pid", str(program.number)], stderr=subprocess.DEVNULL
        ) as spy:
            server.saturate(workload, CONNECTIONS, warm_s=WARM_S, seconds=seconds + 2)
            if spy.wait():
                raise RuntimeError("py-spy could not look into the server; it may need root")
        counted = shares(raw.read_text().splitlines())
    served = done.latency.served if done.latency else 0
    return loop_s / served * 1e6, counted


def shown(loop_us: float, counted: Counter[str]) -> str:
    """Write parts and their microseconds, the largest first."""
    total = counted.total()
    parts = [[part, f"{loop_us * n / total:.0f}"] for part, n in counted.most_common()]
    whole = ["**together**", f"**{loop_us:.0f}**"]
    return table(["on the event loop", "µs per request"], [*parts, whole])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_path")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    cores = own_cores()
    workloads = Workloads(options.model / TOKENIZER_FILE)
    spec, _ = subjects(options.model)
    print("\n".join(f"- {name}: {value}" for name, value in conditions(cores).items()))
    with TemporaryDirectory() as logs, running(spec, cores, Path(logs)) as server:
        if not isinstance(server, Server):
            sys.exit("expected a server")
        for task in TASKS:
            workload = workloads.of("short", task)
            print(f"\n{workload.name}\n\n{shown(*sampled(server, workload, options.seconds))}")


if __name__ == "__main__":
    main()
