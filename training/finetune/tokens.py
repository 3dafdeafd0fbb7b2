"""Sentences in words with a label each in, the task of labelling words out.

A word's label is read at its first piece, as in the paper's named-entity recognition (5.3). A
sentence that is too long is cut between words into several inputs, so that no word is left out;
only words of which the tokenizer keeps nothing are.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tokenizers import Encoding

from models.heads import TOKEN
from training.errors import TrainingError
from training.finetune.data import TokenExample, label_ids, number_labels, read_tokens
from training.finetune.measures import accuracy, entity_measures, has_entities, macro_f1
from training.finetune.pieces import Input, Int64, WordPieces
from training.finetune.sequences import label_loss
from training.finetune.task import Float32, Measures, Split, Task


def prepare(train: Path, dev: Path | None, pieces: WordPieces) -> Task:
    """Read the files; the labels are those of `train`."""
    examples = read_tokens(train)
    labels = number_labels(label for example in examples for label in example.labels)
    return Task(
        head=TOKEN,
        loss=label_loss,
        watched="entity_f1" if has_entities(labels) else "macro_f1",
        labels=labels,
        train=_split(examples, labels, pieces),
        dev=_split(read_tokens(dev), labels, pieces) if dev else None,
    )


def _split(examples: Sequence[TokenExample], labels: Sequence[str], pieces: WordPieces) -> Split:
    inputs: list[Input] = []
    right: list[Int64] = []
    encodings = pieces.of_words([example.words for example in examples])
    for example, encoding in zip(examples, encodings, strict=True):
        wanted = label_ids(labels, example.labels, example.place)
        parts = list(_inputs(encoding, wanted, pieces))
        if not parts:
            raise TrainingError(f"{example.place}: the tokenizer keeps none of its words.")
        inputs += parts
        right.append(np.concatenate([part.targets for part in parts]))
    return Split(len(examples), inputs, partial(_score, labels, right))


def _inputs(encoding: Encoding, wanted: Sequence[int], pieces: WordPieces) -> Iterator[Input]:
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


def _score(labels: Sequence[str], right: Sequence[Int64], logits: Sequence[Float32]) -> Measures:
    """The numbers of the right labels by sentence, and float32 (words, labels) by input."""
    wanted = np.concatenate(right)
    found = np.concatenate(logits).argmax(axis=1)
    measures = {"accuracy": accuracy(wanted, found), "macro_f1": macro_f1(wanted, found)}
    if not has_entities(labels):
        return measures
    by_sentence = np.split(found, np.cumsum([len(sentence) for sentence in right])[:-1])
    return measures | entity_measures(
        [[labels[index] for index in sentence] for sentence in right],
        [[labels[index] for index in sentence] for sentence in by_sentence],
    )
