"""`make bench`: a real server under load beside the bare session, round by round -> a table.

Rounds alternate between the two, so that a machine that gets slower or faster meets both alike.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bare import BareSession, packed
from benchmarks.load import offer
from benchmarks.processes import Server, ceiling, cloze
from benchmarks.report import Measurement, machine, now, ratio, table, write_json
from benchmarks.workload import Task, short_tasks

REPOSITORY = Path(__file__).parents[1]
Rounds = defaultdict[str, list[float]]


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model", type=Path, default=REPOSITORY / "models" / "cloze-small-en")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", type=Path, default=REPOSITORY / "benchmarks/results/short.json")
    return parser.parse_args()


def measure_round(
    task: Task, server: Server, bare: BareSession, folder: Path, options: argparse.Namespace
) -> dict[str, float]:
    """Measure one task once: over HTTP at full load, the bare session, HTTP alone."""
    url, bodies = server.url + task.route, task.write_bodies(folder)
    items, seconds = bare.items(task), options.seconds
    # What each core gets when all connections wait. Larger batches are no faster.
    share = sum(len(item.encoding) for item in items) / len(items) * options.connections
    batches = packed(items, int(share / bare.workers))
    loaded = offer(url, bodies, connections=options.connections, seconds=seconds)
    alone = offer(url, bodies, connections=1, seconds=seconds / 2)
    return {
        "HTTP": loaded.rate,
        "p99": loaded.p99_ms,
        "bare": bare.rate(batches, seconds),
        "p50 alone": alone.p50_ms,
    }


def measurements(rounds: Rounds, tasks: tuple[Task, ...], connections: int) -> list[Measurement]:
    """Put the rounds into the order of the table."""
    lines = []
    for name in (task.name for task in tasks):
        http, bare = rounds[f"{name} HTTP"], rounds[f"{name} bare"]
        lines += [
            Measurement(f"{name}, HTTP, {connections} connections", "/s", tuple(http)),
            Measurement(f"{name}, bare session", "/s", tuple(bare)),
            ratio(f"{name}, HTTP of bare", http, bare),
            Measurement(f"{name}, p99 under load", "ms", tuple(rounds[f"{name} p99"])),
            Measurement(f"{name}, p50, 1 connection", "ms", tuple(rounds[f"{name} p50 alone"])),
        ]
    return lines


def main() -> None:
    """Measure, print, write."""
    options = read_options()
    tasks = short_tasks()
    bare = BareSession(options.model)
    rounds: Rounds = defaultdict(list)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with ceiling() as url:
            bodies = tasks[0].write_bodies(folder)
            limit = offer(url, bodies, connections=options.connections, seconds=1)
        with cloze(options.model, "--log-level", "error") as server:
            for _ in range(options.rounds):
                for task in tasks:
                    for name, value in measure_round(task, server, bare, folder, options).items():
                        rounds[f"{task.name} {name}"].append(value)
            resident = server.resident_mb()
    conditions = {
        "date": now(),
        **machine(),
        "model": f"{bare.manifest.name} ({bare.manifest.precision}), {bare.workers} workers",
        "start to ready": f"{server.ready_s:.1f} s",
        "resident memory after the load": f"{resident:.0f} MB",
        "limit of the load generator": f"{limit.rate:.0f} requests/s",
    }
    lines = measurements(rounds, tasks, options.connections)
    print(table(lines, conditions))
    write_json(options.json, lines, conditions)


if __name__ == "__main__":
    main()
