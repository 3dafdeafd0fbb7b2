"""Word pieces, special tokens and decoding, against the Rust tokenizer's own."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.normalizers import NFC, BertNormalizer, Lowercase, Sequence
from tokenizers.normalizers import Strip as StripSpace

from server.errors import EmptyText, InvalidText, TooLong, WrongType
from server.inference.tokenizer import (
    CHARACTERS_PER_TOKEN,
    LONGEST_STRETCH,
    STRETCH,
    Tokenizer,
    require_known,
    squeezed,
    tokenized,
)
from tests.server.inference.samples import TEXTS

MAX_TOKENS = 512
CHARACTERS = MAX_TOKENS * CHARACTERS_PER_TOKEN
FAST_S = 0.05  # of a refusal that must not wait for the text to be tokenised
SECONDS_OF_TOKENISING = 2_000_000  # characters: the largest body; about 2 s if it were tokenised
SEAM = len("[MASK]") - 1  # characters before the cut that are looked at again
SQUEEZED_S = 0.25  # while the event loop stands still: a few ms, or 40 for the worst texts


@pytest.fixture(scope="module")
def rust(default_model: Path) -> RustTokenizer:
    """The tokenizer as the library itself reads the file."""
    rust = RustTokenizer.from_file(str(default_model / "tokenizer.json"))
    rust.no_truncation()
    rust.no_padding()
    return rust


def pieces(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.pieces(text, MAX_TOKENS, truncate=False, param="inputs[0]").ids


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_tokens_of_the_library(
    tokenizer: Tokenizer, rust: RustTokenizer, text: str
) -> None:
    assert pieces(tokenizer, text) == rust.encode(text, add_special_tokens=False).ids


# Whatever could reach across a space: marks that join their neighbour, other spaces, [MASK].
REACHING = [*"aB.' \t\n\r\u0301\u0308\u200d\u00a0\u2009\u3000\x00\ufb01\u0130\u03a3\u6771\u1100"]
REACHING += ["  ", "[MASK]", "[mask]", "[ MASK ]", "##s", "unhappily", "x" * 40]


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(REACHING), max_size=12).map("".join) | st.text(max_size=30))
def test_words_found_one_by_one_are_the_tokens_of_the_library(
    tokenizer: Tokenizer, rust: RustTokenizer, text: str
) -> None:
    expected = rust.encode(text, add_special_tokens=False).ids
    if expected:
        assert pieces(tokenizer, text) == pieces(tokenizer, text) == expected


# Everything that Unicode or Python may call white space, and controls that are none for BERT.
SPACES = [chr(code) for code in range(0x110000) if chr(code).isspace()]
CONTROLS = [*"\x00\x07\x08\x1b\x7f\x85\u200b\u200c\u200d\u2060\ufeff\ufffd\u00ad"]
SPACED = [*SPACES, *CONTROLS, "a", "B.", "\u0301", "\u6771", "[MASK]", "##s", "'"]


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(SPACED), max_size=14).map("".join))
def test_squeezing_white_space_changes_no_token(
    tokenizer: Tokenizer, rust: RustTokenizer, text: str
) -> None:
    short = squeezed(text)
    assert len(short) <= len(text)
    assert squeezed(short) == short
    expected = rust.encode(text, add_special_tokens=False).ids
    assert rust.encode(short, add_special_tokens=False).ids == expected
    if expected:
        assert pieces(tokenizer, short) == pieces(tokenizer, text) == expected


@pytest.mark.parametrize("space", SPACES)
def test_a_run_of_what_bert_takes_for_blanks_is_squeezed_into_one(
    rust: RustTokenizer, space: str
) -> None:
    """Another character that Python calls white space is a control for BERT, which removes it."""
    blank = rust.normalizer.normalize_str(space) == " "
    assert squeezed(f"a{space * 3}b") == ("a b" if blank else f"a{space * 3}b")
    assert blank or rust.normalizer.normalize_str(space) == ""


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "a ",
        "a\n",
        "\n\t",
        "a" + " " * 7,
        "a" + " " * 4095,
        "\u6771\u3000",
        "a" * 999_999 + " " * 999_999,
    ],
    ids=lambda text: repr(text[:2]) + str(len(text)),
)
def test_squeezing_takes_a_few_milliseconds_whatever_is_sent(text: str) -> None:
    long = text * (SECONDS_OF_TOKENISING // len(text))
    begun = time.perf_counter()
    assert "  " not in squeezed(long)
    assert time.perf_counter() - begun < SQUEEZED_S


@pytest.mark.parametrize("cut", ["left", "right"])
def test_only_a_text_beyond_the_limit_is_squeezed_and_then_read_as_it_was(
    tokenizer: Tokenizer, cut: str
) -> None:
    text = "one" + " \n" * CHARACTERS + "two"
    result = tokenizer.pieces(text, MAX_TOKENS, truncate=False, param="p", cut=cut)
    assert (result.ids, result.cut, result.rest) == (list(tokenizer.word("one two")), False, "")
    located = tokenizer.located(text, MAX_TOKENS, truncate=False, param="p")
    assert located.ids == result.ids
    assert [text[slice(*span)] for span in located.spans] == ["one", "two"]  # as it was sent


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("accents", [True, False])
def test_words_are_found_one_by_one_whatever_berts_normalizer_does(
    default_model: Path, tmp_path: Path, *, lowercase: bool, accents: bool
) -> None:
    rust = RustTokenizer.from_file(str(default_model / "tokenizer.json"))
    rust.normalizer = BertNormalizer(lowercase=lowercase, strip_accents=accents)
    rust.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    for text in (*TEXTS, " ".join(TEXTS)):
        assert pieces(tokenizer, text) == rust.encode(text, add_special_tokens=False).ids


def test_an_added_token_with_a_space_inside_is_found(default_model: Path, tmp_path: Path) -> None:
    rust = RustTokenizer.from_file(str(default_model / "tokenizer.json"))
    rust.add_tokens([AddedToken("new york", normalized=False)])
    rust.save(str(tmp_path / "tokenizer.json"))
    added = rust.token_to_id("new york")
    assert added in pieces(Tokenizer(tmp_path / "tokenizer.json"), "it is new york here")


def test_other_normalizers_see_the_whole_text(default_model: Path, tmp_path: Path) -> None:
    rust = RustTokenizer.from_file(str(default_model / "tokenizer.json"))
    rust.normalizer = Sequence([NFC(), StripSpace(), Lowercase()])
    rust.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    for text in TEXTS:
        assert pieces(tokenizer, text) == rust.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_know_where_they_stand_and_to_which_word_they_belong(
    tokenizer: Tokenizer, rust: RustTokenizer, text: str
) -> None:
    located = tokenizer.located(text, MAX_TOKENS, truncate=False, param="inputs[0]")
    expected = rust.encode(text, add_special_tokens=False)
    assert located.ids == expected.ids
    assert located.spans == expected.offsets
    assert located.words == expected.word_ids
    assert not located.cut
    assert tokenizer.join(expected.tokens) == rust.decoder.decode(expected.tokens)


def test_a_text_of_any_length_is_located_unless_a_limit_is_given(tokenizer: Tokenizer) -> None:
    text = "word " * CHARACTERS
    with pytest.raises(TooLong):
        tokenizer.located(text, MAX_TOKENS, truncate=False, param="inputs[0]")
    cut = tokenizer.located(text, MAX_TOKENS, truncate=True, param="inputs[0]")
    assert (cut.cut, cut.spans[-1][1] <= CHARACTERS) == (True, True)
    whole = tokenizer.located(text, None, truncate=False, param="inputs[0]")
    assert (whole.cut, len(whole.ids)) == (False, CHARACTERS)


@pytest.mark.parametrize("blank", [" ", "\n", "\u3000", " \t "])
def test_a_text_read_in_stretches_has_the_same_pieces_as_in_one_go(
    tokenizer: Tokenizer, rust: RustTokenizer, blank: str
) -> None:
    words = [*TEXTS, "\u6771\u4eac", "e\u0301\u0327t\u00e9", "[MASK]", "x" * 120, "\x01", "can't"]
    text = blank.join(words * (3 * STRETCH // len("".join(words))))
    expected = rust.encode(text, add_special_tokens=False)
    counted: list[int] = []
    located = tokenizer.located(text, None, truncate=False, param="p", so_far=counted.append)
    assert len(counted) >= 2
    assert counted == sorted({*counted, 0})[1:]
    assert counted[-1] < len(expected.ids)
    assert located.ids == expected.ids
    assert located.spans == expected.offsets
    assert located.words == expected.word_ids


def test_a_long_text_is_read_no_further_than_is_wanted(tokenizer: Tokenizer) -> None:
    counted: list[int] = []

    def enough(count: int) -> None:
        counted.append(count)
        if count > STRETCH:
            raise StopIteration

    text = "of all. " * STRETCH
    with pytest.raises(StopIteration):
        tokenizer.located(text, None, truncate=False, param="p", so_far=enough)
    assert len(counted) < 4


@pytest.mark.parametrize("letter", ["?", "q", "\u4e00", "\x01", "\u00e9"])
def test_a_text_without_a_blank_is_not_read_beyond_a_stretch(
    tokenizer: Tokenizer, letter: str
) -> None:
    for before in ("", "of " * STRETCH):
        text, begun = before + letter * 1_900_000, time.perf_counter()
        with pytest.raises(TooLong, match="without a blank"):
            tokenizer.located(text, None, truncate=False, param="p")
        assert time.perf_counter() - begun < 1
    alone = letter * (LONGEST_STRETCH - 1)
    if letter != "\x01":
        assert tokenizer.located(alone, None, truncate=False, param="p").ids


@pytest.mark.parametrize("text", ["", " \t\n"])
def test_nothing_cannot_be_located(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(EmptyText):
        tokenizer.located(text, None, truncate=False, param="inputs[0]")
    with pytest.raises(InvalidText):
        tokenizer.located("a\ud800", None, truncate=False, param="inputs[0]")


@pytest.mark.parametrize("text", TEXTS)
def test_a_single_text_is_assembled_as_the_post_processor_does(
    tokenizer: Tokenizer, rust: RustTokenizer, text: str
) -> None:
    expected = rust.encode(text)
    encoding = tokenizer.assemble(pieces(tokenizer, text))
    assert encoding.ids.tolist() == expected.ids
    assert encoding.type_ids.tolist() == expected.type_ids
    assert encoding.ids.dtype == encoding.type_ids.dtype == np.int64


@pytest.mark.parametrize("text", TEXTS)
def test_a_pair_is_assembled_as_the_post_processor_does(
    tokenizer: Tokenizer, rust: RustTokenizer, text: str
) -> None:
    other = "It was [MASK] there, too."
    for first, second in ((text, other), (other, text)):
        expected = rust.encode(first, second)
        encoding = tokenizer.assemble(pieces(tokenizer, first), pieces(tokenizer, second))
        assert encoding.ids.tolist() == expected.ids
        assert encoding.type_ids.tolist() == expected.type_ids


@pytest.mark.parametrize("skip_special", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_decoded_as_the_library_does(
    tokenizer: Tokenizer, rust: RustTokenizer, text: str, skip_special: bool
) -> None:
    ids = rust.encode(text, "and a [MASK].").ids
    expected = rust.decode(ids, skip_special_tokens=skip_special)
    assert tokenizer.decode(ids, skip_special=skip_special) == expected


@pytest.mark.parametrize("skip_special", [True, False])
def test_random_ids_are_decoded_as_the_library_does(
    default_model: Path, rust: RustTokenizer, skip_special: bool
) -> None:
    tokenizer = Tokenizer(default_model / "tokenizer.json")  # without cached pieces
    rng = np.random.default_rng(0)
    marks = [
        tokenizer.token_id(mark) or 0 for mark in (".", ",", "'", "!", "?", "do", "not", "##s", "s")
    ]
    for _ in range(3000):
        ids = rng.integers(0, tokenizer.vocab_size, rng.integers(0, 12)).tolist()
        ids += rng.choice(marks, rng.integers(0, 4)).tolist()
        rng.shuffle(ids)
        expected = rust.decode(ids, skip_special_tokens=skip_special)
        assert tokenizer.decode(ids, skip_special=skip_special) == expected


def test_every_token_by_itself_is_decoded_as_the_library_does(
    tokenizer: Tokenizer, rust: RustTokenizer
) -> None:
    for token_id in range(tokenizer.vocab_size):
        assert tokenizer.token(token_id) == rust.decode([token_id], skip_special_tokens=False)


def test_ids_beyond_the_vocabulary_decode_to_nothing(
    tokenizer: Tokenizer, rust: RustTokenizer
) -> None:
    ids = [2003, 10**6, 2003]
    assert tokenizer.decode(ids, skip_special=True) == rust.decode(ids) == "is is"
    assert tokenizer.token(10**6) == ""


@pytest.mark.parametrize("text", ["\ud800", "fine \udfff end", "\ud83d alone", "[MASK] \udc00"])
def test_a_lone_surrogate_is_invalid_text(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(InvalidText) as error:
        tokenizer.pieces(text, MAX_TOKENS, truncate=False, param="inputs[3]")
    assert error.value.param == "inputs[3]"
    for first, second in ((text, None), ("a", text)):
        with pytest.raises(InvalidText):
            tokenizer.whole(first, second, special=True, param="inputs[0]")


@pytest.mark.parametrize("text", ["", " ", " \t\r\n ", "\x00", "\x00\x01\x02", "\u200b", "\u00a0"])
def test_a_text_of_nothing_is_empty(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(EmptyText) as error:
        tokenizer.pieces(text, MAX_TOKENS, truncate=True, param="inputs[3]")
    assert error.value.param == "inputs[3]"


def test_nul_and_control_characters_are_stripped(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "pa\x00ris\x07 is") == pieces(tokenizer, "paris is")


@pytest.mark.parametrize("letter", ["a", "\u6771", "\x00"])
def test_a_text_far_too_long_is_refused_without_being_tokenised(
    tokenizer: Tokenizer, letter: str
) -> None:
    text = letter * SECONDS_OF_TOKENISING
    begun = time.perf_counter()
    with pytest.raises(TooLong) as error:
        tokenizer.pieces(text, MAX_TOKENS, truncate=False, param="inputs[0]")
    limit_s = FAST_S if text.isascii() else 10 * FAST_S  # checked for lone surrogates first
    assert time.perf_counter() - begun < limit_s
    assert letter * 20 not in error.value.message


@pytest.mark.parametrize("cut", ["left", "right"])
def test_truncation_cuts_a_text_far_too_long_before_tokenising(
    tokenizer: Tokenizer, cut: str
) -> None:
    text = "a " * (SECONDS_OF_TOKENISING // 2)
    begun = time.perf_counter()
    result = tokenizer.pieces(text, MAX_TOKENS, truncate=True, param="inputs[0]", cut=cut)
    assert time.perf_counter() - begun < 0.25
    assert result.cut
    assert len(result.ids) == CHARACTERS // 2
    assert len(result.rest) == len(text) - CHARACTERS + SEAM


def test_the_right_end_is_cut_unless_left_is_asked_for(tokenizer: Tokenizer) -> None:
    text = "first " + "word " * CHARACTERS + "last"
    right = tokenizer.pieces(text, MAX_TOKENS, truncate=True, param="p")
    left = tokenizer.pieces(text, MAX_TOKENS, truncate=True, param="p", cut="left")
    assert right.ids[0] == tokenizer.token_id("first")
    assert tokenizer.token_id("last") not in right.ids
    assert left.ids[-1] == tokenizer.token_id("last")
    assert tokenizer.token_id("first") not in left.ids
    assert right.rest == text[CHARACTERS - SEAM :]
    assert left.rest == text[: SEAM - CHARACTERS]


@pytest.mark.parametrize("cut", ["left", "right"])
def test_a_text_of_just_the_limit_is_not_cut(tokenizer: Tokenizer, cut: str) -> None:
    text = ("word " * CHARACTERS)[:CHARACTERS]
    for truncate in (True, False):
        result = tokenizer.pieces(text, MAX_TOKENS, truncate=truncate, param="p", cut=cut)
        assert (result.cut, result.rest) == (False, "")
    with pytest.raises(TooLong):
        tokenizer.pieces(text + "s", MAX_TOKENS, truncate=False, param="p")


def test_ids_are_taken_with_and_without_special_tokens_around_them(tokenizer: Tokenizer) -> None:
    cls, sep = tokenizer.special.cls, tokenizer.special.sep
    for ids in ([7592, 2088], [cls, 7592, 2088, sep], [cls, 7592, 2088], [7592, 2088, sep]):
        assert tokenizer.given(ids, "inputs[0]").ids == [7592, 2088]
    assert tokenizer.given([cls, 7592, sep, 2088, sep], "p").ids == [7592, sep, 2088]


def test_ids_of_nothing_are_empty(tokenizer: Tokenizer) -> None:
    cls, sep = tokenizer.special.cls, tokenizer.special.sep
    for ids in ([], [cls], [sep], [cls, sep]):
        with pytest.raises(EmptyText) as error:
            tokenizer.given(ids, "inputs[2]")
        assert error.value.param == "inputs[2]"


@pytest.mark.parametrize("ids", [[-1], [30522], [5, 10**12], [5, -(10**30)]])
def test_ids_outside_the_vocabulary_are_refused(tokenizer: Tokenizer, ids: list[int]) -> None:
    with pytest.raises(WrongType, match="from 0 to 30521"):
        require_known(ids, tokenizer.vocab_size, "inputs[0]")
    require_known([0, 30521], tokenizer.vocab_size, "inputs[0]")


def test_a_pair_is_shown_with_all_that_bert_adds_up(
    tokenizer: Tokenizer, rust: RustTokenizer
) -> None:
    first, second = "Na\u00efve caf\u00e9s", "were open"
    expected = rust.encode(first, second)
    shown = tokenized(tokenizer.whole(first, second, special=True, param="inputs[0]"))
    assert list(shown.ids) == expected.ids
    assert list(shown.tokens) == expected.tokens
    assert list(shown.token_type_ids) == expected.type_ids
    assert shown.positions == tuple(range(len(expected.ids)))
    assert list(shown.special) == [bool(flag) for flag in expected.special_tokens_mask]
    for token, span, type_id in zip(shown.tokens, shown.offsets, shown.token_type_ids, strict=True):
        if span is None:
            assert token in {"[CLS]", "[SEP]"}
        else:
            found = (first, second)[type_id][slice(*span)].lower()
            assert found.replace("\u00ef", "i").replace("\u00e9", "e") == token.replace("##", "")


def test_special_tokens_are_left_out_on_request(tokenizer: Tokenizer) -> None:
    shown = tokenized(tokenizer.whole("hello world", None, special=False, param="p"))
    assert shown.tokens == ("hello", "world")
    assert shown.special == (False, False)
    assert shown.offsets == ((0, 5), (6, 11))


def test_a_word_is_spelled_in_pieces(tokenizer: Tokenizer) -> None:
    spelled = [tokenizer.token(piece) for piece in tokenizer.word("Transformers'")]
    assert spelled == ["transformers", "'"]
    assert len(tokenizer.word("antidisestablishmentarianism")) > 1
    assert tokenizer.word(" ") == ()


def test_a_vocabulary_without_a_special_token_is_refused(
    default_model: Path, tmp_path: Path
) -> None:
    text = (default_model / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(text.replace("[SEP]", "[SAP]"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected \[SEP\]"):
        Tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("skip_special", [False, True])
@pytest.mark.parametrize("gap", [0, 1, 5])
def test_decode_each_is_decode_of_each(
    tokenizer: Tokenizer, rust: RustTokenizer, gap: int, *, skip_special: bool
) -> None:
    ids = rust.encode("Don't stop: it is the capital, unhappily.").ids
    before, after = ids[:gap], ids[gap + 1 :]
    candidates = [(3007,), (4895, 3270), (2015,), (102,), (1012,)]
    assert tokenizer.decode_each(before, candidates, after, skip_special=skip_special) == [
        rust.decode([*before, *candidate, *after], skip_special_tokens=skip_special)
        for candidate in candidates
    ]
