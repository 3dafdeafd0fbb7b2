"""Inputs as transformers' own tokenizer puts them together, padded and ordered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import transformers

from tests.training.finetune.toy_tasks import PIECES
from training.errors import TrainingError
from training.finetune.inputs import (
    CHUNK,
    Input,
    WordPieces,
    collate,
    prediction_batches,
    shared_room,
    training_batches,
)

ROWS = len(PIECES)


def word_pieces(folder: Path, max_tokens: int = 50) -> WordPieces:
    return WordPieces(folder, max_tokens=max_tokens, vocab_size=ROWS)


def test_pairs_are_joined_as_transformers_joins_them(tiny: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    pieces = word_pieces(tiny)
    for first, second in (("Glad, carlson?", "sad"), ("the", "mr annaberg."), ("a ?", None)):
        wanted = tokenizer(first, second)
        one, two = pieces.of([first, second or ""])
        found = pieces.input(one.ids, two.ids if second else None, targets=[1])
        assert found.ids.tolist() == wanted["input_ids"]
        assert found.second == [*wanted["token_type_ids"], 1].index(1)
        assert (found.rows.tolist(), found.targets.tolist()) == ([0], [1])


@pytest.mark.parametrize("lengths", [(9, 3), (3, 9), (6, 7), (7, 6), (2, 2)])
@pytest.mark.parametrize("room", [1, 4, 7, 8])
def test_longer_segment_gives_way_first(lengths: tuple[int, int], room: int) -> None:
    kept = shared_room(*lengths, room)
    assert sum(kept) == min(room, sum(lengths))
    for (ours, theirs), (own, other) in zip(
        ((kept[0], kept[1]), (kept[1], kept[0])), (lengths, lengths[::-1]), strict=True
    ):
        # A segment that lost something is at most one token shorter than the other.
        assert ours == own or (ours >= theirs - 1 and other <= other + own)


def test_words_keep_their_numbers_and_texts_their_order(tiny: Path) -> None:
    texts = [f"{'the ' * (number % 3)}ben" for number in range(CHUNK + 5)]
    found = [len(encoding) for encoding in word_pieces(tiny).of(texts)]
    assert found == [number % 3 + 1 for number in range(CHUNK + 5)]
    (words,) = word_pieces(tiny).of([["mr", "carlson", "\u200b", "[MASK]", "?"]], words=True)
    assert words.tokens == ["mr", "carl", "##son", "[UNK]", "[UNK]", "[UNK]", "?"]
    assert words.word_ids == [0, 1, 1, 3, 3, 3, 4]


@pytest.mark.parametrize("typed", ["[MASK]", "[SEP]", "[CLS]", "[PAD]"])
def test_special_pieces_that_are_typed_are_text(tiny: Path, typed: str) -> None:
    (found,) = word_pieces(tiny).of([f"glad {typed} sad"])
    assert found.tokens == ["glad", "[UNK]", "[UNK]", "[UNK]", "sad"]


def test_truncation_and_padding_of_the_file_are_not_used(tiny: Path, tmp_path: Path) -> None:
    document = json.loads((tiny / "tokenizer.json").read_text())
    document["truncation"] = {
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    (found,) = word_pieces(tmp_path).of(["we then anna ben carl"])
    assert len(found) == 5


def test_input_that_is_too_long_is_a_mistake_of_the_caller(tiny: Path) -> None:
    with pytest.raises(ValueError, match="expected at most 8 tokens, found 9"):
        word_pieces(tiny, 8).input([7] * 3, [7] * 3, targets=[0])


def test_tokenizer_that_does_not_fit_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds no tokenizer\.json"):
        word_pieces(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(TrainingError, match=r"tokenizer\.json is not usable"):
        word_pieces(tmp_path)
    shutil.copy(tiny / "tokenizer.json", tmp_path / "tokenizer.json")
    with pytest.raises(TrainingError, match=f"has {ROWS} ids and the model only {ROWS - 1}"):
        WordPieces(tmp_path, max_tokens=9, vocab_size=ROWS - 1)
    text = (tiny / "tokenizer.json").read_text().replace("[CLS]", "[XXX]")
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(TrainingError, match=r"The tokenizer lacks \[CLS\]"):
        word_pieces(tmp_path)


def an_input(tokens: int, second: int, rows: list[int], targets: list[int]) -> Input:
    ids = np.arange(10, 10 + tokens)
    return Input(ids, second, np.array(rows, np.int64), np.array(targets, np.int64))


def test_batch_is_padded_and_its_rows_are_counted_over_the_rectangle() -> None:
    batch = collate([an_input(3, 3, [1], [7]), an_input(5, 2, [4, 0], [8, 9])])
    assert batch.ids.tolist() == [[10, 11, 12, 0, 0], [10, 11, 12, 13, 14]]
    assert batch.token_types.tolist() == [[0] * 5, [0, 0, 1, 1, 1]]
    assert batch.lengths.tolist() == [3, 5]
    assert batch.rows.tolist() == [1, 9, 5]
    assert batch.counts.tolist() == [1, 2]
    assert batch.targets.tolist() == [7, 8, 9]


def test_epoch_holds_every_input_once_in_batches_of_about_one_length() -> None:
    lengths = np.random.default_rng(1).integers(3, 120, 1000)
    batches = training_batches(lengths, 7, np.random.default_rng(2))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    assert max(len(batch) for batch in batches) == 7
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert 1 - lengths.sum() / padded < 0.06  # random batches waste 0.43


def test_order_of_batches_says_nothing_of_length_and_depends_on_the_seed_alone() -> None:
    lengths = np.random.default_rng(1).integers(3, 120, 1000)
    first, again, other = (
        training_batches(lengths, 7, np.random.default_rng(seed)) for seed in (2, 2, 3)
    )
    means = [lengths[batch].mean() for batch in first]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_predictions_start_with_the_longest() -> None:
    batches = list(prediction_batches(np.array([3, 9, 5, 9, 4]), 2))
    assert [batch.tolist() for batch in batches] == [[1, 3], [2, 4], [0]]
