"""Section `batches`: what batch size and how many workers compute most, as the server runs them.

Settles `BATCH_TOKENS["cuda"]` and `GPU_WORKERS` in `server/inference/options.py`. A run here is a
worker's whole run: laying out the batch, the session, taking the results apart.
"""

from collections.abc import Sequence
from itertools import product

from benchmarks.gpu.lab import Lab, memory_used_mb
from benchmarks.gpu.report import Report
from benchmarks.gpu.streams import batches, p50_ms, rounds, tokens_of
from benchmarks.workloads import Task
from server.inference.runtime.packing import Batch
from server.inference.runtime.session import Session

LOADS: tuple[tuple[str, Task], ...] = (
    ("short", "fill-mask"),
    ("mixed", "fill-mask"),
    ("short", "embed"),
    ("mixed", "embed"),
)
LEAST_STREAM = 32_768  # tokens
LEAST_BATCHES = 3


def throughput(
    lab: Lab, report: Report, sizes: Sequence[str], budgets: Sequence[int], workers: Sequence[int]
) -> None:
    """Write a row for each size, load and batch size, with a column for each number of workers."""
    rates = [f"texts/s, {count} worker{'s' * (count > 1)}" for count in workers]
    columns = (*rates, "tokens/s, most", "laying out, ms", "batch, ms", "memory, MB")
    report.table("Batch size (fp16)", "model", "load", "batch tokens", *columns)
    sessions = {size: lab.session(size) for size in sizes}
    for load, size in product(LOADS, sizes):
        # Of the larger models, every other batch size will do.
        for budget in budgets if size == sizes[0] else budgets[1::2]:
            if lab.over:
                report.note("Cut short: no time was left.")
                return
            _point(lab, report, sessions[size], size, load, budget, workers)


def _point(
    lab: Lab,
    report: Report,
    session: Session,
    size: str,
    load: tuple[str, Task],
    budget: int,
    workers: Sequence[int],
) -> None:
    kind, task = load
    stream = max(LEAST_STREAM, LEAST_BATCHES * budget)
    laid = batches(lab.texts.items(kind, task), budget, stream)
    texts = sum(len(batch) for batch in laid)
    for batch in laid:
        session.run(batch)  # the first run of a shape allocates
    layers = lab.bert(size).spec.layers
    layout = p50_ms(lambda: Batch(laid[0], layers).feeds(), lab.seconds / 8, warm=1)
    whole = p50_ms(lambda: session.run(laid[0]), lab.seconds / 8, warm=1)
    measured = [
        rounds(laid, session.run, workers=count, seconds=lab.seconds).per_s for count in workers
    ]
    rates = [texts * per_s for per_s in measured]
    tokens = tokens_of(laid) * max(measured)
    report.row(size, f"{kind} {task}", budget, *rates, tokens, layout, whole, memory_used_mb())
