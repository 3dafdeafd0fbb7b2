"""Section `server`: the whole server on the device, under the load generator of `make bench`.

The three tasks are asked first: the server must say that it runs where it was told to.
"""

import json
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from benchmarks import cloze
from benchmarks.gpu.lab import Lab
from benchmarks.gpu.report import Report
from benchmarks.machine import leave
from benchmarks.subjects import Server, Spec, running
from benchmarks.workloads import Question, Task, Workloads
from models.manifest import TOKENIZER_FILE

QUESTIONS = (
    Question("fill-mask", ("Paris is the [MASK] of France.",)),
    Question("nsp", ("It rained all night.", "The street was wet.")),
    Question("embed", ("A text to embed.",)),
)
LOADS: tuple[tuple[str, Task], ...] = (
    ("short", "fill-mask"),
    ("mixed", "fill-mask"),
    ("short", "embed"),
)
GENERATOR_CORES = 2
WARM_S = 0.3


def serving(
    lab: Lab,
    report: Report,
    sizes: Sequence[str],
    processes: Sequence[int],
    connections: Sequence[int],
) -> None:
    """Write what the server says of itself, then a row for each load."""
    cores = sorted(os.sched_getaffinity(0))
    own = cores[:-GENERATOR_CORES] if len(cores) > 2 * GENERATOR_CORES else cores
    leave(own)
    report.table(
        "The server over HTTP (fp16)",
        *("model", "processes", "load", "connections", "requests/s", "p50, ms", "p99, ms"),
        *("server's CPU, s per 1,000", "generator busy"),
    )
    for size, count in product(sizes, processes):
        if lab.over:
            report.note("Cut short: no time was left.")
            return
        with TemporaryDirectory() as logs:
            spec = _spec(lab, size, count)
            try:
                with running(spec, own, Path(logs)) as subject:
                    if isinstance(subject, Server):
                        _measure(lab, report, subject, size, count, connections)
            except RuntimeError as error:
                report.note(f"{size}, {count} processes: {error}")


def _spec(lab: Lab, size: str, processes: int) -> Spec:
    folder = lab.model(size, "fp16")
    flags = ["--models", str(folder), "--device", lab.device.name, "--processes", str(processes)]
    return cloze.server(f"cloze {size} {processes}", *flags)


def _measure(
    lab: Lab, report: Report, server: Server, size: str, processes: int, connections: Sequence[int]
) -> None:
    answers = [json.dumps(server.ask(question))[:60] for question in QUESTIONS]
    with server.awake(), urlopen(f"{server.url}/info", timeout=20) as answer:  # noqa: S310 - HTTP
        said = json.loads(answer.read())
    report.note(f"{size}, {processes} processes, ready after {server.ready_s:.1f} s: {said}")
    report.note(f"{size}: answers: {'; '.join(answers)}")
    workloads = Workloads(lab.graph(size, "fp16") / TOKENIZER_FILE)
    for (kind, task), count in product(LOADS, connections):
        if lab.over:
            return
        found = server.saturate(
            workloads.of(kind, task), count, warm_s=WARM_S, seconds=2 * lab.seconds
        )
        if found.seen is not None:
            seen = found.seen
            report.row(
                *(size, processes, f"{kind} {task}", count, found.rate, seen.p50_ms, seen.p99_ms),
                *(found.cpu_s, found.busy),
            )
