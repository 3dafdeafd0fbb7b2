"""Texts, pairs and words: what is read of them, through cuts and odd characters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.finetune.conftest import Write, read
from tests.training.finetune.toy_tasks import PIECES, Example
from training.errors import TrainingError
from training.finetune.data import SequenceExample, TokenExample
from training.finetune.inputs import WordPieces
from training.finetune.labels import cut_between, prepare_sequences, prepare_tokens
from training.finetune.task import Task

TAGS = ["O", "B-PER", "I-PER", "O"]


def prepare(
    tiny: Path, write: Write, examples: list[Example], max_tokens: int = 30, name: str = "t.jsonl"
) -> Task:
    pieces = WordPieces(tiny, max_tokens=max_tokens, vocab_size=len(PIECES))
    found = read(write(name, examples), TokenExample)
    return prepare_tokens(found, found, pieces)


def test_a_word_is_read_at_its_first_piece(tiny: Path, write: Write) -> None:
    example = {"tokens": ["mr", "carlson", "benson", "?"], "labels": TAGS}
    (found,) = prepare(tiny, write, [example]).train.inputs
    names = [PIECES[index] for index in found.ids]
    assert names == ["[CLS]", "mr", "carl", "##son", "ben", "##son", "?", "[SEP]"]
    assert [names[row] for row in found.rows] == ["mr", "carl", "ben", "?"]
    assert found.targets.tolist() == [2, 0, 1, 2]  # B-PER, I-PER, O in order


def test_long_sentence_is_cut_between_words_and_loses_none(tiny: Path, write: Write) -> None:
    words = ["the", "carlson", "benson", "annaberg", "?"] * 4
    labels = [f"{number % 7}" for number in range(len(words))]
    task = prepare(tiny, write, [{"tokens": words, "labels": labels}], max_tokens=9)
    assert len(task.train.inputs) > 1
    assert max(len(part.ids) for part in task.train.inputs) <= 9
    assert all(part.rows[0] == 1 for part in task.train.inputs)  # each begins with a whole word
    found = [task.labels[index] for part in task.train.inputs for index in part.targets]
    assert found == labels


@pytest.mark.parametrize("room", [1, 2, 3, 5, 11])
def test_cuts_cover_every_piece_once(room: int) -> None:
    starts = [0, 1, 4, 5, 7, 8]
    spans = cut_between(starts, 11, room)
    assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == 11
    assert all(0 < end - begin <= room for begin, end in spans)
    if room >= 3:  # no word is longer
        assert {begin for begin, _ in spans} <= set(starts)


def test_words_without_pieces_are_left_out(tiny: Path, write: Write) -> None:
    example = {"tokens": ["\u200b", "anna", "\u200b", "ben"], "labels": TAGS}
    task = prepare(tiny, write, [example])
    (found,) = task.train.inputs
    assert [task.labels[index] for index in found.targets] == ["B-PER", "O"]
    with pytest.raises(TrainingError, match=r"t\.jsonl, line 2: the tokenizer keeps none"):
        prepare(tiny, write, [example, {"tokens": ["\u200b"], "labels": ["O"]}])


def test_entities_are_scored_by_sentence_across_cuts(tiny: Path, write: Write) -> None:
    labels = ["B-PER", "I-PER", "I-PER", "I-PER", "I-PER", "O"]
    long = {"tokens": ["anna"] * 6, "labels": labels}
    short = {"tokens": ["ben"], "labels": ["I-PER"]}
    task = prepare(tiny, write, [long, short], max_tokens=6)
    assert task.watched == "entity_f1"
    assert len(task.train.inputs) == 3
    perfect = [np.eye(3, dtype=np.float32)[part.targets] for part in task.train.inputs]
    assert set(task.train.score(perfect).values()) == {1.0}
    perfect[1][0] = (0, 0, 9)  # the fifth word: its entity is then another, the other stays
    measures = task.train.score(perfect)
    assert measures["entity_f1"] == 0.5
    assert measures["accuracy"] == 6 / 7


def test_labels_that_are_no_tags_are_scored_by_class(tiny: Path, write: Write) -> None:
    task = prepare(tiny, write, [{"tokens": ["anna", "the"], "labels": ["NOUN", "DET"]}])
    assert task.watched == "macro_f1"
    assert set(task.train.score([np.eye(2, dtype=np.float32)])) == {"accuracy", "macro_f1"}


def test_long_texts_are_cut_at_their_end_and_the_longer_of_a_pair_first(
    tiny: Path, write: Write
) -> None:
    path = write(
        "s.jsonl",
        [
            {"text": "the a of we then", "label": 3},
            {"text": "the a of we then much very", "label": 1},
            {"text": "the a of we then", "text_pair": "sad ben", "label": 1},
            {"text": "sad", "text_pair": "the a of we then", "label": 3},
        ],
    )
    task = prepare_sequences(
        read(path, SequenceExample), None, WordPieces(tiny, max_tokens=7, vocab_size=len(PIECES))
    )
    found = [" ".join(PIECES[index] for index in entry.ids) for entry in task.train.inputs]
    assert found == [
        "[CLS] the a of we then [SEP]",
        "[CLS] the a of we then [SEP]",
        "[CLS] the a [SEP] sad ben [SEP]",
        "[CLS] sad [SEP] the a of [SEP]",
    ]
    assert [entry.second for entry in task.train.inputs] == [7, 7, 4, 3]
    assert [task.labels[int(entry.targets[0])] for entry in task.train.inputs] == list("3113")
    assert task.dev is None


def test_scores_compare_the_largest_logit_with_the_label(tiny: Path, write: Write) -> None:
    path = write("s.jsonl", [{"text": "ben", "label": label} for label in ("x", "x", "y", "y")])
    found = read(path, SequenceExample)
    task = prepare_sequences(found, found, WordPieces(tiny, max_tokens=7, vocab_size=len(PIECES)))
    assert task.dev is not None
    logits = [np.array([row], np.float32) for row in ((2, 1), (0, 1), (-3, -2), (0, 9))]
    assert task.dev.score(logits)["accuracy"] == 0.75
