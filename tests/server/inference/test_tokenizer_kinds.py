"""Tokenizers other than BERT's in the server: pieces, places and spelling, against transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer

from export.read.tokenizer import read_tokenizer
from models.manifest import TOKENIZER_FILE
from server.errors import TooLong
from server.inference.tokenizer import LONGEST_STRETCH, STRETCH, Tokenizer, tokenized
from tests.odd_texts import ODD_TEXTS
from tests.small_tokenizers import (
    save_camembert,
    save_modern_bert,
    save_mpnet,
    save_multilingual,
    save_roberta,
    save_xlm_roberta,
)

MAX_TOKENS = 512
SECOND = "and a second one"


@dataclass(frozen=True)
class Kind:
    """One tokenizer as the server reads it, as the library does and as transformers does."""

    ours: Tokenizer
    rust: RustTokenizer
    theirs: Any


def save_table_alone(folder: Path) -> Path:
    return save_multilingual(folder, "table", "joined")


SAVES: dict[str, Callable[[Path], Path]] = {
    "xlm-roberta": save_xlm_roberta,
    "camembert": save_camembert,
    "roberta": save_roberta,
    "mpnet": lambda folder: save_mpnet(folder, clean_up_tokenization_spaces=True),
    "modernbert": save_modern_bert,
    "bert": save_table_alone,
}


@pytest.fixture(scope="module", params=SAVES)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """Each kind in turn."""
    family: str = request.param
    return read_kind(tmp_path_factory.mktemp(family), family)


@pytest.fixture(scope="module")
def unigram(tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """XLM-R's, whose words are found one by one."""
    return read_kind(tmp_path_factory.mktemp("unigram"), "xlm-roberta")


def read_kind(folder: Path, family: str) -> Kind:
    SAVES[family](folder)
    (folder / "config.json").write_text(json.dumps({"model_type": family}))
    found = read_tokenizer(folder, rows=10_000, needs_mask=True)
    own = folder / "own"
    own.mkdir()
    (own / TOKENIZER_FILE).write_text(found.json, encoding="utf-8")
    return Kind(
        Tokenizer(own / TOKENIZER_FILE, found.spec),
        RustTokenizer.from_str(found.json),
        transformers.AutoTokenizer.from_pretrained(folder),
    )


def texts(kind: Kind) -> Iterator[tuple[str, list[int]]]:
    """Odd texts of which something is left, with their ids."""
    for text in ODD_TEXTS:
        if ids := kind.theirs(text, add_special_tokens=False)["input_ids"]:
            yield text, ids


