"""`make bench`: Cloze under load beside the bare session, round by round -> a report."""

from pathlib import Path

from benchmarks.cloze import DEFAULT_MODEL, subjects
from benchmarks.harness import bench_of, command_line, read_options, run, started
from benchmarks.machine import conditions, leave
from models.manifest import TOKENIZER_FILE, load_manifest


def main() -> None:
    """Measure, print, write."""
    parser = command_line("benchmarks", "Cloze over HTTP beside the bare session, on this machine.")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    options = read_options(parser)
    leave(options.cores)
    manifest = load_manifest(options.model)
    with started(subjects(options.model), options.cores, options.results / "logs") as (
        running,
        missing,
    ):
        stated = conditions(options.cores) | missing
        stated["model"] = f"{manifest.name} ({manifest.precision})"
        bench = bench_of(running, options.model / TOKENIZER_FILE, options)
        run("cloze", bench, options, stated, ["cloze"])


if __name__ == "__main__":
    main()
