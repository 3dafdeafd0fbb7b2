"""`make bench`: Cloze under load beside the bare session, round by round -> a report."""

import sys
from pathlib import Path

from benchmarks.ceiling import ceiling_rate
from benchmarks.dialects import cloze
from benchmarks.machine import conditions, leave
from benchmarks.options import complete, parser
from benchmarks.sections import SECTIONS
from benchmarks.session import bench_of, left_out, run, started
from benchmarks.subjects import Spec, Subject
from benchmarks.workloads import TASKS
from models.manifest import TOKENIZER_FILE, load_manifest

REPOSITORY = Path(__file__).parents[1]


def specs(model: Path, name: str = "cloze") -> list[Spec]:
    """Return the server and, by itself, the session that it runs."""
    server = [sys.executable, "-m", "server", "--port", "{port}", "--models", str(model)]
    quiet = ["--log-level", "error", "--drain-delay-s", "0"]
    return [
        Spec(name, [*server, *quiet], frozenset(TASKS), cloze),
        Spec(
            f"{name}, bare session",
            [sys.executable, "-m", "benchmarks.bare", str(model)],
            frozenset(TASKS),
        ),
    ]


def accept(subject: Subject) -> None:
    """Cloze's answers are the tests' business."""


def main() -> None:
    """Measure, print, write."""
    made = parser("benchmarks", "Cloze over HTTP beside the bare session, on this machine.")
    made.add_argument("--model", type=Path, default=REPOSITORY / "models" / "cloze-small-en")
    options = complete(made.parse_args(), tuple(SECTIONS))
    leave(options.cores)
    manifest = load_manifest(options.model)
    with started(specs(options.model), options.cores, options.results / "logs", accept) as (
        subjects,
        reasons,
    ):
        stated = conditions(options.cores) | left_out(reasons)
        stated["model"] = f"{manifest.name} ({manifest.precision})"
        stated["limit of the load generator"] = (
            f"{ceiling_rate(options.connections):.0f} per second"
        )
        bench = bench_of(subjects, options.model / TOKENIZER_FILE, options)
        run("cloze", bench, options, stated, ["cloze"])


if __name__ == "__main__":
    main()