def pieces(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.pieces(text, MAX_TOKENS, truncate=False, param="inputs[0]").ids


def test_pieces_are_those_of_transformers(kind: Kind) -> None:
    for text, ids in texts(kind):
        assert pieces(kind.ours, text) == pieces(kind.ours, text) == ids, text


def test_texts_and_pairs_are_framed_as_transformers_frames_them(kind: Kind) -> None:
    second = pieces(kind.ours, SECOND)
    for text, ids in texts(kind):
        single = kind.ours.assemble(ids)
        assert single.ids.tolist() == kind.theirs(text)["input_ids"]
        pair, expected = kind.ours.assemble(ids, second), kind.theirs(text, SECOND)
        assert pair.ids.tolist() == expected["input_ids"]
        assert len(pair.ids) == len(ids) + len(second) + kind.ours.spec.pair_specials
        segments = expected.get("token_type_ids", [0] * len(pair.ids))
        assert pair.type_ids.tolist() == segments


def test_pieces_know_their_places(kind: Kind) -> None:
    for text, ids in texts(kind):
        located = kind.ours.located(text, MAX_TOKENS, truncate=False, param="inputs[0]")
        expected = kind.theirs(text, add_special_tokens=False, return_offsets_mapping=True)
        assert located.ids == ids
        assert located.spans == expected["offset_mapping"], text


def test_a_pair_is_shown_as_transformers_reads_it(kind: Kind) -> None:
    for text, _ in texts(kind):
        shown = tokenized(kind.ours.whole(text, SECOND, special=True, param="p"))
        expected = kind.theirs(
            text, SECOND, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        assert list(shown.ids) == expected["input_ids"]
        assert list(shown.tokens) == expected.tokens()
        assert list(shown.special) == list(map(bool, expected["special_tokens_mask"]))
        spans = zip(shown.special, expected["offset_mapping"], strict=True)
        assert list(shown.offsets) == [None if special else span for special, span in spans]
        assert list(shown.texts) == [of or 0 for of in expected.sequence_ids()]


@pytest.mark.parametrize("skip", [True, False])
def test_ids_are_spelled_as_transformers_spells_them(kind: Kind, *, skip: bool) -> None:
    rng = np.random.default_rng(3)
    lists = [ids for _, ids in texts(kind)]
    lists += [rng.integers(0, kind.ours.vocab_size, size).tolist() for size in [0, 1, 2, 9] * 50]
    for ids in lists:
        expected = kind.theirs.decode(ids, skip_special_tokens=skip)
        assert kind.ours.decode(ids, skip_special=skip) == expected
        assert len(expected.encode()) <= kind.ours.spelled_bytes(ids)


@pytest.mark.parametrize("skip", [True, False])
def test_candidates_are_spelled_in_their_text(kind: Kind, *, skip: bool) -> None:
    sep = kind.ours.special.sep
    ids = [kind.ours.special.cls, *pieces(kind.ours, "It's the café , isn't it ?"), sep]
    candidates = [(9,), (20, 21), (sep,), (kind.ours.special.mask or 0,), (40,)]
    for gap in (1, 3, len(ids) - 2):
        found = kind.ours.decode_each(ids[:gap], candidates, ids[gap + 1 :], skip_special=skip)
        assert found == [
            kind.theirs.decode([*ids[:gap], *own, *ids[gap + 1 :]], skip_special_tokens=skip)
            for own in candidates
        ]


def test_a_token_by_itself_is_shown_as_it_stands_in_the_vocabulary(kind: Kind) -> None:
    for token_id in range(kind.ours.vocab_size):
        assert kind.ours.token(token_id) == kind.theirs.convert_ids_to_tokens(token_id)
        assert kind.ours.decode([token_id]) == kind.theirs.decode([token_id])


def long_text(words: list[str], blank: str = " ") -> str:
    return blank.join(words * (3 * STRETCH // len("".join(words))))


@pytest.mark.parametrize("blank", [" ", "  ", " \n ", "\u3000 "])
def test_a_long_text_has_the_same_pieces_in_stretches(kind: Kind, blank: str) -> None:
    words = [text for text in ODD_TEXTS if text.strip() and len(text) < 60]
    text = long_text(words, blank)
    counted: list[int] = []
    located = kind.ours.located(text, None, truncate=False, param="p", so_far=counted.append)
    expected = kind.rust.encode(text, add_special_tokens=False)
    assert located.ids == expected.ids
    assert located.spans == expected.offsets
    assert located.words == [-1 if word is None else word for word in expected.word_ids]
    assert counted


def test_a_text_without_a_blank_is_not_read_beyond_a_stretch(kind: Kind) -> None:
    for letter in ("\u4e00", "q", "\u0e01"):
        with pytest.raises(TooLong, match="without a blank"):
            kind.ours.located(letter * (LONGEST_STRETCH * 2), None, truncate=False, param="p")


@pytest.mark.parametrize("cut", ["left", "right"])
def test_a_text_far_too_long_is_cut_at_the_end_that_is_asked_for(kind: Kind, cut: str) -> None:
    text = "first " + "word " * 8 * MAX_TOKENS + "last"
    found = kind.ours.pieces(text, 16, truncate=True, param="p", cut=cut)
    assert found.cut
    whole = kind.rust.encode(text, add_special_tokens=False).ids
    kept = found.ids[-40:] if cut == "left" else found.ids[:40]
    assert kept == (whole[-40:] if cut == "left" else whole[:40])
    with pytest.raises(TooLong):
        kind.ours.pieces(text, 16, truncate=False, param="p", cut=cut)


# Whatever could reach across a blank: marks, joiners, letters that join the next (Unicode's
# Prepend), other spaces, and tokens that take blanks.
REACHING = [
    *"aB.'\u0301\u0308\u200d\ufe0f\u00a0\u3000\r\n\t\u0600\u06dd\u0d4e\u0e33\uff9e\u1100\u11a8"
]
REACHING += [
    "\U0001f3fd",
    "\U0001f1eb",
    "\U000110bd",
    "\ufb01",
    "\u2581",
    "\u0120",
    "\x00",
    "\u0085",
]
REACHING += [" ", "  ", "<mask>", "<s>", "<MASK>", "unhappily", "the", "x" * 40, "\u6771"]


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(REACHING), max_size=12).map("".join) | st.text(max_size=30))
def test_words_of_sentencepiece_found_one_by_one_are_those_of_the_library(
    unigram: Kind, text: str
) -> None:
    expected = unigram.rust.encode(text, add_special_tokens=False).ids
    if expected:
        assert pieces(unigram.ours, text) == pieces(unigram.ours, text) == expected


def test_words_of_sentencepiece_are_kept(unigram: Kind) -> None:
    """Else the comparison above would compare the library with itself."""
    assert unigram.ours._splits_at_spaces
    assert unigram.ours._word_alone("caf\u00e9") is not None
    assert unigram.ours._word_alone("\u0301a") is None
