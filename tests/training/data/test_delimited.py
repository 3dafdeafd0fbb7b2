"""CSV and TSV as spreadsheets, pandas and data sets write them."""

from __future__ import annotations

import csv
import io
import tracemalloc
from typing import Any

import pytest

from training.data.delimited import delimited_records, delimiter_of
from training.errors import TrainingError

TEXTS = ["plain", 'she said "no", twice', "two\nlines", "a;b|c\td", " blanks ", "x" * 200_000]


def read(text: str, **more: Any) -> list[dict[str, str]]:
    return [dict(record.fields) for record in delimited_records(text, "x.csv", **more)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_the_csv_module_writes_is_read(delimiter: str, ending: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=ending)
    writer.writerow(["id", "text", "label"])
    writer.writerows([number, text, "ok"] for number, text in enumerate(TEXTS))
    found = read(file.getvalue())
    assert [row["text"] for row in found] == TEXTS
    assert [row["id"] for row in found] == [str(number) for number in range(len(TEXTS))]


def test_rows_are_named_by_the_line_they_begin_on() -> None:
    text = '"text",label\n"one\ntwo",a\n\nthree,b\n'
    places = [record.place for record in delimited_records(text, "x.csv")]
    assert places == ["x.csv, line 2", "x.csv, line 5"]


def test_quotes_mean_nothing_in_a_tsv_that_does_not_close_them() -> None:
    glue = (
        'index\tsentence\tlabel\n0\t"Bitter, he said\t1\n1\ta 5" pipe\t0\n2\t"quoted" or not\t0\n'
    )
    assert [row["sentence"] for row in read(glue)] == [
        '"Bitter, he said',
        'a 5" pipe',
        '"quoted" or not',
    ]


def test_ends_of_lines_of_old_macs_are_read() -> None:
    assert read("text,label\ra,1\rb,2\r") == [
        {"text": "a", "label": "1"},
        {"text": "b", "label": "2"},
    ]


def test_columns_without_a_header_are_numbered() -> None:
    assert read("good,1\nbad,0\n", header=False)[1] == {"1": "bad", "2": "0"}


def test_delimiter_is_what_the_header_has_most_of() -> None:
    assert delimiter_of("\n\ntext\tlabel, if any\n") == "\t"
    assert delimiter_of("only") == ","


@pytest.mark.parametrize("delimiter", [";", "\t", ",", "|"])
def test_excel_says_what_stands_between_fields(delimiter: str) -> None:
    text = delimiter.join(("text,of;it", "label")) + "\r\n" + delimiter.join(('"a,b;c"', "x"))
    said = f"sep={delimiter}\r\n" + text.replace("text,of;it", '"text,of;it"')
    assert read(said) == [{"text,of;it": "a,b;c", "label": "x"}]
    (record,) = delimited_records(said, "x.csv")
    assert record.place == "x.csv, line 3"


def test_columns_without_a_name_are_numbered_and_in_nobodys_way() -> None:
    """A data frame's index, and the empty columns of a spreadsheet."""
    assert read(",text,label,,\n0,a,x,,\n") == [
        {"1": "0", "text": "a", "label": "x", "4": "", "5": ""}
    ]


def test_empty_fields_behind_the_last_column_are_passed_over() -> None:
    assert read("text;label\na;x;;\nb;y\n") == [
        {"text": "a", "label": "x"},
        {"text": "b", "label": "y"},
    ]


def test_a_long_file_is_not_held_as_rows() -> None:
    rows = delimited_records("text,label\n" + "word,x\n" * 200_000, "x.csv")
    tracemalloc.start()
    count = sum(1 for _ in rows)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_000
    assert most < 200_000  # bytes: one for each row, and all of them are 1.4 million


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n\n\nx,1\n\n\n"secret,2\ny,3\n', "line 7: a quote is opened here and not closed"),
        ("a;b\nx;1;;secret\n", r"line 2: it has 4 fields, where 2 are expected \(a, b\); a"),
        (
            "a,b\nx,1\nsecret, text,2\n",
            r"line 3: it has 3 fields, where 2 are expected \(a, b\); a",
        ),
        ("a;b\nsecret\n", "line 2: it has 1 field, where 2 are expected"),
        ('a,b\nx,1\n"secret,2\ny,3\n', "line 3: a quote is opened here and not closed"),
        ('a,b\n"se"cret,2\n', "line 2: a quote is opened here and not closed as CSV wants it"),
        ("a,b,a\n1,2,3\n", "line 1: two columns are called a"),
    ],
)
def test_bad_rows_are_named_and_not_shown(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=rf"^x\.csv, {message}") as caught:
        read(text)
    assert "secret" not in str(caught.value)
