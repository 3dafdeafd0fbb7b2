"""What the runs of a study gave in, tables for people out: the best, and how far the plain is off.

Values are in points, which are hundredths of a measure, and means over seeds.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.study.grid import Result

Setting = tuple[float, int, int]  # rate, epochs, batch size; (0, 0, 0) for the plain command


@dataclass(frozen=True)
class Group:
    """The runs of one checkpoint on one task."""

    checkpoint: str
    task: str
    measure: str
    points: Mapping[Setting, float]  # the mean over seeds; below all others where one was lost
    plain: str  # what the plain command chose


def groups(results: Sequence[Result]) -> list[Group]:
    """The results by checkpoint and task, in the order in which these came."""
    found: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        found[result.cell.checkpoint, result.cell.task].append(result)
    return [_group(checkpoint, task, members) for (checkpoint, task), members in found.items()]


def summary(found: Sequence[Group]) -> str:
    """A row for each checkpoint and task: the plain command beside the best of the study."""
    lines = [
        "| checkpoint | task | measure | plain command | points | best | points | off |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for group in found:
        best = max(group.points, key=lambda setting: group.points[setting])
        plain = group.points.get((0.0, 0, 0))
        said = "" if plain is None else f"{plain:.1f}"
        off = "" if plain is None else f"{group.points[best] - plain:.1f}"
        named = group.plain if best == (0.0, 0, 0) else _named(best)
        cells = (group.checkpoint, group.task, group.measure, group.plain, said, named,
                 f"{group.points[best]:.1f}", off)  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def details(found: Sequence[Group]) -> str:
    """Every setting's points, a column for each checkpoint and task."""
    settings = sorted({setting for group in found for setting in group.points} - {(0.0, 0, 0)})
    heads = [f"{group.checkpoint}, {group.task}" for group in found]
    lines = [f"| {' | '.join(['rate, epochs, batch', *heads])} |", "|---" * (len(heads) + 1) + "|"]
    for setting in settings:
        points = [group.points.get(setting) for group in found]
        shown = ["" if value is None else f"{value:.1f}" for value in points]
        lines.append(f"| {' | '.join([_named(setting), *shown])} |")
    return "\n".join(lines)


def _group(checkpoint: str, task: str, results: Sequence[Result]) -> Group:
    values: dict[Setting, list[float]] = defaultdict(list)
    plain = ""
    for result in results:
        cell = result.cell
        value = -np.inf if result.value is None else 100 * result.value
        values[cell.rate, cell.epochs, cell.batch_size].append(value)
        if cell.plain:
            used = result.used
            plain = _named((used["rate"], int(used["epochs"]), int(used["batch_size"])))
    points = {setting: float(np.mean(found)) for setting, found in values.items()}
    return Group(checkpoint, task, results[0].measure, points, plain)


def _named(setting: Setting) -> str:
    """A setting for people.

    >>> _named((1e-4, 8, 16))
    '0.0001, 8, 16'
    """
    rate, epochs, batch = setting
    return f"{rate:.2g}, {epochs}, {batch}"
