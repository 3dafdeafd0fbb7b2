"""The fields of one row in, each checked where it is read; what they say is never shown."""

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from training.errors import TrainingError

_SHOWN = 12  # names of fields in a message
_LONGEST_NAME = 40  # characters; a longer one is a text, which is not shown


@dataclass(frozen=True)
class Record:
    """The fields of one row, by the names that its file gives them."""

    fields: Mapping[str, Any]
    place: str  # "train.jsonl, line 7"
    typed: bool = True  # values have types; else all are texts, as in CSV
    names: Mapping[str, str] = field(default_factory=dict)
    """What is asked for -> the file's name for it, where that is another."""
    had: tuple[str, ...] | None = None
    """All the fields of the row, where only some were kept."""

    def only(
        self, wanted: Callable[[str], bool], known: dict[tuple[str, ...], tuple[str, ...]]
    ) -> "Record":
        """The row with those fields alone whose names are wanted.

        `known` are the names of rows before: what most rows have in common is kept once.
        """
        had = tuple(self.fields)
        fields = {name: value for name, value in self.fields.items() if wanted(name)}
        return replace(self, fields=fields, had=known.setdefault(had, had))

    def error(self, what: str) -> TrainingError:
        """An error that names the row."""
        return TrainingError(f"{self.place}: {what}.")

    def called(self, name: str) -> str:
        """The file's own name for what is asked for."""
        return self.names.get(name, name)

    def get(self, name: str) -> Any:
        """The value of a field, or None; in a file of texts alone a cell of blanks is none."""
        value = self.fields.get(self.called(name))
        blank = isinstance(value, str) and not value.strip()
        return None if blank and not self.typed else value

    def missing(self, name: str, expected: str) -> TrainingError:
        """An error for a field that is not there or is empty."""
        if self.called(name) in self.fields:
            return self.error(f"{self.called(name)} must be {expected}, and is empty")
        return self.error(
            f"it has no field {self.called(name)}, which must be {expected}; "
            f"its fields are {names_of(list(self.had or self.fields))}"
        )

    def text(self, name: str) -> str:
        """A string that is not blank."""
        expected = "a text that is not blank"
        value = self.get(name)
        if value is None:
            raise self.missing(name, expected)
        if not is_text(value):
            raise self.error(f"{self.called(name)} must be {expected}{_kind(value)}")
        return str(value)

    def list(self, name: str) -> list[Any]:
        """A list; in a file of texts alone it may be spelled as JSON or Python do, or by blanks."""
        value = self.get(name)
        if isinstance(value, str) and not self.typed:
            return spelled_list(value) or value.split()
        if value is None:
            raise self.missing(name, "a list")
        if not isinstance(value, list):
            raise self.error(f"{self.called(name)} must be a list{_kind(value)}")
        return value


def spelled_list(text: str) -> list[Any] | None:
    """A list that a cell spells as JSON or as Python does (pandas writes that); else None.

    >>> spelled_list('["a", 1]'), spelled_list("['a', 'b']"), spelled_list("[a, b]")
    (['a', 1], ['a', 'b'], None)
    """
    if not text.strip().startswith("["):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, list) else None
    return None


def is_text(value: object) -> bool:
    """Whether it is a string of characters that is not blank."""
    if not isinstance(value, str) or not value.strip():
        return False
    # JSON can spell half a surrogate pair, which is no character.
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def names_of(fields: Mapping[str, Any] | list[str]) -> str:
    """The names of fields for a message; one that is a text itself is not shown.

    >>> names_of(["id", "label"]), names_of(["The meal was superb, and so was the service there."])
    ('id, label', '(a long text)')
    """
    short = [name if len(name) <= _LONGEST_NAME else "(a long text)" for name in fields]
    more = [f"and {len(short) - _SHOWN} more"] if len(short) > _SHOWN else []
    return ", ".join([*(name or "(no name)" for name in short[:_SHOWN]), *more]) or "none"


def _kind(value: object) -> str:
    """What a value of another type is, for the end of a message."""
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list",
             dict: "an object"}  # fmt: skip
    kind = kinds.get(type(value))
    return f", and is {kind}" if kind else ""
