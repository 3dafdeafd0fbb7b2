"""Losses: what one large batch has, its parts have; and what a rare label counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from tests.training.finetune.conftest import Write
from tests.training.finetune.toy_tasks import PIECES, entities, questions
from training.errors import TrainingError
from training.finetune.inputs import InputBatch, WordPieces
from training.finetune.losses import label_loss, labels_loss, number_loss
from training.finetune.questions import span_loss
from training.finetune.source import DataOptions, read_data
from training.finetune.task import Loss, Options, Task

RARE = [*("glad", "happy", "calm") * 3, "sad"]


def batch(targets: torch.Tensor, counts: list[int]) -> InputBatch:
    """What a loss reads of a batch."""
    unread = torch.empty(0)
    return InputBatch(unread, unread, unread, unread, torch.tensor(counts), targets)


def prepared(tiny: Path, kind: str, train: Path, weights: str = "balanced") -> Task:
    pieces = WordPieces(tiny, max_tokens=30, vocab_size=len(PIECES))
    return read_data(kind, train, None, DataOptions()).task(pieces, Options(class_weights=weights))


@pytest.mark.parametrize(
    ("loss", "columns", "targets", "per_row"),
    [
        (label_loss(), 3, torch.tensor([0, 2, 1, 1, 0]), 1),
        (label_loss(torch.tensor([0.5, 2.0, 7.0])), 3, torch.tensor([0, 2, 1, 1, 0]), 1),
        (labels_loss(torch.tensor([3.0, 0.2])), 2, torch.tensor([1, 0, 0, 1, 1, 1, 0, 0, 1, 0]), 2),
        (number_loss(), 1, torch.tensor([0.5, -1, 2, 0, 3], dtype=torch.float64), 1),
    ],
)
def test_parts_add_up_to_the_whole(
    loss: Loss, columns: int, targets: torch.Tensor, per_row: int
) -> None:
    logits = torch.randn(5, columns, generator=torch.Generator().manual_seed(5))
    whole = loss(logits, batch(targets, [1] * 5))
    cut = 2
    parts = [
        len(own) / len(targets) * loss(rows, batch(own, [1] * len(rows)))
        for rows, own in (
            (logits[:cut], targets[: cut * per_row]),
            (logits[cut:], targets[cut * per_row :]),
        )
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_parts_of_spans_add_up_too() -> None:
    logits = torch.randn(9, 2, generator=torch.Generator().manual_seed(6))
    targets = torch.tensor([0, 0, 1, 2, 3, 3])  # start and end of three inputs
    whole = span_loss(logits, batch(targets, [2, 3, 4]))
    first = span_loss(logits[:2], batch(targets[:2], [2]))
    rest = span_loss(logits[2:], batch(targets[2:], [3, 4]))
    torch.testing.assert_close(first / 3 + rest * 2 / 3, whole)


def test_balanced_classes_count_as_in_scikit_learn(tiny: Path, write: Write) -> None:
    task = prepared(
        tiny,
        "sequence",
        write("train.jsonl", [{"text": word, "label": f"l-{word}"} for word in RARE]),
    )
    targets = np.concatenate([entry.targets for entry in task.train.inputs]).astype(int)
    wanted = compute_class_weight("balanced", classes=np.arange(4), y=targets)
    for label in range(4):
        logits = torch.zeros(1, 4)
        found = float(task.loss(logits, batch(torch.tensor([label]), [1])))
        assert found == pytest.approx(wanted[label] * np.log(4), rel=1e-5)


def test_balanced_words_count_by_their_labels(tiny: Path, write: Write) -> None:
    task = prepared(tiny, "token", write("train.jsonl", entities(30, 1)))
    plain = prepared(tiny, "token", write("train.jsonl", entities(30, 1)), "none")
    targets = np.concatenate([entry.targets for entry in task.train.inputs]).astype(int)
    wanted = compute_class_weight("balanced", classes=np.arange(len(task.labels)), y=targets)
    logits = torch.zeros(len(wanted), len(wanted))
    each = batch(torch.arange(len(wanted)), [1] * len(wanted))
    assert float(task.loss(logits, each) / plain.loss(logits, each)) == pytest.approx(
        wanted.mean(), rel=1e-5
    )


def test_a_rare_label_of_several_counts_by_rows_without_it(tiny: Path, write: Write) -> None:
    rows = [{"text": "glad", "label": ["a"]}] * 6 + [{"text": "sad", "label": ["a", "b"]}] * 2
    task = prepared(tiny, "sequence", write("train.jsonl", rows))
    logits = torch.zeros(1, 2)
    half = np.log(2)  # of a label with a logit of 0
    with_b = float(task.loss(logits, batch(torch.tensor([0, 1]), [1])))
    assert with_b == pytest.approx((half + 6 / 2 * half) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("sequence", [{"text": "glad", "label": 0.5}, {"text": "sad", "label": 1.25}]),
        ("question", questions(3, 1)),
    ],
)
def test_what_has_no_labels_has_no_weights(
    tiny: Path, write: Write, kind: str, rows: list[dict[str, Any]]
) -> None:
    with pytest.raises(TrainingError, match="--class-weights balanced weighs labels"):
        prepared(tiny, kind, write("train.jsonl", rows))
