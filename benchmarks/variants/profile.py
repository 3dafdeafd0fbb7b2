"""A session with ONNX Runtime's profiler on -> the share of a run that each kind of node takes."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.results import Sample
from benchmarks.variants.batches import Load
from benchmarks.variants.catalogue import SHIPPED
from benchmarks.variants.opened import Runner, open_session

PASSES = 8
MOST = 12  # kinds of node; the others are tiny


def profile(graph: Path, load: Load, layers: Sequence[int], precision: str) -> Iterator[Sample]:
    """Run every batch some times; what no node takes is ONNX Runtime's own, between nodes."""
    with TemporaryDirectory() as folder:
        session = open_session(graph, SHIPPED.opening, Path(folder) / "profile")
        run = Runner(session, load.feeds(layers, SHIPPED.pack, SHIPPED.tokens))
        for _ in range(PASSES):
            run()
        events = json.loads(Path(session.end_profiling()).read_text())
    shares = shares_of(events)
    for operator, share in shares.most_common(MOST):
        yield Sample(f"{precision} {load.name}", operator, "of run", share)
    between = 100 - sum(shares.values())
    yield Sample(f"{precision} {load.name}", "between nodes", "of run", between)


def shares_of(events: Sequence[dict[str, Any]]) -> Counter[str]:
    """Add up the nodes' times by operator, in percent of the runs' times.

    >>> node = {"name": "a_kernel_time", "dur": 5, "args": {"op_name": "Gemm"}}
    >>> shares_of([node, {"name": "model_run", "dur": 20}])
    Counter({'Gemm': 25.0})
    """
    whole = sum(event["dur"] for event in events if event["name"] == "model_run")
    shares: Counter[str] = Counter()
    for event in events:
        if event["name"].endswith("_kernel_time"):
            shares[event["args"]["op_name"]] += 100 * event["dur"] / whole
    return shares
