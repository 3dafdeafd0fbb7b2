"""Section `graphs`: CUDA graphs of one short text: whether they can be, are right, and are faster.

A graph is recorded on one text and replayed on others of the same bucket; each answer is compared
with the ordinary session's. Two graphs are tried: the exported one, and one without the two
operators that copy sizes from host memory while they are recorded (`GatherND`, `Concat`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.gpu.bound import Bound
from benchmarks.gpu.buckets import Shape, padded, trimmed
from benchmarks.gpu.lab import SHIPPED, Feeds, Lab, run
from benchmarks.gpu.report import Report
from benchmarks.gpu.streams import p50_ms
from benchmarks.gpu.variants import Recordable
from export.graph.bert import BertGraph

TEXTS = 24
RECORDING_RUNS = 3  # ONNX Runtime records at the second or third


def graphs(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    """Write a row for each size and graph."""
    columns = ("ordinary, ms", "padded, ms", "replayed, ms", "replay alone, ms")
    title = "CUDA graphs, one short fill-mask (fp16, median)"
    report.table(title, "model", "graph", *columns, "largest difference", "wrong best words")
    for size in sizes:
        for name, graph in (("exported", BertGraph), ("without host copies", Recordable)):
            if lab.over:
                report.note("Cut short: no time was left.")
                return
            try:
                _measure(lab, report, size, name, graph)
            except Exception as error:  # noqa: BLE001 - that it fails is what is reported
                report.row(size, name, f"failed: {str(error)[:400]}", "", "", "", "", "")


def _measure(lab: Lab, report: Report, size: str, name: str, graph: type[BertGraph]) -> None:
    label = "" if graph is BertGraph else "recordable"
    folder = lab.graph(size, "fp16", graph, label)
    ordinary = lab.raw(folder)
    all_feeds = [lab.feeds([item], size) for item in lab.texts.items("short", "fill-mask")[:TEXTS]]
    shape = _bucket(all_feeds)
    feeds = [padded(one, shape) for one in all_feeds]
    first = feeds[0]
    device = lab.device.name
    opening = replace(SHIPPED, cuda={"enable_cuda_graph": "1"}) if device == "cuda" else SHIPPED
    session = lab.raw(folder, opening)
    bound, other = (
        Bound(
            session,
            recorded,
            device,
            outputs=run(ordinary, recorded),
            entries={"gpu_graph_id": number} if device == "cuda" else {},
        )
        for number, recorded in (("1", first), ("2", padded(all_feeds[0], _doubled(shape))))
    )
    for _ in range(RECORDING_RUNS):
        bound.run()
        other.run()
    worst, wrong = 0.0, 0
    for own, one in zip(all_feeds, feeds, strict=True):
        other.run()  # a graph beside it, which must not disturb
        bound.fill(one)
        bound.run()
        found, wanted = trimmed(bound.outputs(), Shape.of(own)), run(ordinary, own)
        odds = "mlm_log_probabilities"
        worst = max(worst, float(np.abs(found[odds] - wanted[odds]).max()))
        wrong += int(found["mlm_ids"][0, 0] != wanted["mlm_ids"][0, 0])

    def answer() -> None:
        bound.fill(first)
        bound.run()
        bound.outputs()

    report.row(
        size,
        name,
        p50_ms(lambda: run(ordinary, all_feeds[0]), lab.seconds),
        p50_ms(lambda: run(ordinary, first), lab.seconds),
        p50_ms(answer, lab.seconds),
        p50_ms(bound.run, lab.seconds),
        worst,
        f"{wrong} of {len(feeds)}",
    )


def _bucket(all_feeds: Sequence[Feeds]) -> Shape:
    """The smallest shape of powers of two that all fit in."""
    sizes = np.max([tuple(vars(Shape.of(feeds)).values()) for feeds in all_feeds], axis=0)
    return Shape(*(int(size) for size in sizes)).grown()


def _doubled(shape: Shape) -> Shape:
    return Shape(*(2 * size for size in vars(shape).values()))
