"""Texts, pairs or words with labels in, the task of telling the labels apart out.

A text, or a pair, has one label, which is read at [CLS]. A word's is read at its first piece, as in
the paper's named-entity recognition (5.3). A sentence of words that is too long is cut between
words into several inputs, so that no word is left out; only words of which the tokenizer keeps
nothing are.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tokenizers import Encoding
from torch import Tensor
from torch.nn import functional

from models.heads import SEQUENCE, TOKEN
from training.errors import TrainingError
from training.finetune.data import SequenceExample, TokenExample, label_ids, number_labels
from training.finetune.inputs import Input, InputBatch, Int64, WordPieces, shared_room
from training.finetune.measures import entity_measures, has_entities, label_measures
from training.finetune.task import Float32, Measures, Split, Task
from training.json_lines import read_lines


def prepare_sequences(train: Path, dev: Path | None, pieces: WordPieces) -> Task:
    """A label per text or pair; the labels are those of `train`."""
    examples = read_lines(train, SequenceExample.of)
    labels = number_labels(example.label for example in examples)
    split = partial(_sequences, labels=labels, pieces=pieces)
    kept = split(read_lines(dev, SequenceExample.of)) if dev else None
    return Task(SEQUENCE, label_loss, "accuracy", labels, split(examples), kept)


def prepare_tokens(train: Path, dev: Path | None, pieces: WordPieces) -> Task:
    """A label per word; the labels are those of `train`."""
    examples = read_lines(train, TokenExample.of)
    labels = number_labels(label for example in examples for label in example.labels)
    split = partial(_tokens, labels=labels, pieces=pieces)
    kept = split(read_lines(dev, TokenExample.of)) if dev else None
    watched = "entity_f1" if has_entities(labels) else "macro_f1"
    return Task(TOKEN, label_loss, watched, labels, split(examples), kept)


def label_loss(logits: Tensor, batch: InputBatch) -> Tensor:
    """Cross-entropy: float (rows, labels) -> float (), the mean over rows."""
    return functional.cross_entropy(logits.float(), batch.targets)


def _sequences(
    examples: Sequence[SequenceExample], *, labels: Sequence[str], pieces: WordPieces
) -> Split:
    """One input per example; the longer text of a pair gives way first."""
    inputs = []
    firsts = pieces.of([example.text for example in examples])
    seconds = pieces.of([example.text_pair or "" for example in examples])
    for example, first, second in zip(examples, firsts, seconds, strict=True):
        paired = example.text_pair is not None
        room = pieces.max_tokens - (3 if paired else 2)
        kept, kept_second = shared_room(len(first), len(second), room)
        ids = second.ids[:kept_second] if paired else None
        wanted = label_ids(labels, [example.label], example.place)
        inputs.append(pieces.input(first.ids[:kept], ids, targets=wanted))
    right = np.concatenate([part.targets for part in inputs])
    return Split(len(examples), inputs, partial(_score, right))


def _tokens(
    examples: Sequence[TokenExample], *, labels: Sequence[str], pieces: WordPieces
) -> Split:
    inputs: list[Input] = []
    right: list[Int64] = []
    encodings = pieces.of([list(example.words) for example in examples], words=True)
    for example, encoding in zip(examples, encodings, strict=True):
        wanted = label_ids(labels, example.labels, example.place)
        parts = list(_word_inputs(encoding, wanted, pieces))
        if not parts:
            raise TrainingError(f"{example.place}: the tokenizer keeps none of its words.")
        inputs += parts
        right.append(np.concatenate([part.targets for part in parts]))
    return Split(len(examples), inputs, partial(_score_words, labels, right))


def _word_inputs(encoding: Encoding, wanted: Sequence[int], pieces: WordPieces) -> Iterator[Input]:
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


def _score(right: Int64, logits: Sequence[Float32]) -> Measures:
    """The numbers of the right labels, and float32 (rows, labels) by input."""
    return label_measures(right, np.concatenate(logits).argmax(axis=1))


def _score_words(
    labels: Sequence[str], right: Sequence[Int64], logits: Sequence[Float32]
) -> Measures:
    """As `_score`, with the right labels by sentence; also by entity where labels are BIO tags."""
    measures = _score(np.concatenate(right), logits)
    if not has_entities(labels):
        return measures
    ends = np.cumsum([len(sentence) for sentence in right])[:-1]
    found = np.split(np.concatenate(logits).argmax(axis=1), ends)
    ours, theirs = (
        [[labels[index] for index in sentence] for sentence in side] for side in (right, found)
    )
    return measures | entity_measures(ours, theirs)
