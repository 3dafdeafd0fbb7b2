"""`make variants`: graphs and sessions that might be faster, beside the shipped one -> a report.

In every round each variant's session is opened anew and in another order, since where its weights
come to lie in memory makes some percent. One worker is measured by the CPU time of its thread, two
by the clock. `speed` is how many times the shipped one's rate of the same round a variant has.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.machine import conditions
from benchmarks.options import RESULTS
from benchmarks.report import write
from benchmarks.results import Results, Sample
from benchmarks.variants.accuracy import accuracy
from benchmarks.variants.batches import ONE_TEXT, Load, Loads
from benchmarks.variants.catalogue import SHIPPED, TASKS, THREADS, Variant, of_one_thread
from benchmarks.variants.opened import Runner, open_session, passes_per_s
from benchmarks.variants.profile import profile
from benchmarks.variants.source import Source, read_source, written_tokenizer
from benchmarks.variants.written import write_graph
from server.inference.runtime.cores import available_cores

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "models" / "cloze-small-en"
ALONE = 0  # workers: one, by the CPU time of its thread
SECTIONS = ("one-worker", "workers", "tasks", "profile", "accuracy")


class Lab:
    """Builds graphs once, opens sessions often, compares them on one load after the other."""

    def __init__(self, source: Source, folder: Path, options: argparse.Namespace) -> None:
        self._source = source
        self._folder = folder
        self._seconds = options.seconds
        self._only = options.variants
        self.loads = Loads(written_tokenizer(source, folder), quick=options.quick)
        self._order = random.Random(0)  # noqa: S311 - an order, not a secret

    def compare(
        self, variants: Sequence[Variant], loads: Sequence[Load], precision: str, workers: int
    ) -> Iterator[Sample]:
        """Measure each variant on each load; the shipped one is 1."""
        chosen = [variant for variant in variants if self._wanted(variant)]
        for load in loads:
            one = load.tokens == ONE_TEXT
            here = [variant for variant in chosen if not (one and variant.batches_otherwise)]
            turns = [SHIPPED, *here]
            self._order.shuffle(turns)
            rates = {
                variant.name: self._rate(variant, load, precision, workers) for variant in turns
            }
            shipped = rates[SHIPPED.name]
            for variant in here:
                speed = rates[variant.name] / shipped
                yield Sample(f"{precision} {load.name}", variant.name, "speed", speed)

    def _wanted(self, variant: Variant) -> bool:
        return self._only is None or any(part in variant.name for part in self._only)

    def _rate(self, variant: Variant, load: Load, precision: str, workers: int) -> float:
        graph = write_graph(self._source, variant, precision, self._folder)
        opening = variant.opening
        feeds = load.feeds(self._source.spec.layers, variant.pack, variant.tokens)
        run = Runner(open_session(graph, opening), feeds)
        alone = workers == ALONE
        return passes_per_s(run, opening.workers or max(workers, 1), self._seconds, alone=alone)

    def profiles(self, loads: Sequence[Load], precision: str) -> Iterator[Sample]:
        """Tell where the shipped session's time goes."""
        graph = write_graph(self._source, SHIPPED, precision, self._folder)
        for load in loads:
            yield from profile(graph, load, self._source.spec.layers, precision)

    def accuracies(self, precision: str) -> Iterator[Sample]:
        """Measure what each graph changed of the reference's answers, if weights are trained."""
        built: dict[tuple[object, ...], Variant] = {}
        for variant in (SHIPPED, *of_one_thread(precision)):
            # Sessions and batches change no answer: of those with one graph, the first is enough.
            key = (variant.graph, variant.linear, variant.weights, variant.smooth)
            built.setdefault(key, variant)
        for variant in built.values():
            if self._wanted(variant):
                graph = write_graph(self._source, variant, precision, self._folder)
                yield from accuracy(self._source, graph, variant, precision)


def measure(lab: Lab, section: str, precision: str) -> Iterator[Sample]:
    """Yield one round of a section."""
    loads = lab.loads
    streams = [loads.of("short", "fill-mask", 288), loads.of("mixed", "embed")]
    singles = [loads.alone(16), loads.alone(256)]
    match section:
        case "one-worker":
            yield from lab.compare(of_one_thread(precision), streams + singles, precision, ALONE)
        case "workers":
            yield from lab.compare(THREADS, streams + singles, precision, available_cores())
        case "profile":
            yield from lab.profiles(streams, precision)
        case "tasks":
            yield from lab.compare(TASKS, [loads.three_tasks()], precision, ALONE)


def main() -> None:
    """Measure, print, write."""
    options = _options()
    source = read_source(options.checkpoint, MODEL)
    results = Results()
    stated = conditions(sorted(range(available_cores()))) | {"weights": source.name}
    with TemporaryDirectory() as folder:
        lab = Lab(source, Path(folder), options)
        for precision in options.precisions:
            if "accuracy" in options.only and source.trained:
                results.add("accuracy", lab.accuracies(precision))
        for number in range(options.rounds):
            for section in options.only:
                for precision in options.precisions:
                    print(f"round {number + 1}: {section}, {precision}", flush=True)
                    results.add(section, measure(lab, section, precision))
            rounds = {"rounds": f"{number + 1} of {options.rounds}, {options.seconds:g} s each"}
            write(options.results, "variants", results.figures(), stated | rounds)
    written = options.results / "variants.md"
    print(f"\n{written.read_text()}\nwritten to {written} and .json")


def _options() -> argparse.Namespace:
    names: type = lambda text: tuple(text.split(","))  # type: ignore[assignment] # noqa: E731
    parser = argparse.ArgumentParser(prog="python -m benchmarks.variants", description=__doc__)
    add = parser.add_argument
    add("--checkpoint", help="a checkpoint; without one, random weights and no accuracy")
    add("--only", type=names, default=SECTIONS, help=f"sections, of: {', '.join(SECTIONS)}")
    add("--precisions", type=names, default=("fp32", "int8"), help="fp32,int8")
    add("--variants", type=names, help="those whose names contain one of these words")
    add("--rounds", type=int, default=9)
    add("--seconds", type=float, default=0.3, help="of each measurement")
    add("--quick", action="store_true", help="a quarter of the texts")
    add("--results", type=Path, default=RESULTS, help="folder of the report")
    return parser.parse_args()


if __name__ == "__main__":
    main()
