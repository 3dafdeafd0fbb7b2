"""`make bench`: Cloze under load beside the bare session, round by round -> a report."""

from pathlib import Path

from benchmarks.ceiling import ceiling_rate
from benchmarks.cloze import DEFAULT_MODEL, subjects
from benchmarks.machine import conditions, leave
from benchmarks.options import complete, parser
from benchmarks.sections import SECTIONS
from benchmarks.session import bench_of, left_out, run, started
from benchmarks.subjects import Subject
from models.manifest import TOKENIZER_FILE, load_manifest


def accept(subject: Subject) -> None:
    """Cloze's answers are the tests' business."""


def main() -> None:
    """Measure, print, write."""
    made = parser("benchmarks", "Cloze over HTTP beside the bare session, on this machine.")
    made.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    options = complete(made.parse_args(), tuple(SECTIONS))
    leave(options.cores)
    manifest = load_manifest(options.model)
    with started(subjects(options.model), options.cores, options.results / "logs", accept) as (
        running,
        reasons,
    ):
        stated = conditions(options.cores) | left_out(reasons)
        stated["model"] = f"{manifest.name} ({manifest.precision})"
        stated["limit of the load generator"] = (
            f"{ceiling_rate(options.connections):.0f} per second"
        )
        bench = bench_of(running, options.model / TOKENIZER_FILE, options)
        run("cloze", bench, options, stated, ["cloze"])


if __name__ == "__main__":
    main()
