"""Section `attention`: other graphs for CUDA beside the shipped one, by time and by answer.

Section `kernels`: where the shipped one's time goes, as CUDA's own profiler sees it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.gpu.lab import SHIPPED, Feeds, Lab, Opening, Outputs, run
from benchmarks.gpu.report import Report
from benchmarks.gpu.streams import batches, p50_ms
from benchmarks.gpu.variants import (
    MultiHeadAttention,
    PackedAttention,
    PackedOneProduct,
    PackedThroughout,
    places,
)
from benchmarks.workloads import Task
from export.graph.bert import BertGraph

WITH_CUDNN = Opening(cuda={"sdpa_kernel": "0"})
WITH_OPTIMISERS = Opening(disabled=())
KERNELS = 14  # shown
PROFILED_RUNS = 3


@dataclass(frozen=True)
class Variant:
    """A graph and how to open it."""

    name: str
    graph: type[BertGraph] = BertGraph
    opening: Opening = SHIPPED

    @property
    def label(self) -> str:
        """The end of its folder's name."""
        return "" if self.graph is BertGraph else self.graph.__name__.lower()


VARIANTS = (
    Variant("as shipped"),
    Variant("packed attention", PackedAttention),
    Variant("packed attention in the last layer too", PackedThroughout),
    Variant("packed attention, one product", PackedOneProduct),
    Variant("optimisers on", opening=WITH_OPTIMISERS),
    Variant("packed attention, optimisers on", PackedAttention, WITH_OPTIMISERS),
    Variant("as shipped, kernels as ONNX Runtime chooses", opening=WITH_CUDNN),
    Variant("MultiHeadAttention", MultiHeadAttention),
)
LOADS: tuple[tuple[str, Task, int], ...] = (
    ("mixed", "fill-mask", 8192),
    ("mixed", "embed", 32_768),
    ("short", "fill-mask", 8192),
    ("short", "fill-mask", 18),
)


def attention(lab: Lab, report: Report, sizes: Sequence[str], largest: int) -> None:
    """Write a row for each size, variant and load."""
    columns = ("ms a batch", "times the shipped one's speed", "log-probabilities", "vectors")
    report.table("Other graphs (fp16)", "model", "variant", "load", *columns)
    for size in sizes:
        loads = {
            f"{kind} {task}, {min(budget, largest)} tokens": _feeds(
                lab, size, kind, task, min(budget, largest)
            )
            for kind, task, budget in LOADS
        }
        shipped: dict[str, tuple[float, Outputs]] = {}
        for variant in VARIANTS:
            if lab.over:
                report.note("Cut short: no time was left.")
                return
            try:
                _variant(lab, report, size, variant, loads, shipped)
            except Exception as error:  # noqa: BLE001 - that it fails is what is reported
                report.row(size, variant.name, f"failed: {str(error)[:400]}", "", "", "", "")


def _feeds(lab: Lab, size: str, kind: str, task: Task, budget: int) -> Feeds:
    items = lab.texts.items(kind, task)
    laid = batches(items, budget, 3 * budget)
    middle = sorted(laid, key=lambda batch: len(batch[-1].encoding))[len(laid) // 2]
    feeds = dict(lab.feeds(middle, size))
    return feeds | places(feeds)


def _variant(
    lab: Lab,
    report: Report,
    size: str,
    variant: Variant,
    loads: dict[str, Feeds],
    shipped: dict[str, tuple[float, Outputs]],
) -> None:
    session = lab.raw(lab.graph(size, "fp16", variant.graph, variant.label), variant.opening)
    for name, feeds in loads.items():
        outputs = run(session, feeds)
        spent = p50_ms(partial(run, session, feeds), lab.seconds, warm=2)
        one_ms, wanted = shipped.setdefault(name, (spent, outputs))
        apart = [
            float(np.abs(outputs[output] - wanted[output]).max(initial=0))
            for output in ("mlm_log_probabilities", "pooled")
        ]
        report.row(size, variant.name, name, spent, one_ms / spent, *apart)


def kernels(lab: Lab, report: Report, sizes: Sequence[str], largest: int) -> None:
    """Write where the device's time goes."""
    columns = ("kernel", "share", "µs a run", "calls a run")
    report.table("Where the device's time goes (fp16)", "model", "load", *columns)
    for size in sizes:
        session = lab.raw(lab.graph(size, "fp16"))
        for kind, task, budget in (LOADS[0], LOADS[-1]):
            tokens = min(budget, largest)
            feeds = _feeds(lab, size, kind, task, tokens)
            run(session, feeds)
            events = _profiled(lambda: run(session, feeds), on_gpu=lab.device.name == "cuda")  # noqa: B023
            spent: Counter[str] = Counter()
            calls: Counter[str] = Counter()
            for name, micros in events:
                spent[name] += micros
                calls[name] += 1
            shown = [("all", sum(spent.values())), *spent.most_common(KERNELS)]
            calls["all"] = sum(calls.values())
            for name, micros in shown:
                share = micros / max(1, shown[0][1])
                figures = (share, micros / PROFILED_RUNS, calls[name] / PROFILED_RUNS)
                report.row(size, f"{kind} {task}, {tokens} tokens", name[:160], *figures)


def _profiled(once: Callable[[], object], *, on_gpu: bool) -> list[tuple[str, int]]:
    """Names and microseconds of all kernels, those of other libraries than PyTorch's too."""
    from torch.profiler import ProfilerActivity, profile  # noqa: PLC0415 (takes seconds)

    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as seen:
        for _ in range(PROFILED_RUNS):
            once()
    return [
        (event.name, round(event.time_range.elapsed_us()))
        for event in seen.events() or []
        if not on_gpu or not str(event.device_type).endswith("CPU")
    ]
