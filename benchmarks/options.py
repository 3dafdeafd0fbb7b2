"""The command line that both benchmarks share -> what to measure, how often and for how long."""

import argparse
import os
from pathlib import Path

from benchmarks.machine import core_list
from benchmarks.sections import SECTIONS
from benchmarks.workloads import KINDS
from server.inference.runtime.cores import available_cores

RESULTS = Path(__file__).parent / "results"
QUICK = {"rounds": 2, "seconds": 1.0, "lengths": ("short",)}
FULL = {"rounds": 5, "seconds": 4.0, "lengths": KINDS}


def parser(program: str, purpose: str) -> argparse.ArgumentParser:
    """Return the parser with the options that both commands have."""
    made = argparse.ArgumentParser(prog=f"python -m {program}", description=purpose)
    made.add_argument(
        "--only", type=names, default=None, help=f"sections, of: {', '.join(SECTIONS)}"
    )
    made.add_argument("--quick", action="store_true", help="fewer workloads, 2 rounds of 1 s")
    made.add_argument(
        "--lengths",
        type=names,
        help=f"of the texts under full load: {', '.join(KINDS)}",
    )
    made.add_argument("--rounds", type=int, help=f"{FULL['rounds']} if not given")
    made.add_argument(
        "--seconds", type=float, help=f"of each measurement, {FULL['seconds']:g} if not given"
    )
    made.add_argument("--connections", type=int, default=32, help="busy ones of a closed loop")
    made.add_argument(
        "--cores",
        type=core_list,
        default=sorted(os.sched_getaffinity(0))[: available_cores()],
        help="of each subject, like 0-3; the load generator takes the others, if there are any",
    )
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the report")
    return made


def complete(options: argparse.Namespace, default_sections: tuple[str, ...]) -> argparse.Namespace:
    """Fill in what was not given.

    Raises:
        SystemExit: a section or a length that does not exist.
    """
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.only = options.only or default_sections
    _require_known("--only", options.only, tuple(SECTIONS))
    _require_known("--lengths", options.lengths, KINDS)
    return options


def _require_known(flag: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = set(given) - set(known)
    if unknown:
        raise SystemExit(f"{flag}: unknown {sorted(unknown)}; choose from {', '.join(known)}")


def names(text: str) -> tuple[str, ...]:
    """Read a list of names with commas between them."""
    return tuple(text.split(","))
