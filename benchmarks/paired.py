"""`make bench-paired`: this checkout's server beside another revision's -> ratios of their rates.

The two servers take turns within every round, one paused while the other answers, and ratios are
taken round by round: a machine that is slow for a minute is slow for both. With `--against .` both
run this checkout, so that two settings can be compared.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import cloze
from benchmarks.bench import Bench
from benchmarks.harness import RESULTS, names, require_known
from benchmarks.machine import Conditions, conditions, core_list, leave, own_cores
from benchmarks.report import write
from benchmarks.results import Results
from benchmarks.subjects import Subject, running
from benchmarks.workloads import Workload, Workloads
from models.manifest import TOKENIZER_FILE

OURS, THEIRS = "ours", "theirs"
THIS_CHECKOUT = "."
WARM_UP = 0.3  # of the seconds of a measurement, once for each workload before the first round
LIST_SIZE, LIST_CONNECTIONS = 16, 4  # so that some seconds hold enough whole lists

WORKLOADS: Mapping[str, Callable[[Workloads], Workload]] = {
    "short-fill-mask": lambda made: made.of("short", "fill-mask"),
    "short-embed": lambda made: made.of("short", "embed"),
    "mixed-embed": lambda made: made.of("mixed", "embed"),
    "pairs": lambda made: made.of("short", "nsp"),
    "lists": lambda made: made.lists(LIST_SIZE),
}


@contextmanager
def checkout_of(revision: str) -> Iterator[Path]:
    """Check a revision out into a temporary worktree; `.` is this checkout as it is.

    Raises:
        SystemExit: git knows no such revision.
    """
    if revision == THIS_CHECKOUT:
        yield cloze.REPOSITORY
        return
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / THEIRS
        git("worktree", "add", "--quiet", "--detach", str(folder), revision)
        try:
            yield folder
        finally:
            git("worktree", "remove", "--force", str(folder))


def git(*arguments: str) -> str:
    """Return what a git command prints about this repository."""
    command = ["git", "-C", str(cloze.REPOSITORY), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def described(revision: str, environment: Mapping[str, str]) -> str:
    """Name the commit, whether the files differ from it, and the side's own settings."""
    commit = "HEAD" if revision == THIS_CHECKOUT else revision
    parts = [git("log", "-1", "--format=%h %s", commit)]
    if revision == THIS_CHECKOUT and git("status", "--porcelain", "--untracked-files=no"):
        parts.append("with uncommitted changes")
    return ", ".join([*parts, *(f"{name}={value}" for name, value in environment.items())])


def measure(bench: Bench, asked: Sequence[tuple[Workload, int]], rounds: int) -> Results:
    """Measure each workload on both subjects in every round; who is first alternates."""
    for workload, connections in asked:
        for subject in bench.subjects:
            list(bench.saturate(subject, workload, connections=connections, share=WARM_UP))
    results = Results()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        order = bench.subjects[:: -1 if number % 2 else 1]
        for workload, connections in asked:
            for subject in order:
                samples = bench.saturate(subject, workload, connections=connections)
                results.add("paired", samples)
    return results


def started(stack: ExitStack, options: argparse.Namespace) -> list[Subject]:
    """Start the server of each side; the stack ends them."""
    sides = {
        OURS: (cloze.REPOSITORY, options.ours),
        THEIRS: (stack.enter_context(checkout_of(options.against)), options.theirs),
    }
    flags = ["--models", str(options.models.resolve())] if options.models else []
    logs = Path(stack.enter_context(TemporaryDirectory()))
    specs = [
        cloze.server(name, *flags, checkout=checkout, environment=dict(environment))
        for name, (checkout, environment) in sides.items()
    ]
    return [stack.enter_context(running(spec, options.cores, logs)) for spec in specs]


def stated(options: argparse.Namespace) -> Conditions:
    """Say what is compared, and on what machine."""
    passed = {name: value for name, value in os.environ.items() if name.startswith("CLOZE_")}
    return conditions(options.cores) | {
        OURS: described(THIS_CHECKOUT, dict(options.ours)),
        THEIRS: described(options.against, dict(options.theirs)),
        "settings of both": ", ".join(f"{k}={v}" for k, v in passed.items()) or "the defaults",
        "models": str(options.models or "each checkout's own"),
        "rounds": f"{options.rounds}, {options.seconds:g} s each",
    }


def setting(text: str) -> tuple[str, str]:
    """Read KEY=VALUE.

    >>> setting("CLOZE_THREADS=2")
    ('CLOZE_THREADS', '2')
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, found {text!r}")
    return name, value


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paired", description=__doc__)
    add = parser.add_argument
    add("--against", required=True, help="a commit, branch or tag; . for this checkout itself")
    add("--only", type=names, default=tuple(WORKLOADS), help=f"of: {', '.join(WORKLOADS)}")
    add("--ours", type=setting, action="append", default=[], metavar="KEY=VALUE")
    add("--theirs", type=setting, action="append", default=[], metavar="KEY=VALUE")
    add("--models", type=Path, help="folder of both; otherwise each checkout's models/")
    add("--rounds", type=int, default=7)
    add("--seconds", type=float, default=3.0, help="of each measurement")
    add("--connections", type=int, default=32, help=f"busy ones; {LIST_CONNECTIONS} for lists")
    add("--cores", type=core_list, default=own_cores(), help="of each server")
    add("--results", type=Path, default=RESULTS, help="folder of the report")
    options = parser.parse_args()
    require_known("--only", options.only, WORKLOADS)
    return options


def main() -> None:
    """Measure, print, write."""
    options = read_options()
    # Ended from outside, it must still end the paused servers and remove the worktree.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    leave(options.cores)
    report = stated(options)
    tokenizer = min((options.models or cloze.REPOSITORY / "models").rglob(TOKENIZER_FILE))
    workloads = Workloads(tokenizer)
    asked = [
        (WORKLOADS[name](workloads), LIST_CONNECTIONS if name == "lists" else options.connections)
        for name in options.only
    ]
    with ExitStack() as stack:
        subjects = started(stack, options)
        bench = Bench(subjects, workloads, options.connections, options.seconds)
        figures = measure(bench, asked, options.rounds).figures()
    write(options.results, "paired", figures, report, [OURS])
    print(f"\n{(options.results / 'paired.md').read_text()}")


if __name__ == "__main__":
    main()
