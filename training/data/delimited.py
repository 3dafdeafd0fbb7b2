"""The text of a CSV or TSV file in, a record for each row out.

The header names the fields. Commas, semicolons (a spreadsheet's, where the comma is in numbers),
tabs or bars stand between them: whichever the header has most of, or as a first line `sep=;` says,
which Excel writes. All values are texts. Rows come one by one: a large file is not held twice.
"""

import csv
import re
import sys
from collections.abc import Iterator
from typing import Literal

from training.data.record import Record, names_of
from training.errors import TrainingError

_DELIMITERS = "\t,;|"  # of equals the first
_WORDS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_SAID = re.compile(r"sep=(?P<delimiter>[\t,;|])\s*[\r\n]", re.IGNORECASE)  # of Excel

Row = tuple[int, list[str]]  # the line on which it begins, its fields


class _Unclosed(Exception):
    """A row that begins on this line is no CSV."""

    def __init__(self, line: int, said: str) -> None:
        super().__init__()
        self.line, self.said = line, said


def delimited_records(text: str, name: str, *, header: bool = True) -> Iterator[Record]:
    """The rows of a text; without a `header` the fields are called 1, 2, 3 and so on.

    A column whose header is empty is called by its number, too.
    """
    said = _SAID.match(text)
    delimiter = said["delimiter"] if said else delimiter_of(text)
    rows = _rows(text, name, delimiter)
    if said:
        next(rows)
    names: list[str] = []
    for line, fields in rows:
        place = f"{name}, line {line}"
        if not names:
            names = _names(fields, place) if header else _numbers(len(fields))
            if header:
                continue
        yield Record(dict(zip(names, _fitting(fields, names, place, delimiter), strict=True)),
                     place, typed=False)  # fmt: skip


def _names(fields: list[str], place: str) -> list[str]:
    """What the columns are called."""
    names = [field.strip() or str(number) for number, field in enumerate(fields, start=1)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TrainingError(f"{place}: two columns are called {names_of([twice])}.")
    return names


def _fitting(fields: list[str], names: list[str], place: str, delimiter: str) -> list[str]:
    """As many fields as there are columns; of a row, empty ones may stand behind the last."""
    if not any(field.strip() for field in fields[len(names) :]):
        fields = fields[: len(names)]
    if len(fields) != len(names):
        what = _WORDS[delimiter]
        raise TrainingError(
            f"{place}: it has {_fields(len(fields))}, where {len(names)} are expected "
            f"({names_of(names)}); a text that has {what} in it must stand in double quotes."
        )
    return fields


def delimiter_of(text: str) -> str:
    r"""What stands between the fields of the first line; a comma where nothing does.

    >>> delimiter_of("id;text, in short;label\n1;a;b"), delimiter_of('"a;b;c;d",e')
    (';', ',')
    """
    first = next((line for line in _LINE.finditer(text) if line[0].strip("\r\n")), None)
    line = first[0] if first else ""
    outside = "".join(part for place, part in enumerate(line.split('"')) if place % 2 == 0)
    best = max(_DELIMITERS, key=outside.count)
    return best if best in outside else ","


def _rows(text: str, name: str, delimiter: str) -> Iterator[Row]:
    """The rows that are not blank. Tabs may part fields in which a quote means nothing."""
    if delimiter == "\t" and not _is_quoted(text):
        yield from _parsed(text, delimiter, csv.QUOTE_NONE)
        return
    try:
        yield from _parsed(text, delimiter, csv.QUOTE_MINIMAL)
    except _Unclosed as error:
        raise TrainingError(
            f"{name}, line {error.line}: a quote is opened here and not closed as CSV wants it "
            f"({error.said}); a quote within a quoted text is written twice."
        ) from None


def _is_quoted(text: str) -> bool:
    """Whether the quotes of a text with tabs hold fields together: all rows are then alike."""
    try:
        quoted = {len(fields) for _, fields in _parsed(text, "\t", csv.QUOTE_MINIMAL)}
    except _Unclosed:
        return False
    if len(quoted) == 1:
        return True
    return len({len(fields) for _, fields in _parsed(text, "\t", csv.QUOTE_NONE)}) > 1


def _parsed(text: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # by default a text of 131,072 characters is an error
    lines = (found[0] for found in _LINE.finditer(text))
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    begins = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield begins, fields
            begins = reader.line_num + 1
    except csv.Error as error:
        raise _Unclosed(begins, str(error)) from None


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"
