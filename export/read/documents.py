"""A JSON file of a checkpoint in, typed fields out, each checked where it is read.

Knows nothing of BERT: only that a file from elsewhere may be missing, huge, cut short, or hold
another type than expected, and that each of these deserves one sentence.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from export.errors import ExportError, told

# A tokenizer.json with 250,000 entries takes 10 MB; nothing that BERT needs comes near this.
MAX_BYTES = 64 * 1024 * 1024


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file.

    Raises:
        ExportError: it is missing, larger than `MAX_BYTES`, or not UTF-8.
    """
    try:
        with told(path, "read"):
            if path.stat().st_size > MAX_BYTES:
                raise ExportError(f"{path.name} is larger than {MAX_BYTES // 2**20} MB.")
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExportError(f"{path.name} is not UTF-8 text (byte {error.start}).") from None


def read_json(path: Path) -> object:
    """Whatever JSON the file holds.

    Raises:
        ExportError: as `read_text`, or the text is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise ExportError(f"{path.name} is not valid JSON; it may have been cut short.") from None


@dataclass(frozen=True)
class Fields:
    """The fields of one JSON object and the name of its file, for messages.

    A field that is absent takes the default; without a default it is an error. JSON's null
    counts as absent, as it does in the libraries that write these files.
    """

    values: dict[str, Any]
    file: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The object in a JSON file."""
        return cls.wrap(read_json(path), path.name)

    @classmethod
    def wrap(cls, value: object, file: str) -> Self:
        """The fields of `value`, which must be a JSON object."""
        if not isinstance(value, dict):
            raise ExportError(f"{file} must hold a JSON object, not {_kind(value)}.")
        return cls(value, file)

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        value = self._get(name, default)
        # A bool is an int in Python, yet `true` is no size.
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._expected(name, "a whole number above 0")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number above 0 and finite."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._expected(name, "a number")
        if not 0 < value < float("inf"):
            raise self._expected(name, "a number above 0")
        return float(value)

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self._get(name, default)
        if not isinstance(value, str):
            raise self._expected(name, "a string")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self._expected(name, "true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty when absent."""
        value = self._get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._expected(name, "a list of strings")
        return tuple(value)

    def mapping(self, name: str) -> dict[str, str]:
        """An object whose values are strings, empty when absent."""
        value = self._get(name, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self._expected(name, "an object of strings")
        return value

    def _get(self, name: str, default: object) -> object:
        value = self.values.get(name)
        if value is None and default is None:
            raise ExportError(f"{self.file} lacks {name}.")
        return default if value is None else value

    def _expected(self, name: str, expected: str) -> ExportError:
        return ExportError(f"{name} in {self.file} must be {expected}.")


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"
