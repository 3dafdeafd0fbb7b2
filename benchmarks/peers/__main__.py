"""`make bench-peers`: Cloze and its peers on the same weights, cores and texts -> a report."""

from benchmarks.answers import Sameness
from benchmarks.cloze import subjects
from benchmarks.harness import bench_of, command_line, read_options, run, started
from benchmarks.machine import conditions, leave
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.weights import SIZES, prepare
from models.manifest import TOKENIZER_FILE

SECTIONS = ("throughput", "alone", "load", "length", "footprint")


def main() -> None:
    """Install, convert, measure, print, write."""
    purpose = "Cloze beside other ways to serve the same weights; installs them on first use."
    parser = command_line("benchmarks.peers", purpose)
    add, kinds = parser.add_argument, ", ".join(SIZES)
    add("--checkpoint", default="small", help=f"with an MLM head; or random weights: {kinds}")
    add("--peers", default="", help="only those whose names begin so: infinity,padded")
    add("--prepare", action="store_true", help="install and convert, measure nothing")
    options = read_options(parser, SECTIONS)
    leave(options.cores)
    weights = prepare(options.checkpoint)
    specs, missing = [], {}
    for precision in ("int8", "fp32"):
        specs += subjects(weights.cloze(precision), f"cloze {precision}")
    for peer in PEERS:
        if peer.name.startswith(tuple(options.peers.split(","))):
            try:
                peer.prepare(weights)
                specs.append(peer.spec(weights, len(options.cores)))
            except RuntimeError as error:
                missing[f"not measured: {peer.name}"] = str(error)
    if options.prepare:
        print("\n".join(f"{name}: {reason}" for name, reason in missing.items()))
        return
    check = Sameness().check
    with started(specs, options.cores, options.results / "logs", check) as (running, failed):
        stated = conditions(options.cores) | {"weights": weights.folder.name} | missing | failed
        bench = bench_of(running, weights.cloze("int8") / TOKENIZER_FILE, options)
        name = f"peers-{weights.folder.name}"
        run(name, bench, options, stated, ["cloze int8", "cloze fp32"])


if __name__ == "__main__":
    main()
