"""Texts or pairs of texts with a label in, the task of telling the labels apart out."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional

from models.heads import SEQUENCE
from training.finetune.data import SequenceExample, label_ids, number_labels, read_sequences
from training.finetune.inputs import InputBatch
from training.finetune.measures import Int64, accuracy, macro_f1
from training.finetune.pieces import Input, WordPieces, shared_room
from training.finetune.task import Float32, Measures, Split, Task


def prepare(train: Path, dev: Path | None, pieces: WordPieces) -> Task:
    """Read the files; the labels are those of `train`."""
    examples = read_sequences(train)
    labels = number_labels(example.label for example in examples)
    return Task(
        head=SEQUENCE,
        loss=label_loss,
        watched="accuracy",
        labels=labels,
        train=_split(examples, labels, pieces),
        dev=_split(read_sequences(dev), labels, pieces) if dev else None,
    )


def label_loss(logits: Tensor, batch: InputBatch) -> Tensor:
    """Cross-entropy: float (rows, labels) -> float (), the mean over rows."""
    return functional.cross_entropy(logits.float(), batch.targets)


def _split(examples: Sequence[SequenceExample], labels: Sequence[str], pieces: WordPieces) -> Split:
    right = np.array([label_ids(labels, [example.label], example.place)[0] for example in examples])
    inputs = list(_inputs(examples, right, pieces))
    return Split(len(examples), inputs, partial(_score, right))


def _inputs(
    examples: Sequence[SequenceExample], right: Int64, pieces: WordPieces
) -> Iterator[Input]:
    """One input per example; the longer text of a pair gives way first."""
    firsts = pieces.of_texts([example.text for example in examples])
    seconds = pieces.of_texts([example.text_pair or "" for example in examples])
    for example, label, first, second in zip(examples, right, firsts, seconds, strict=True):
        paired = example.text_pair is not None
        room = pieces.max_tokens - (3 if paired else 2)
        kept, kept_second = shared_room(len(first), len(second), room)
        yield pieces.input(
            first.ids[:kept], second.ids[:kept_second] if paired else None, targets=[label]
        )


def _score(right: Int64, logits: Sequence[Float32]) -> Measures:
    """Int64 (examples,) and float32 (1, labels) for each -> measures."""
    found = np.concatenate(logits).argmax(axis=1)
    return {"accuracy": accuracy(right, found), "macro_f1": macro_f1(right, found)}
