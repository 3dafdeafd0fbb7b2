"""`make peak`: operations that answers need, per second, beside the machine's matrix peak.

The peak of a round is its fastest product: large, with weights packed beforehand, of ONNX Runtime
or PyTorch, on as many threads as the session's workers. Products and sessions take turns within a
round, so that a machine that slows down slows both. What the session does besides (padding, norms,
quantising) takes time and counts for nothing.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from benchmarks.machine import conditions
from benchmarks.options import RESULTS
from benchmarks.report import write
from benchmarks.results import Results, Sample
from benchmarks.variants.batches import Load, Loads
from benchmarks.variants.catalogue import SHIPPED
from benchmarks.variants.opened import Runner, open_session, passes_per_s
from benchmarks.variants.operations import operations
from benchmarks.variants.products import operations as operations_of_product
from benchmarks.variants.products import products
from benchmarks.variants.source import Source, read_source, written_tokenizer
from benchmarks.variants.written import write_graph
from server.inference.runtime.cores import available_cores

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "models" / "cloze-small-en"
GIGA = 1e9
LOADS = (("short", 288), ("mixed", 512), ("long", 512))  # and the most tokens of a batch


class Peak:
    """The products and the sessions of one precision."""

    def __init__(self, source: Source, folder: Path, precision: str, loads: Loads) -> None:
        self._source = source
        self._products = products(precision)
        self._session = open_session(
            write_graph(source, SHIPPED, precision, folder), SHIPPED.opening
        )
        tasks = [task for task, head in (("fill-mask", "mlm"), ("embed", "")) if self._has(head)]
        self._loads = [loads.of(name, task, size) for name, size in LOADS for task in tasks]

    def measure(self, workers: int, seconds: float) -> Iterator[Sample]:
        """Yield one round: each load after a turn of all products, which are then averaged."""
        turns: list[Mapping[str, float]] = []
        useful: dict[str, float] = {}
        for load in self._loads:
            turns.append(dict(self._alone(workers, seconds / len(self._loads))))
            useful[load.name] = self._useful(load, workers, seconds)
        alone = {name: fmean(turn[name] for turn in turns) for name in turns[0]}
        for name, done in useful.items():
            yield Sample(name, "session", "useful", done)
            yield Sample(name, "session", "of peak", 100 * done / max(alone.values()))
        for name, done in alone.items():
            yield Sample("product alone", name, "useful", done)

    def _has(self, head: str) -> bool:
        return not head or head in self._source.spec.heads

    def _alone(self, workers: int, seconds: float) -> Iterator[tuple[str, float]]:
        for (library, shape), product in self._products.items():
            per_s = passes_per_s(product, workers, seconds, alone=workers == 1)
            size = "×".join(map(str, shape))
            yield f"{library} {size}", operations_of_product(shape) * per_s / GIGA

    def _useful(self, load: Load, workers: int, seconds: float) -> float:
        feeds = load.feeds(self._source.spec.layers, SHIPPED.pack, None)
        per_s = passes_per_s(Runner(self._session, feeds), workers, seconds, alone=workers == 1)
        return operations(load.items, self._source.spec.config) * per_s / GIGA


def main() -> None:
    """Measure, print, write."""
    options = _options()
    source = read_source(options.checkpoint, MODEL)
    cores = available_cores()
    stated = conditions(range(cores)) | {"weights": source.name}
    results = Results()
    with TemporaryDirectory() as folder:
        loads = Loads(written_tokenizer(source, Path(folder)), quick=options.quick)
        peaks = {
            precision: Peak(source, Path(folder), precision, loads)
            for precision in options.precisions
        }
        for number in range(options.rounds):
            for precision, peak in peaks.items():
                for workers in options.workers or sorted({1, cores}):
                    section = f"{precision}, {workers} worker{'s'[: workers - 1]}"
                    print(f"round {number + 1}: {section}", flush=True)
                    results.add(section, peak.measure(workers, options.seconds))
            rounds = {"rounds": f"{number + 1} of {options.rounds}, {options.seconds:g} s each"}
            write(options.results, "peak", results.figures(), stated | rounds)
    written = options.results / "peak.md"
    print(f"\n{written.read_text()}\nwritten to {written} and .json")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.variants.peak", description=__doc__)
    add = parser.add_argument
    add("--checkpoint", help="a checkpoint; without one, random weights, which are as fast")
    add("--precisions", type=lambda text: text.split(","), default=["fp32", "int8"])
    add("--workers", type=lambda text: [int(part) for part in text.split(",")], help="such as 1,2")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=1.0, help="of each measurement")
    add("--quick", action="store_true", help="a quarter of the texts")
    add("--results", type=Path, default=RESULTS, help="folder of the report")
    return parser.parse_args()


if __name__ == "__main__":
    main()
