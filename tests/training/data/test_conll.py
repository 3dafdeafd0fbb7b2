"""CoNLL's columns, in the variants that data sets have."""

from __future__ import annotations

import pytest

from training.data.conll import conll_records
from training.errors import TrainingError

CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
# # B-NP O
"""
GERMEVAL = (
    "#\thttp://example.org [2009-10-17]\n1\tBad\tB-LOC\tO\n2\tHomburg\tI-LOC\tO\n\n"
    "# another\n1\t'\tO\tO\n"
)


def read(text: str, **given: str) -> list[tuple[list[str], list[str]]]:
    found = conll_records(text, "x.conll", given)
    return [(record.fields["tokens"], record.fields["labels"]) for record in found]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_word_comes_first_and_tag_last(ending: str) -> None:
    assert read(CONLL_2003.replace("\n", ending)) == [
        (["EU", "rejects"], ["B-ORG", "O"]),
        (["Peter", "#"], ["B-PER", "O"]),
    ]


def test_columns_may_be_named_by_number() -> None:
    assert read(CONLL_2003, labels="2")[0][1] == ["NNP", "VBZ"]
    assert read(CONLL_2003, tokens="3", labels="4")[0][0] == ["B-NP", "B-VP"]


def test_number_of_a_word_is_not_the_word_and_comments_are_none() -> None:
    assert read(GERMEVAL) == [(["Bad", "Homburg"], ["O", "O"]), (["'"], ["O"])]
    assert read(GERMEVAL, labels="3")[0][1] == ["B-LOC", "I-LOC"]


def test_words_may_hold_blanks_where_tabs_part_columns_and_other_blanks_of_unicode() -> None:
    assert read("New York\tB-LOC\nis\tO\n") == [(["New York", "is"], ["B-LOC", "O"])]
    assert read("10\u00a0000 O\na\u2028b O\n") == [(["10\u00a0000", "a\u2028b"], ["O", "O"])]


def test_sentences_are_named_by_their_first_line() -> None:
    places = [record.place for record in conll_records(CONLL_2003 + "\n\nX NN O O", "x.conll")]
    assert places == ["x.conll, line 3", "x.conll, line 6", "x.conll, line 10"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EU B-ORG\nsecret\n", "line 2: it has 1 column, where 2 are expected as on the first"),
        ("EU B-ORG\nsecret NN O\n", "line 2: it has 3 columns, where 2 are expected as on"),
        ("EU\tB-ORG\n\tO\n", "line 2: it has an empty column, where 2 are expected"),
        ("secret\n", "line 1: it has 1 column; CoNLL's lines have 2 to 4"),
        ("secret a b c d\n", "line 1: it has 5 columns; CoNLL's lines have 2 to 4"),
    ],
)
def test_bad_lines_are_named_and_not_shown(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=rf"^x\.conll, {message}") as caught:
        read(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("given", ["0", "5", "ner"])
def test_column_that_there_is_not_is_refused(given: str) -> None:
    with pytest.raises(TrainingError, match=r"--columns counts the 4 columns of x\.conll from 1"):
        read(CONLL_2003, labels=given)
