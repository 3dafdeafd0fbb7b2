"""What is read from a tokenizer.json."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from tests.training.small_corpus import SPECIAL, WORDS, write_tokenizer
from training.errors import TrainingError
from training.vocabulary import Vocabulary, read_tokenizer


def test_special_tokens_are_told_from_words(tmp_path: Path) -> None:
    vocabulary = Vocabulary.of(read_tokenizer(write_tokenizer(tmp_path)))
    pieces = [*SPECIAL, *WORDS]
    assert vocabulary.size == len(pieces)
    assert [pieces[i] for i in np.flatnonzero(vocabulary.special)] == list(SPECIAL)
    assert [pieces[i] for i in vocabulary.ordinary] == list(WORDS)
    ids = (vocabulary.pad, vocabulary.unk, vocabulary.cls, vocabulary.sep, vocabulary.mask)
    assert ids == (0, 1, 2, 3, 4)


def test_the_vocabulary_of_a_real_checkpoint(standin_checkpoint: Path) -> None:
    vocabulary = Vocabulary.of(read_tokenizer(standin_checkpoint / "tokenizer.json"))
    assert (vocabulary.size, vocabulary.cls, vocabulary.sep, vocabulary.mask) == (
        30522,
        101,
        102,
        103,
    )
    assert vocabulary.special.sum() == 5 + 994  # and [unused0] to [unused993]


def test_an_id_without_a_piece_is_special(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path)
    path.write_text(path.read_text().replace('"mask": 23', '"mask": 25'))
    special = Vocabulary.of(read_tokenizer(path)).special
    assert np.flatnonzero(special).tolist() == [0, 1, 2, 3, 4, 5, 23, 24]


def test_a_tokenizer_without_mask_is_refused(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path)
    path.write_text(path.read_text().replace("[MASK]", "[GAP]"))
    with pytest.raises(TrainingError, match=r"lacks \[MASK\]"):
        Vocabulary.of(read_tokenizer(path))


@pytest.mark.parametrize("text", ["", "[]", '{"model": {"type": "WordPiece"}}'])
def test_another_kind_of_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(TrainingError, match="is not usable"):
        read_tokenizer(tmp_path)
    with pytest.raises(TrainingError, match=r"holds no none\.json"):
        Vocabulary.of(read_tokenizer(tmp_path / "none.json"))


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    Tokenizer(BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(TrainingError, match="not a WordPiece"):
        read_tokenizer(tmp_path)
