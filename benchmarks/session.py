"""Options and specs -> a whole benchmark: start all subjects, go through the rounds, report."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.machine import Conditions
from benchmarks.report import write
from benchmarks.results import Results
from benchmarks.sections import SECTIONS
from benchmarks.subjects import Spec, Subject, running
from benchmarks.workloads import Workloads

Check = Callable[[Subject], None]
"""Raises `RuntimeError` for a subject that does not answer as it should."""


@contextmanager
def started(
    specs: Sequence[Spec], cores: Sequence[int], logs: Path, check: Check
) -> Iterator[tuple[list[Subject], dict[str, str]]]:
    """Start the subjects one by one; yield those that run, and the reasons of those that do not."""
    logs.mkdir(parents=True, exist_ok=True)
    subjects: list[Subject] = []
    reasons: dict[str, str] = {}
    with ExitStack() as stack:
        for spec in specs:
            print(f"starting {spec.name}", flush=True)
            own = ExitStack()
            try:
                subject = own.enter_context(running(spec, cores, logs))
                check(subject)
            except (RuntimeError, OSError) as error:
                own.close()
                reasons[spec.name] = str(error)
                print(f"  left out: {error}", flush=True)
            else:
                stack.enter_context(own)
                subjects.append(subject)
        yield subjects, reasons


def run(
    name: str,
    bench: Bench,
    options: argparse.Namespace,
    conditions: Conditions,
    references: Sequence[str],
) -> None:
    """Measure round by round; the report is written after each, and printed after the last."""
    results = Results()
    for number in range(options.rounds):
        for section in options.only:
            print(f"round {number + 1} of {options.rounds}: {section}", flush=True)
            results.add(section, SECTIONS[section](bench))
        rounds = {"rounds": f"{number + 1} of {options.rounds}, {bench.seconds:g} s each"}
        write(options.results, name, results.figures(), conditions | rounds, references)
    written = options.results / f"{name}.md"
    print(f"\n{written.read_text()}\nwritten to {written} and .json")


def bench_of(subjects: Sequence[Subject], tokenizer: Path, options: argparse.Namespace) -> Bench:
    """Bring the subjects and the workloads together."""
    return Bench(
        subjects=subjects,
        workloads=Workloads(tokenizer),
        connections=options.connections,
        seconds=options.seconds,
        quick=options.quick,
        lengths=options.lengths,
    )


def left_out(reasons: Mapping[str, str]) -> Conditions:
    """Put the reasons into the conditions of the report."""
    return {f"not measured: {name}": reason for name, reason in reasons.items()}
