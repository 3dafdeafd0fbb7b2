"""Texts, pairs or words with labels in, the task of telling the labels apart out.

The label of a text or of a pair, one, several or a number, is read at [CLS]. A word's is read at
its first piece, as in the paper's named-entity recognition (5.3). A sentence of words that is too
long is cut between words into several inputs, so that no word is left out; only words of which the
tokenizer keeps nothing are.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from tokenizers import Encoding
from torch import Tensor

from models.heads import SEQUENCE, TOKEN
from training.errors import TrainingError
from training.finetune.data import SequenceExample, TokenExample, label_ids, number_labels
from training.finetune.inputs import Input, Int64, WordPieces, shared_room
from training.finetune.labelling import Problem
from training.finetune.losses import (
    class_weights,
    label_loss,
    label_weights,
    labels_loss,
    no_weights,
    number_loss,
)
from training.finetune.measures import (
    entity_measures,
    has_entities,
    label_measures,
    labels_measures,
    number_measures,
)
from training.finetune.task import Float32, Loss, Measures, Split, Task


def prepare_sequences(
    train: Sequence[SequenceExample],
    dev: Sequence[SequenceExample] | None,
    pieces: WordPieces,
    *,
    problem: Problem = Problem.CLASSES,
    number: str = "score",
    balanced: bool = False,
) -> Task:
    """A label per text or pair, as `problem` says; the labels are those of `train`.

    `number` is what a regression's number is called; `balanced` lets rare labels count as much as
    frequent ones, and is for classes and labels.
    """
    kind = _KINDS[problem]
    labels = (number,) if problem is Problem.NUMBER else number_labels(
        label for example in train for label in _names(example)
    )  # fmt: skip
    split = partial(split_sequences, labels=labels, pieces=pieces, problem=problem)
    kept = split(dev) if dev else None
    learnt = split(train)
    loss = kind.loss(kind.weights(learnt, len(labels)) if balanced else None)
    return Task(SEQUENCE, loss, kind.watched, labels, learnt, kept, problem.value)


def prepare_tokens(
    train: Sequence[TokenExample],
    dev: Sequence[TokenExample] | None,
    pieces: WordPieces,
    *,
    balanced: bool = False,
) -> Task:
    """A label per word; the labels are those of `train`. `balanced` as of texts."""
    labels = number_labels(label for example in train for label in example.labels)
    split = partial(_split_tokens, labels=labels, pieces=pieces)
    watched = "entity_f1" if has_entities(labels) else "macro_f1"
    learnt = split(train)
    loss = label_loss(class_weights(learnt, len(labels)) if balanced else None)
    return Task(TOKEN, loss, watched, labels, learnt, split(dev) if dev else None)


@dataclass(frozen=True)
class Kind:
    """How one kind of label is learnt and measured."""

    loss: Callable[[Tensor | None], Loss]  # of the labels' weights
    weights: Callable[[Split, int], Tensor]  # of the training data, and the number of labels
    watched: str
    targets: Callable[[Sequence[str], SequenceExample], Sequence[float]]
    score: Callable[[Sequence[Input], Sequence[Float32]], Measures]


def _names(example: SequenceExample) -> Sequence[str]:
    """The classes of an example."""
    return example.label if isinstance(example.label, tuple) else (str(example.label),)


def _class_target(labels: Sequence[str], example: SequenceExample) -> Sequence[float]:
    return label_ids(labels, _names(example), example.place)


def _class_targets(labels: Sequence[str], example: SequenceExample) -> Sequence[float]:
    """1 for each label that applies, 0 for the others."""
    chosen = set(label_ids(labels, _names(example), example.place))
    return [int(index in chosen) for index in range(len(labels))]


def _number_target(_: Sequence[str], example: SequenceExample) -> Sequence[float]:
    if not isinstance(example.label, float):
        raise TypeError(f"expected a number as label, found {type(example.label).__name__}")
    return [example.label]


def _score_class(inputs: Sequence[Input], logits: Sequence[Float32]) -> Measures:
    right = np.concatenate([part.targets for part in inputs]).astype(np.int64)
    return label_measures(right, np.concatenate(logits).argmax(axis=1))


def _score_classes(inputs: Sequence[Input], logits: Sequence[Float32]) -> Measures:
    """A label counts as found where it is likelier than not."""
    right = np.stack([part.targets for part in inputs]).astype(np.int64)
    return labels_measures(right, (np.concatenate(logits) > 0).astype(np.int64))


def _score_number(inputs: Sequence[Input], logits: Sequence[Float32]) -> Measures:
    right = np.concatenate([part.targets for part in inputs]).astype(np.float64)
    return number_measures(right, np.concatenate(logits)[:, 0].astype(np.float64))


_KINDS = {
    Problem.CLASSES: Kind(label_loss, class_weights, "accuracy", _class_target, _score_class),
    Problem.SEVERAL: Kind(labels_loss, label_weights, "micro_f1", _class_targets, _score_classes),
    Problem.NUMBER: Kind(number_loss, no_weights, "spearman", _number_target, _score_number),
}


def split_sequences(
    examples: Sequence[SequenceExample],
    *,
    labels: Sequence[str],
    pieces: WordPieces,
    problem: Problem,
) -> Split:
    """One input per example; the longer text of a pair gives way first."""
    kind = _KINDS[problem]
    inputs = []
    lengths = []
    firsts = pieces.of([example.text for example in examples])
    seconds = pieces.of([example.text_pair or "" for example in examples])
    for example, first, second in zip(examples, firsts, seconds, strict=True):
        paired = example.text_pair is not None
        special = 3 if paired else 2
        room = pieces.max_tokens - special
        kept, kept_second = shared_room(len(first), len(second), room)
        lengths.append(len(first) + (len(second) if paired else 0) + special)
        ids = second.ids[:kept_second] if paired else None
        wanted = kind.targets(labels, example)
        inputs.append(pieces.input(first.ids[:kept], ids, targets=wanted))
    return Split(len(examples), inputs, partial(kind.score, inputs), lengths)


def _split_tokens(
    examples: Sequence[TokenExample], *, labels: Sequence[str], pieces: WordPieces
) -> Split:
    inputs: list[Input] = []
    right: list[Int64] = []
    lengths = []
    encodings = pieces.of([list(example.words) for example in examples], words=True)
    for example, encoding in zip(examples, encodings, strict=True):
        wanted = label_ids(labels, example.labels, example.place)
        parts = list(word_inputs(encoding, wanted, pieces))
        if not parts:
            raise TrainingError(f"{example.place}: the tokenizer keeps none of its words.")
        inputs += parts
        lengths.append(len(encoding) + 2)
        right.append(np.concatenate([part.targets for part in parts]).astype(np.int64))
    return Split(len(examples), inputs, partial(_score_words, labels, right), lengths)


def word_inputs(encoding: Encoding, wanted: Sequence[int], pieces: WordPieces) -> Iterator[Input]:
    """One input, or several where the sentence is too long; `wanted` has a label per word."""
    words = [-1 if word is None else word for word in encoding.word_ids]
    starts = [i for i in range(len(words)) if i == 0 or words[i] != words[i - 1]]
    for begin, end in cut_between(starts, len(words), pieces.max_tokens - 2):
        firsts = [place for place in starts if begin <= place < end]
        if firsts:
            yield pieces.input(
                encoding.ids[begin:end],
                rows=[1 + place - begin for place in firsts],
                targets=[wanted[words[place]] for place in firsts],
            )


def cut_between(starts: Sequence[int], total: int, room: int) -> list[tuple[int, int]]:
    """Spans of at most `room` of `total` pieces, cut where words start if any does.

    >>> cut_between([0, 3, 6], total=8, room=5)
    [(0, 3), (3, 8)]
    >>> cut_between([0], total=8, room=5)
    [(0, 5), (5, 8)]
    """
    spans: list[tuple[int, int]] = []
    begin = 0
    while begin < total:
        end = min(begin + room, total)
        if end < total:
            last = starts[bisect_right(starts, end) - 1]
            end = last if last > begin else end
        spans.append((begin, end))
        begin = end
    return spans


def _score_words(
    labels: Sequence[str], right: Sequence[Int64], logits: Sequence[Float32]
) -> Measures:
    """Right labels by sentence, logits by input; also by entity where labels are BIO tags."""
    measures = label_measures(np.concatenate(right), np.concatenate(logits).argmax(axis=1))
    if not has_entities(labels):
        return measures
    ends = np.cumsum([len(sentence) for sentence in right])[:-1]
    found = np.split(np.concatenate(logits).argmax(axis=1), ends)
    ours, theirs = (
        [[labels[index] for index in sentence] for sentence in side] for side in (right, found)
    )
    return measures | entity_measures(ours, theirs)
