"""Overlapping parts of a long text, against the tokenizers library's own."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from server.errors import TooManyInputs
from server.inference.tasks.windows import count_tokens, count_windows, require_few, windows


@given(st.integers(1, 90), st.integers(1, 20), st.data())
def test_parts_are_those_of_the_tokenizers_library(
    length: int, room: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, room - 1))
    words = [f"w{number}" for number in range(length)]
    library = Tokenizer(WordLevel({word: at for at, word in enumerate(words)}, "w0"))
    library.pre_tokenizer = Whitespace()
    library.enable_truncation(room, stride=overlap)
    first = library.encode(" ".join(words))
    expected = [(part.ids[0], part.ids[-1] + 1) for part in (first, *first.overflowing)]
    assert windows(length, room, overlap) == expected
    assert count_windows(length, room, overlap) == len(expected)


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_parts_cover_the_text_and_share_what_was_asked(
    length: int, room: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, room - 1))
    parts = windows(length, room, overlap)
    assert (parts[0][0], parts[-1][1]) == (0, length)
    assert all(0 < end - start <= room for start, end in parts)
    assert all(before[1] - after[0] == overlap for before, after in pairwise(parts))
    sizes = [end - start + 3 for start, end in parts]
    assert count_tokens(length, room, overlap, 3) == sum(sizes)


def test_a_request_of_too_many_parts_is_refused() -> None:
    parts = [count_windows(10, 4, 1), count_windows(3, 4, 1)]
    require_few(parts, 4)
    with pytest.raises(TooManyInputs, match="more than 3"):
        require_few(parts, 3)
