"""Section `latency`: what one short text alone takes, and where that time goes."""

from collections.abc import Sequence
from functools import partial

from benchmarks.gpu.bound import Bound
from benchmarks.gpu.lab import Lab, run
from benchmarks.gpu.report import Report
from benchmarks.gpu.streams import p50_ms
from server.inference.items import Batch


def latency(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    """Write a row for each size."""
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
