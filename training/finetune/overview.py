"""A task's data in, a table for people out, before anything is learnt: what there is of what.

Rows, lengths, rows that are too long, labels with their counts, and what may be wrong with them.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from training.finetune.data import QuestionExample, SequenceExample, TokenExample
from training.finetune.duplicates import NEAR, near_duplicates
from training.finetune.shares import text_of
from training.finetune.source import Data, Part
from training.finetune.task import Split, Task

SHOWN = 30  # labels in the table
FEW = 8  # rows of a label; fewer teach little
COMPARED = 2_000  # rows of dev that are looked for in train, evenly spread where there are more

Row = tuple[str, list[str]]


def overview(data: Data, task: Task, max_tokens: int) -> str:
    """The table and, below it, what people should know."""
    parts = [(part, split) for part, split in ((data.train, task.train), (data.dev, task.dev))
             if part is not None and split is not None]  # fmt: skip
    rows: list[Row] = [
        ("", [part.name for part, _ in parts]),
        ("rows", [f"{split.examples:,}" for _, split in parts]),
        ("tokens: median", [f"{np.median(split.lengths):.0f}" for _, split in parts]),
        ("tokens: most", [f"{max(split.lengths):,}" for _, split in parts]),
        (f"longer than {max_tokens}", [f"{too_long(split, max_tokens):,}" for _, split in parts]),
        *_contents([part for part, _ in parts]),
    ]
    first = max(len(name) for name, _ in rows)
    widths = [max(map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
    lines = [
        "  ".join([name.ljust(first), *map(str.rjust, cells, widths)]).rstrip()
        for name, cells in rows
    ]
    columns = ", ".join(f"{role}={column}" for role, column in data.train.columns.items())
    return "\n".join([*lines, f"columns: {columns}", *_notes(data, task, max_tokens)])


def too_long(split: Split, max_tokens: int) -> int:
    """How many examples have more tokens than fit."""
    return sum(length > max_tokens for length in split.lengths)


def counts(part: Part) -> Counter[str]:
    """How often each label occurs: in rows, or of tags of entities how many entities."""
    found: Counter[str] = Counter()
    for example in part.examples:
        if isinstance(example, SequenceExample):
            label = example.label
            found.update(label if isinstance(label, tuple) else [str(label)])
        elif isinstance(example, TokenExample):
            found.update(label for label in example.labels if not label.startswith("I-"))
        elif isinstance(example, QuestionExample):
            found["with an answer" if example.answers else "without an answer"] += 1
    return found


def _contents(parts: Sequence[Part]) -> list[Row]:
    """What the labels are."""
    numbers = [_numbers(part) for part in parts]
    if numbers[0]:
        return [
            ("label: mean", [f"{np.mean(values):.3g}" for values in numbers]),
            ("label: deviation", [f"{np.std(values):.3g}" for values in numbers]),
            ("label: from", [f"{min(values):.4g}" for values in numbers]),
            ("label: to", [f"{max(values):.4g}" for values in numbers]),
        ]
    found = [counts(part) for part in parts]
    names = sorted(set().union(*found))
    shown = sorted(names, key=lambda name: -found[0][name])[:SHOWN] if len(names) > SHOWN else names
    rows = [(name, [f"{counter[name]:,}" for counter in found]) for name in shown]
    rest = [name for name in names if name not in shown]
    if rest:
        others = [f"{sum(counter[name] for name in rest):,}" for counter in found]
        rows.append((f"{len(rest)} other labels", others))
    return rows


def _numbers(part: Part) -> list[float]:
    labels = [example.label for example in part.examples if isinstance(example, SequenceExample)]
    return [label for label in labels if isinstance(label, float)]


def _notes(data: Data, task: Task, max_tokens: int) -> list[str]:
    """What may surprise or mislead, a line each."""
    notes = [f"note: {note}" for note in data.notes]
    long = too_long(task.train, max_tokens)
    if long and data.kind == "sequence":
        notes.append(f"note: {long:,} rows of {data.train.name} are cut; --max-tokens says where")
    notes += [f"note: {note}" for note in _about_labels(data)]
    if data.dev is None:
        notes.append(
            "note: nothing is measured, as there is neither --dev nor --dev-share; the last epoch "
            "is kept, good or bad"
        )
        return notes
    return [*notes, *(f"note: {note}" for note in _about_copies(data.train, data.dev))]


def _about_labels(data: Data) -> list[str]:
    """What is odd about labels."""
    if data.kind == "question":
        return []
    if numbers := _numbers(data.train):
        wide = max(abs(float(np.mean(numbers))), float(np.std(numbers))) > 10
        return ["the labels are large numbers; scaled to about 1 they are learnt faster"] * wide
    found = counts(data.train)
    notes = []
    rows = len(data.train.examples)
    if data.kind == "sequence" and len(found) > max(20, rows / 3):
        notes.append(
            f"{len(found):,} labels for {rows:,} rows: is {data.train.columns.get('label')} the "
            "column that was meant? (--columns label=NAME)"
        )
        return notes
    if few := sorted(name for name, count in found.items() if count < FEW):
        names = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        notes.append(f"with fewer than {FEW} rows a label is hardly learnt: {names}")
    if data.dev and (unseen := sorted(found.keys() - counts(data.dev).keys())):
        names = ", ".join(unseen[:5]) + (f" and {len(unseen) - 5} more" if len(unseen) > 5 else "")
        notes.append(f"{data.dev.name} has none of these, so they are not measured: {names}")
    return notes


def _about_copies(train: Part, dev: Part) -> list[str]:
    """Whether rows to measure by are rows to learn from."""
    step = -(-len(dev.examples) // COMPARED)
    asked = dev.examples[::step]
    texts = [[text_of(example) for example in side] for side in (asked, train.examples)]
    found = near_duplicates(*texts)
    if not found:
        return []
    pairs = "; ".join(
        f"{asked[ours].place} and {train.examples[theirs].place}" for ours, theirs in found[:3]
    )
    return [
        f"{len(found):,} of {len(asked):,} rows of {dev.name} have {NEAR:.0%} of their words in "
        f"common with a row that is learnt, so what is measured flatters: {pairs}"
        + ("; …" if len(found) > 3 else "")
    ]
