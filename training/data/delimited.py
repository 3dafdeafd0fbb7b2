"""The text of a CSV or TSV file in, a record for each row out.

The header names the fields. Commas, semicolons (a spreadsheet's, where the comma is in numbers),
tabs or bars stand between them: whichever the header has most of. All values are texts.
"""

import csv
import io
import sys
from collections.abc import Iterator
from typing import Literal

from training.data.record import Record, names_of
from training.errors import TrainingError

_DELIMITERS = "\t,;|"  # of equals the first
_WORDS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}

Row = tuple[int, list[str]]  # the line on which it begins, its fields


def delimited_records(text: str, name: str, *, header: bool = True) -> Iterator[Record]:
    """The rows of a text; without a `header` the fields are called 1, 2, 3 and so on."""
    delimiter = delimiter_of(text)
    rows = _rows(text, name, delimiter)
    if not rows:
        return
    first = rows[0][1]
    names = [field.strip() for field in first] if header else _numbers(len(first))
    if header and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TrainingError(f"{name}, line {rows[0][0]}: two columns are called {twice or '(no)'}.")
    for line, fields in rows[1:] if header else rows:
        place = f"{name}, line {line}"
        if len(fields) != len(names):
            what = _WORDS[delimiter]
            raise TrainingError(
                f"{place}: it has {_fields(len(fields))}, where {len(names)} are expected "
                f"({names_of(names)}); a text that has {what} in it must stand in double quotes."
            )
        yield Record(dict(zip(names, fields, strict=True)), place, typed=False)


def delimiter_of(text: str) -> str:
    r"""What stands between the fields of the first line; a comma where nothing does.

    >>> delimiter_of("id;text, in short;label\n1;a;b"), delimiter_of('"a;b;c;d",e')
    (';', ',')
    """
    line = text.lstrip("\r\n").partition("\n")[0]
    outside = "".join(part for place, part in enumerate(line.split('"')) if place % 2 == 0)
    best = max(_DELIMITERS, key=outside.count)
    return best if best in outside else ","


def _rows(text: str, name: str, delimiter: str) -> list[Row]:
    """The rows that are not blank. Tabs may part fields in which a quote means nothing."""
    try:
        quoted = _parsed(text, delimiter, csv.QUOTE_MINIMAL)
    except csv.Error as error:
        if delimiter != "\t":
            line = _unclosed(text, delimiter)
            raise TrainingError(
                f"{name}, line {line}: a quote is opened here and not closed as CSV wants it "
                f"({error}); a quote within a quoted text is written twice."
            ) from None
        return _parsed(text, delimiter, csv.QUOTE_NONE)
    if delimiter == "\t" and len({len(fields) for _, fields in quoted}) > 1:
        plain = _parsed(text, delimiter, csv.QUOTE_NONE)
        if len({len(fields) for _, fields in plain}) == 1:
            return plain
    return quoted


def _parsed(text: str, delimiter: str, quoting: Literal[0, 3]) -> list[Row]:
    csv.field_size_limit(sys.maxsize)  # by default a text of 131,072 characters is an error
    text = text if "\n" in text else text.replace("\r", "\n")
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
    )
    rows: list[Row] = []
    begins = 1
    for fields in reader:
        if any(field.strip() for field in fields):
            rows.append((begins, fields))
        begins = reader.line_num + 1
    return rows


def _unclosed(text: str, delimiter: str) -> int:
    """The line on which the row begins that cannot be read."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for _ in reader:
            begins = reader.line_num + 1
    except csv.Error:
        pass
    return begins


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"
