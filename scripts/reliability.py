"""`make reliability`: the acceptance tests -> docs/reliability.md: each bar, and what was reached.

Each test tells its bar and its figures in pytest's own report; this runs them and writes the table.
"""

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET  # of a report that is our own

from benchmarks.machine import conditions, own_cores

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "reliability.md"
HEAD = """\
# Reliability

Written by `make reliability`: twenty acceptance tests, each with a figure that is its bar, and what
this machine reached. The tests are in `tests/acceptance`: `make test` runs their short forms,
`make test-all` their full ones too. `make reliability ARGS=--short` takes some minutes, all forms
forty minutes; with `SOAK_S=7200` in the environment the soak takes two hours. Clients and server
share the machine's cores.

"""


def rows(report: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield row, bar, form and what was reached, for each test of a report."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314
        told = {one.get("name"): one.get("value", "") for one in case.iter("property")}
        number = re.match(r"test_(\d+)", case.get("name", ""))
        if number is None:
            continue
        skipped, failed = case.find("skipped"), case.find("failure")
        reached = told.get("reached", "no figure")
        if skipped is not None:
            reached = f"**not run here**: {skipped.get('message', '')}"
        elif failed is not None:
            reached = f"**fell short**: {reached}"
        yield int(number[1]), told.get("bar", ""), told.get("form", ""), reached


def page(reports: Sequence[Path]) -> str:
    """Write the page; of a row that ran in both forms the full one alone."""
    bars: dict[int, dict[str, None]] = defaultdict(dict)
    found: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for number, bar, form, reached in (row for report in reports for row in rows(report)):
        bars[number][bar] = None
        found[number][form].append(reached)
    here = conditions(own_cores())
    machine = "\n".join(f"- {name}: {value}" for name, value in here.items())
    lines = ["| | bar | form | reached |", "|---|---|---|---|"]
    for number in sorted(found):
        form = "full" if "full" in found[number] else "short"
        cells = (" ".join(bars[number]), form, "<br>".join(found[number][form]))
        lines.append(
            f"| {number} | " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
        )
    return HEAD + machine + "\n\n" + "\n".join(lines) + "\n"


def main() -> int:
    """Run the tests, write the page, and return pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.reliability", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the forms of `make test` alone")
    parser.add_argument(
        "--reports", type=Path, nargs="+", help="of runs that have ended, not a new"
    )
    options = parser.parse_args()
    if options.reports:
        PAGE.write_text(page(options.reports))
        return 0
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        chosen = ["-m", "not slow"] if options.short else []
        command = [sys.executable, "-m", "pytest", "tests/acceptance", f"--junitxml={report}"]
        done = subprocess.run([*command, *chosen], cwd=REPOSITORY, check=False)
        PAGE.write_text(page([report]))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
