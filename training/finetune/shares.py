"""Examples and a share in, those to learn from and those to measure by out: stratified and seeded.

Examples that would tell of each other stay together: those with the same words, and questions about
the same context.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from training.errors import TrainingError
from training.finetune.data import Example, QuestionExample, SequenceExample
from training.finetune.duplicates import plain_text

E = TypeVar("E", bound=Example)
_BINS = 10  # of a regression's numbers, by rank


def set_aside(examples: Sequence[E], share: float, seed: int) -> tuple[list[E], list[E]]:
    """Split examples into those to learn from and `share` of them to measure by, each in order.

    Every label has its share among both, up to one group; a label with one group is learnt.

    Raises:
        TrainingError: there are too few examples for the share.
    """
    rng = np.random.default_rng(seed)
    groups: dict[str, list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        groups[group_of(example)].append(number)
    strata: dict[str, list[list[int]]] = defaultdict(list)
    named = _strata(examples)
    for members in groups.values():
        strata[named[members[0]]].append(members)
    chosen: set[int] = set()
    due = 0.0  # rows that are still to be set aside; less than nothing after a large group
    for name in sorted(strata):
        own = strata[name]
        due += share * sum(map(len, own))
        for place in rng.permutation(len(own))[1:]:  # the one that comes first is learnt
            if due >= len(own[place]) / 2:
                chosen.update(own[place])
                due -= len(own[place])
    kept = [example for number, example in enumerate(examples) if number not in chosen]
    aside = [example for number, example in enumerate(examples) if number in chosen]
    if not aside:
        raise TrainingError(
            f"--dev-share {share:g} of {len(examples)} rows sets none aside; give a larger share."
        )
    return kept, aside


def text_of(example: Example) -> str:
    """All the text of an example."""
    if isinstance(example, SequenceExample):
        return f"{example.text} {example.text_pair or ''}"
    if isinstance(example, QuestionExample):
        return f"{example.question} {example.context}"
    return " ".join(example.words)


def group_of(example: Example) -> str:
    """What examples that stay together have in common."""
    return plain_text(example.context if isinstance(example, QuestionExample) else text_of(example))


def _strata(examples: Sequence[Example]) -> list[str]:
    """What each example is one of many of: its label, a range of numbers, some kinds of entity."""
    labels = [example.label if isinstance(example, SequenceExample) else "" for example in examples]
    if any(isinstance(label, float) for label in labels):
        ranks = np.argsort(np.argsort(np.array(labels, np.float64), kind="stable"))
        return [f"{rank * _BINS // len(labels):02}" for rank in ranks.tolist()]
    return [
        _kind(example) if not isinstance(example, SequenceExample) else str(label)
        for example, label in zip(examples, labels, strict=True)
    ]


def _kind(example: Example) -> str:
    if isinstance(example, QuestionExample):
        return str(bool(example.answers))
    return " ".join(sorted({label for label in example.labels if label[:2] != "I-"}))  # type: ignore[union-attr]
