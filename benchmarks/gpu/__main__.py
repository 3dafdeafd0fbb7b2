"""`python -m benchmarks.gpu`: Cloze on this machine's GPU -> Markdown as it goes, and JSON.

Needs `onnxruntime-gpu`, and what the exporter needs beside it; `peers` and `kernels` need PyTorch
and transformers. Weights are random. A section that fails says so and the next one begins.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpu.attention import VARIANTS, attention, kernels
from benchmarks.gpu.bert import SIZES
from benchmarks.gpu.graphs import graphs
from benchmarks.gpu.lab import Lab, conditions
from benchmarks.gpu.latency import latency
from benchmarks.gpu.peers import peers
from benchmarks.gpu.placement import placement
from benchmarks.gpu.report import Report
from benchmarks.gpu.serving import serving
from benchmarks.gpu.throughput import throughput
from benchmarks.gpu.variants import Recordable
from benchmarks.options import RESULTS
from export.graph.bert import BertGraph
from server.inference.runtime.devices import DeviceError, find_device

REPOSITORY = Path(__file__).parents[2]
TOKENIZER = REPOSITORY / "models" / "cloze-small-en" / "tokenizer.json"
BATCH_TOKENS = (512, 2048, 8192, 16_384, 32_768, 65_536)
EXIT_NO_DEVICE = 2
WRITERS = 8  # threads that write models

Section = Callable[[Lab, Report, argparse.Namespace], None]
LIMITS_S = {  # seconds after which a section begins nothing new
    "models": 60.0,
    "placement": 12.0,
    "batches": 18.0,
    "peers": 24.0,
    "latency": 8.0,
    "attention": 12.0,
    "kernels": 6.0,
    "server": 20.0,
    "graphs": 9.0,
}
# In the order of importance: a run that is cut off has the first ones.
SECTIONS: Mapping[str, Section] = {
    "models": lambda lab, _, asked: write_models(lab, asked.sizes),
    "placement": lambda lab, report, asked: placement(lab, report, asked.sizes[:2]),
    "batches": lambda lab, report, asked: throughput(
        lab, report, asked.sizes[:2], asked.batch_tokens, asked.workers
    ),
    "peers": lambda lab, report, asked: peers(lab, report, asked.sizes[:2], asked.peer_tokens),
    "latency": lambda lab, report, asked: latency(lab, report, asked.sizes),
    "attention": lambda lab, report, asked: attention(
        lab, report, asked.sizes[:2][::-1], max(asked.batch_tokens)
    ),
    "kernels": lambda lab, report, asked: kernels(
        lab, report, asked.sizes[:2], max(asked.batch_tokens)
    ),
    "server": lambda lab, report, asked: serving(
        lab, report, asked.sizes[:1], asked.processes, asked.connections
    ),
    "graphs": lambda lab, report, asked: graphs(lab, report, asked.sizes[:2]),
}


def write_models(lab: Lab, sizes: Sequence[str]) -> None:
    """Write all graphs beforehand, so that no other section's time goes into it."""
    wanted = [(size, "fp16", BertGraph, "") for size in sizes]
    wanted += [(size, "fp16", Recordable, "recordable") for size in sizes]
    for size in sizes[:2]:
        wanted.append((size, "fp32", BertGraph, ""))
        kinds = {variant.label: variant.graph for variant in VARIANTS if variant.label}
        wanted += [(size, "fp16", graph, label) for label, graph in kinds.items()]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda one: lab.graph(*one), wanted[::-1]))  # the largest first
    lab.model(sizes[0], "fp16")


def main() -> int:
    """Measure section by section; the exit code."""
    asked = _asked()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        device = find_device(asked.device)
    except DeviceError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_NO_DEVICE
    report = Report(asked.results, asked.name)
    report.conditions(conditions(device) | {"seconds of each measurement": f"{asked.seconds:g}"})
    with TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        lab = Lab(device, folder, asked.tokenizer, asked.seconds, asked.limit)
        for name in asked.only:
            begun = time.monotonic()
            lab.begin(LIMITS_S[name])
            try:
                SECTIONS[name](lab, report, asked)
            except Exception as error:  # noqa: BLE001 - the next section may work
                traceback.print_exc()
                report.note(f"{name} failed: {type(error).__name__}: {str(error)[:600]}")
            report.note(f"({name}: {time.monotonic() - begun:.1f} s)")
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu to try the benchmark itself")
    add("--only", type=_sections, default=tuple(SECTIONS), help=f"of: {', '.join(SECTIONS)}")
    add("--sizes", type=_names, default=("small", "base", "large"), help=f"of: {', '.join(SIZES)}")
    add("--batch-tokens", type=_numbers, default=BATCH_TOKENS, help="for `batches`")
    add("--peer-tokens", type=_numbers, default=(8192, 32_768), help="for `peers`")
    add("--workers", type=_numbers, default=(1, 2), help="for `batches`")
    add("--processes", type=_numbers, default=(1, 4), help="of the server")
    add("--connections", type=_numbers, default=(1, 32, 256), help="to the server")
    add("--seconds", type=float, default=0.12, help="of each measurement")
    add("--limit", type=float, default=110.0, help="seconds after which nothing new is begun")
    add("--tokenizer", type=Path, default=TOKENIZER)
    add("--folder", type=Path, help="where models are written, and found again")
    add("--results", type=Path, default=RESULTS, help="folder of the report")
    add("--name", default="gpu", help="of the report's files")
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _sections(text: str) -> tuple[str, ...]:
    names = _names(text)
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
