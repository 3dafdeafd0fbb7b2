"""The path of a file or folder of examples in, its records out: the form is found by its content.

Parquet by its first bytes, JSON by its first character, CoNLL where words are asked for and the
lines look like it; all other text is CSV or TSV.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from training.data.arrow_file import PARQUET_MAGIC, folder_records, parquet_records
from training.data.columns import Role, are_numbers, find_columns, names_wanted, parse_columns
from training.data.conll import CONLL_FIELDS, conll_records, looks_like_conll
from training.data.delimited import delimited_records
from training.data.json_file import json_records
from training.data.record import Record
from training.data.text_file import decode, read_bytes, suffix_of
from training.errors import TrainingError

Example = TypeVar("Example")
JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
WORDS = "tokens"  # the role of words, which CoNLL's files have


@dataclass(frozen=True)
class Form:
    """What is said of a file, where its content does not tell."""

    columns: str | None = None  # as --columns has it
    encoding: str | None = None


@dataclass(frozen=True)
class Rows:
    """The rows of a file, and which of its fields holds what."""

    records: Sequence[Record]
    columns: Mapping[str, str] = field(default_factory=dict)


def read_rows(path: Path, roles: Sequence[Role], form: Form | None = None) -> Rows:
    """The rows of a file or folder, at least one, each with the names of `roles` for its fields.

    What no role can mean is dropped row by row, so that a large file's other columns take no room.
    """
    form = form or Form()
    given = parse_columns(form.columns, roles)
    wanted = names_wanted(roles, given)
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    records = [record.only(wanted, known) for record in _records(path, roles, form, given)]
    if not records:
        raise TrainingError(f"{path} holds no examples.")
    found = list(dict.fromkeys(name for names in known for name in names))
    conll = set(found) <= CONLL_FIELDS and are_numbers(given)
    columns = find_columns(found, roles, {} if conll else given, path.name)
    return Rows([replace(record, names=columns) for record in records], columns)


def read_examples(path: Path, parse: Callable[[Record], Example]) -> list[Example]:
    """What `parse` makes of each row of a file of JSON with fields of fixed names."""
    text = decode(read_bytes(path), path.name)
    examples = [parse(record) for record in json_records(text, path.name)]
    if not examples:
        raise TrainingError(f"{path} holds no examples.")
    return examples


def _records(
    path: Path, roles: Sequence[Role], form: Form, given: Mapping[str, str]
) -> Iterator[Record]:
    if path.is_dir():
        return folder_records(path)
    data = read_bytes(path)
    if data.startswith(PARQUET_MAGIC):
        return parquet_records(path)
    text, suffix = decode(data, path.name, form.encoding), suffix_of(path)
    opened = text.lstrip()[:1] in {"{", "["}
    words = next((role for role in roles if role.name == WORDS), None)
    if suffix in JSON_SUFFIXES and text.strip() and not opened:
        raise TrainingError(f"{path.name}, line 1: it is not JSON: a brace or bracket opens it.")
    # A bracket may also be the first word of a sentence in columns.
    columns = words is not None and looks_like_conll(text)
    if suffix in JSON_SUFFIXES or (opened and suffix not in {".csv", ".tsv"} and not columns):
        return json_records(text, path.name)
    if words is not None and suffix != ".csv":
        lines = text.strip().splitlines()
        headed = bool(lines) and bool(set(lines[0].lower().split()) & set(words.usual))
        if not headed or "" in map(str.strip, lines):
            return conll_records(text, path.name, given, header=headed)
    return delimited_records(text, path.name, header=not are_numbers(given))
