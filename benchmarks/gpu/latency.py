"""Section `latency`: what one short text alone takes, and what a batch of a new shape does.

The server's batches hardly ever have the shape of an earlier one, so what a library does once for
each shape it does for each batch.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from benchmarks.gpu.bound import Bound
from benchmarks.gpu.lab import SHIPPED, Lab, Opening, run
from benchmarks.gpu.report import Report
from benchmarks.gpu.streams import p50_ms
from server.inference.runtime.packing import Batch

NEW_SHAPES = 20
WITH_CUDNN = Opening(cuda={"sdpa_kernel": "0"})  # ONNX Runtime's own choice of kernels


def latency(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    """Write two tables."""
    _new_shapes(lab, report, sizes[:2])
    _alone(lab, report, sizes)


def _new_shapes(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    columns = ("first run of a shape", "slowest first", "second run")
    title = "Fill-masks in batches of 1 to 10 texts, ms (fp16, median)"
    report.table(title, "model", "attention", *columns)
    items = lab.texts.items("mixed", "fill-mask")
    for size in sizes:
        laid = [lab.feeds(items[n * n : n * n + n + 1], size) for n in range(NEW_SHAPES // 2)]
        short = lab.texts.items("short", "fill-mask")
        laid += [lab.feeds(short[n * 12 : n * 13 + 1], size) for n in range(NEW_SHAPES // 2)]
        for name, opening in (("as shipped", SHIPPED), ("as ONNX Runtime chooses", WITH_CUDNN)):
            session = lab.raw(lab.graph(size, "fp16"), opening)
            try:
                run(session, lab.feeds(items[:200], size))  # a large one, which allocates for all
                first, second = (
                    [_ms(partial(run, session, feeds)) for feeds in laid] for _ in "12"
                )
            except Exception as error:  # noqa: BLE001 - that it fails is what is reported
                report.row(size, name, f"failed: {str(error)[:300]}", "", "")
                continue
            report.row(size, name, median(first), max(first), median(second))


def _ms(once: Callable[[], object]) -> float:
    begun = time.perf_counter()
    once()
    return (time.perf_counter() - begun) * 1000


def _alone(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    columns = ("Session.run", "of it laying out", "inputs bound, copied each time", "inputs there")
    report.table("One short fill-mask alone, ms (fp16, median)", "model", *columns)
    for size in sizes:
        if lab.over:
            report.note("Cut short: no time was left.")
            return
        session = lab.session(size)
        item = lab.texts.items("short", "fill-mask")[0]
        layers = lab.bert(size).spec.layers
        whole = p50_ms(partial(session.run, [item]), lab.seconds)
        layout = p50_ms(lambda: Batch([item], layers).feeds(), lab.seconds / 4)  # noqa: B023
        raw = lab.raw(lab.graph(size, "fp16"))
        feeds = lab.feeds([item], size)
        bound = Bound(raw, feeds, lab.device.name, outputs=run(raw, feeds))

        def copied(bound: Bound = bound) -> None:
            bound.fill(feeds)  # noqa: B023
            bound.run()
            bound.outputs()

        report.row(size, whole, layout, p50_ms(copied, lab.seconds), p50_ms(bound.run, lab.seconds))
