"""How pairs are read: in two segments, the longer text cut first, at the end that is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import EmptyText, TooLong
from server.inference.pipeline import Pipeline
from server.inference.runtime.packing import SentenceVector
from server.inference.tasks.pairs import (
    Cut,
    Direction,
    TextOrPair,
    keep,
    length_of,
    longest_first,
    read_pair,
)
from server.inference.tokenizer import tokenized

OUTPUT = SentenceVector("mean")


@pytest.mark.parametrize(
    "pair",
    [("It is late.", None), ("It is late.", "He went home."), ("a", "b " * 40)],
)
def test_a_text_or_pair_is_encoded_as_the_tokenizer_shows_it(
    cloze: Pipeline, pair: TextOrPair
) -> None:
    item, cut = read_pair(OUTPUT, Cut(), cloze.model, pair, "inputs[0]")
    encoding = item.encoding
    shown = tokenized(cloze.model.tokenizer.whole(*pair, special=True, param="inputs[0]"))
    assert encoding.ids.tolist() == list(shown.ids)
    assert encoding.type_ids.tolist() == list(shown.token_type_ids)
    assert not cut


@pytest.mark.parametrize("direction", ["left", "right"])
def test_both_texts_of_a_pair_are_cut_at_the_same_end(
    cloze: Pipeline, direction: Direction
) -> None:
    pair = ("first " + "a " * 300 + "last", "one " + "b " * 400 + "two")
    with pytest.raises(TooLong, match="pair"):
        read_pair(OUTPUT, Cut(), cloze.model, pair, "inputs[0]")
    item, cut = read_pair(OUTPUT, Cut(True, direction), cloze.model, pair, "inputs[0]")
    encoding = item.encoding
    assert cut
    assert len(encoding) == cloze.manifest.max_tokens
    tokenizer = cloze.model.tokenizer
    kept = {
        word for word in ("first", "last", "one", "two") if tokenizer.token_id(word) in encoding.ids
    }
    assert kept == ({"first", "one"} if direction == "right" else {"last", "two"})


@pytest.mark.parametrize("pair", [("", "a"), ("a", ""), (" ", None), ("a", "\x00")])
def test_nothing_cannot_be_read(cloze: Pipeline, pair: TextOrPair) -> None:
    with pytest.raises(EmptyText) as error:
        read_pair(OUTPUT, Cut(), cloze.model, pair, "inputs[3]")
    assert error.value.param == "inputs[3]"


def test_the_length_of_a_pair_is_that_of_both() -> None:
    assert (length_of(("abc", None)), length_of(("abc", "de"))) == (3, 5)


def test_nothing_is_kept_where_there_is_no_room() -> None:
    assert keep([5, 6, 7], 0, "right") == keep([5, 6, 7], 0, "left") == []


@given(st.integers(0, 400), st.integers(0, 400), st.integers(2, 300))
def test_tokens_are_dropped_from_the_longer_text_first(first: int, second: int, room: int) -> None:
    left, right = longest_first(first, second, room)
    assert left + right == min(first + second, room)
    assert 0 <= left <= first
    assert 0 <= right <= second
    # Plainly: drop from the longer one. Which of two equals gives its token up is not said.
    a, b = first, second
    while a + b > room:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    assert abs(left - a) <= 1
    assert {left, right} == {a, b} or left == a


@given(st.integers(1, 400), st.integers(1, 400), st.integers(2, 300))
def test_neither_text_of_a_truncated_pair_is_lost(first: int, second: int, room: int) -> None:
    assert min(longest_first(first, second, room)) >= 1
