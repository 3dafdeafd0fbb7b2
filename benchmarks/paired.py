"""`make bench-paired`: this checkout's server beside another revision's -> ratios of their rates.

The two servers take turns within every round, one paused while the other answers, and ratios are
taken round by round: a machine that is slow for a minute is slow for both. With `--against .` both
run this checkout, so that two settings can be compared. With `--traced SHARE` ours traces so many
of its requests, and this program takes the spans.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import cloze
from benchmarks.bench import Bench
from benchmarks.collector import collecting
from benchmarks.harness import command_line, names, require_known, run, started
from benchmarks.machine import Conditions, conditions, leave
from benchmarks.plain import SHORTCUTS
from benchmarks.results import Sample
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


def paired(bench: Bench, chosen: tuple[str, ...], share: float = 1.0) -> Iterator[Sample]:
    """Each workload on both servers, one after the other."""
    for name in chosen:
        connections = LIST_CONNECTIONS if name == "lists" else bench.connections
        workload = WORKLOADS[name](bench.workloads)
        for subject in bench.subjects:
            yield from bench.saturate(subject, workload, connections=connections, share=share)


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


def stated(options: argparse.Namespace) -> Conditions:
    """Say what is compared, and on what machine."""
    passed = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("CLOZE_")]
    return conditions(options.cores) | {
        OURS: described(THIS_CHECKOUT, dict(options.ours)),
        THEIRS: described(options.against, dict(options.theirs))
        + (f", without its {options.without}" if options.without else ""),
        "settings of both": ", ".join(passed) or "the defaults",
        "models": str(options.models or "each checkout's own"),
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


@contextmanager
def traced(share: str) -> Iterator[list[tuple[str, str]]]:
    """The settings of a server that traces a share of its requests, if it is to; we collect them.

    Raises:
        SystemExit: at the end, when no span has come.
    """
    if not share:
        yield []
        return
    with collecting() as collector:
        yield [("CLOZE_TRACE_ENDPOINT", collector.url), ("CLOZE_TRACE_SHARE", share)]
        if not collector.taken_bytes:
            raise SystemExit("no span has come, so what was measured is no tracing")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line("benchmarks.paired", "This checkout's server beside another revision's.")
    add = parser.add_argument
    add(
        "--against",
        default=THIS_CHECKOUT,
        help="a commit, branch or tag; otherwise this checkout itself, with other settings",
    )
    add("--without", choices=SHORTCUTS, default="", help="a shortcut that theirs does without")
    add(
        "--traced",
        default="",
        metavar="SHARE",
        help="of the requests that ours traces (make tracing)",
    )
    add("--only", type=names, default=tuple(WORKLOADS), help=f"of: {', '.join(WORKLOADS)}")
    add("--ours", type=setting, action="append", default=[], metavar="KEY=VALUE")
    add("--theirs", type=setting, action="append", default=[], metavar="KEY=VALUE")
    add("--models", type=Path, help="folder of both; otherwise each checkout's models/")
    parser.set_defaults(rounds=7, seconds=3.0)
    options = parser.parse_args()
    require_known("--only", options.only, WORKLOADS)
    return options


def main() -> None:
    """Measure, print, write."""
    options = read_options()
    # Ended from outside, it must still end the paused servers and remove the worktree.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    leave(options.cores)
    flags = ["--models", str(options.models.resolve())] if options.models else []
    models = options.models or cloze.REPOSITORY / "models"
    with (
        traced(options.traced) as settings,
        checkout_of(options.against) as theirs,
        TemporaryDirectory() as logs,
    ):
        options.ours = [*options.ours, *settings]
        report = stated(options)
        sides = {OURS: (cloze.REPOSITORY, options.ours), THEIRS: (theirs, options.theirs)}
        specs = [
            cloze.server(
                name,
                *flags,
                checkout=checkout,
                environment=dict(environment),
                without=options.without if name == THEIRS else "",
            )
            for name, (checkout, environment) in sides.items()
        ]
        with started(specs, options.cores, Path(logs)) as (subjects, missing):
            if missing:
                raise SystemExit("; ".join(f"{what}: {why}" for what, why in missing.items()))
            workloads = Workloads(min(models.rglob(TOKENIZER_FILE)))
            bench = Bench(subjects, workloads, options.connections, options.seconds)
            list(paired(bench, options.only, WARM_UP))
            options.sections = {"paired": partial(paired, chosen=options.only)}
            run("paired", bench, options, report, [OURS])


if __name__ == "__main__":
    main()
