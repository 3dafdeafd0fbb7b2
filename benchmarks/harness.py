"""A command line and the subjects -> a whole benchmark: start them, go through the rounds, report.

What `benchmarks`, `benchmarks.peers` and `benchmarks.gpu` have in common.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.machine import Conditions, core_list, own_cores
from benchmarks.report import write
from benchmarks.results import Results, Sample
from benchmarks.sections import SECTIONS
from benchmarks.subjects import Spec, Subject, running
from benchmarks.workloads import KINDS, Workloads

RESULTS = Path(__file__).parent / "results"
QUICK = {"rounds": 2, "seconds": 1.0, "lengths": ("short",)}
FULL = {"rounds": 5, "seconds": 4.0, "lengths": KINDS}


def command_line(program: str, purpose: str) -> argparse.ArgumentParser:
    """Return the parser with the options that all these commands have."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=purpose)
    add = parser.add_argument
    add("--rounds", type=int)
    add("--seconds", type=float, help="of each measurement")
    add("--connections", type=int, default=32, help="busy ones of a closed loop")
    add("--results", type=Path, default=RESULTS, help="folder of the report")
    add(
        "--cores",
        type=core_list,
        default=own_cores(),
        help="of each subject, like 0-3; the load generator takes the others, if there are any",
    )
    return parser


def read_options(
    parser: argparse.ArgumentParser, sections: Sequence[str] = tuple(SECTIONS)
) -> argparse.Namespace:
    """Read the command line, with the options that choose among sections; these by default.

    Raises:
        SystemExit: a section or a length that does not exist.
    """
    add = parser.add_argument
    add("--only", type=names, default=tuple(sections), help=f"sections, of: {', '.join(SECTIONS)}")
    add("--quick", action="store_true", help="fewer workloads, 2 rounds of 1 s, not 5 of 4 s")
    add("--lengths", type=names, help=f"of the texts under full load: {', '.join(KINDS)}")
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    require_known("--only", options.only, SECTIONS)
    require_known("--lengths", options.lengths, KINDS)
    options.sections = {name: SECTIONS[name] for name in options.only}
    return options


def require_known(flag: str, given: Sequence[str], known: Iterable[str]) -> None:
    """Raise `SystemExit` for a name that does not exist."""
    if unknown := set(given) - set(known):
        raise SystemExit(f"{flag}: unknown {sorted(unknown)}; choose from {', '.join(known)}")


def names(text: str) -> tuple[str, ...]:
    """Read a list of names with commas between them."""
    return tuple(text.split(","))


@contextmanager
def started(
    specs: Sequence[Spec],
    cores: Sequence[int],
    logs: Path,
    check: Callable[[Subject], None] | None = None,
) -> Iterator[tuple[list[Subject], Conditions]]:
    """Start the subjects one by one; yield those that run, and why the others do not.

    `check` raises `RuntimeError` for a subject that does not answer as it should.
    """
    logs.mkdir(parents=True, exist_ok=True)
    subjects: list[Subject] = []
    missing: Conditions = {}
    with ExitStack() as stack:
        for spec in specs:
            print(f"starting {spec.name}", flush=True)
            own = ExitStack()
            try:
                subject = own.enter_context(running(spec, cores, logs))
                if check is not None:
                    check(subject)
            except (RuntimeError, OSError) as error:
                own.close()
                missing[f"not measured: {spec.name}"] = str(error)
                print(f"  left out: {error}", flush=True)
            else:
                stack.enter_context(own)
                subjects.append(subject)
        yield subjects, missing


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


def run(
    name: str,
    bench: Bench,
    options: argparse.Namespace,
    conditions: Conditions,
    references: Sequence[str],
) -> None:
    """Measure round by round; the report is written after each section, and printed at the end.

    Who is first alternates from round to round, so that a machine that slows down slows all. A
    section that fails says so in the report, and the next one begins.

    Raises:
        SystemExit: no subject could be started; or, at the end, a section failed.
    """
    if not bench.subjects:
        raise SystemExit("\n".join(f"{what}: {why}" for what, why in conditions.items()))
    results, failed = Results(), dict[str, str]()
    for number in range(options.rounds):
        rounds = {"rounds": f"{number + 1} of {options.rounds}, {bench.seconds:g} s each"}
        for section, measure in options.sections.items():
            print(f"round {number + 1} of {options.rounds}: {section}", flush=True)
            try:
                results.add(section, list(shown(measure(bench))))
            except RuntimeError as error:
                failed[f"failed: {section}"] = str(error)
            stated = conditions | rounds | failed
            write(options.results, name, results.figures(), stated, references)
        bench.subjects = bench.subjects[::-1]
    written = options.results / f"{name}.md"
    print(f"\n{written.read_text()}\nwritten to {written} and .json")
    if failed:
        raise SystemExit("; ".join(f"{what}: {why}" for what, why in failed.items()))


def shown(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Pass figures on; a person at a terminal sees meanwhile how far it is."""
    told = sys.stderr if sys.stderr.isatty() else None
    for number, sample in enumerate(samples, start=1):
        if told is not None:
            told.write(f"\r\x1b[K  {number} figures, now {sample.workload} of {sample.subject}")
            told.flush()
        yield sample
    if told is not None:
        told.write("\r\x1b[K")
        told.flush()
