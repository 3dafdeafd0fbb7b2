"""`python -m benchmarks.gpu`: Cloze on this machine's GPU beside PyTorch -> a report for each size.

Measures the server over HTTP, the bare session by batch size, and transformers on PyTorch, all on
one checkpoint of random weights, with the sections of `make bench`. Answers are compared with those
of float32 on the CPU. Needs `onnxruntime-gpu`, what the exporter needs beside it, and transformers.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import cloze
from benchmarks.answers import Sameness
from benchmarks.harness import (
    bench_of,
    command_line,
    names,
    read_options,
    require_known,
    run,
    started,
)
from benchmarks.machine import conditions, gpu_name, leave, own_cores
from benchmarks.peers.environments import ENVIRONMENTS
from benchmarks.peers.weights import SIZES, Weights, prepare
from benchmarks.subjects import Server, Spec
from benchmarks.workloads import TASKS, Task
from models.manifest import TOKENIZER_FILE

SECTIONS = ("answers", "throughput", "alone", "load", "footprint")
SERVED, EXACT = "fp16", "fp32"  # precisions: what is measured, and what answers are compared with
REFERENCE = f"{EXACT} on the CPU"  # of which only the answers are of interest
BATCH_TOKENS = (2048, 8192, 32_768)
GENERATOR_CORES = 2


def specs(weights: Weights, options: argparse.Namespace) -> list[Spec]:
    """Return the reference on the CPU, then everything that is measured."""
    model, device = str(weights.cloze(SERVED)), ("--device", options.device)
    exact = ["--models", str(weights.cloze(EXACT)), "--device", "cpu"]
    found = [cloze.server(REFERENCE, *exact)]
    for count in options.processes:
        flags = ["--models", model, *device, "--processes", str(count)]
        found.append(cloze.server(f"cloze, {count} process{'es' * (count > 1)}", *flags))
    for tokens in options.batch_tokens:
        bare = [sys.executable, "-m", "benchmarks.bare", model, *device]
        bare += ["--batch-tokens", str(tokens)]
        found.append(Spec(f"bare session, {tokens} tokens", bare, frozenset(TASKS)))
    for tokens in options.batch_tokens:
        pytorch = [
            sys.executable,
            "-m",
            "benchmarks.peers.programs.pytorch_loop",
            str(weights.checkpoint),
        ]
        pytorch += [*device, "--batch-tokens", str(tokens)]
        found.append(
            Spec(f"PyTorch, {tokens} tokens", pytorch, frozenset[Task]({"fill-mask", "embed"}))
        )
        masks = f"PyTorch, {tokens} tokens, logits of masks alone"
        found.append(Spec(masks, [*pytorch, "--masks-alone"], frozenset[Task]({"fill-mask"})))
    return found


def measure(size: str, options: argparse.Namespace) -> None:
    """Export, start, measure and report one size."""
    weights = prepare(size, (EXACT, SERVED), options.folder, Path(sys.executable))
    logs = options.results / "logs"
    with started(specs(weights, options), options.cores, logs, Sameness().check) as (
        subjects,
        missing,
    ):
        stated = conditions(options.cores) | {"GPU": gpu_name(), "weights": f"{size}, random"}
        bench = bench_of(subjects, weights.checkpoint / TOKENIZER_FILE, options)
        if subjects and isinstance(subjects[0], Server) and subjects[0].name == REFERENCE:
            bench.reference = subjects[0]
            bench.subjects = subjects[1:]
        references = [f"bare session, {options.batch_tokens[-1]} tokens"]
        run(f"gpu-{size}", bench, options, stated | missing, references)


def asked() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line("benchmarks.gpu", "Cloze on a GPU beside PyTorch, random weights.")
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu to try the benchmark itself")
    add("--sizes", type=names, default=("small", "base"), help=f"of: {', '.join(SIZES)}")
    add("--batch-tokens", type=int, nargs="+", default=BATCH_TOKENS, help="of full batches")
    add("--processes", type=int, nargs="+", default=(1, 4), help="of the server")
    add("--folder", type=Path, default=ENVIRONMENTS / "weights", help="where models are kept")
    cores = own_cores()
    if len(cores) > 2 * GENERATOR_CORES:
        parser.set_defaults(cores=cores[:-GENERATOR_CORES])
    options = read_options(parser, SECTIONS)
    require_known("--sizes", options.sizes, SIZES)
    return options


def main() -> None:
    """Measure size by size."""
    options = asked()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    leave(options.cores)
    for size in options.sizes:
        measure(size, options)


if __name__ == "__main__":
    main()
