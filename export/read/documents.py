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
    def of(cls, path: Path, *, optional: bool = False) -> Self:
        """The object in a JSON file; no fields where the file may be absent and is."""
        if optional and not path.is_file():
            return cls({}, path.name)
        return cls.wrap(read_json(path), path.name)

    @classmethod
    def wrap(cls, value: object, file: str) -> Self:
        """The fields of `value`, which must be a JSON object."""
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else f"a {type(value).__name__}"
            raise ExportError(f"{file} must hold a JSON object, not {kind}.")
        return cls(value, file)

    def integer(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value: int = self._get(name, default, "a whole number", int)
        if value < least:
            raise self._expected(name, f"a whole number of at least {least}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number above 0 and finite."""
        value = self._get(name, default, "a number", int, float)
        if not 0 < value < float("inf"):
            raise self._expected(name, "a number above 0")
        return float(value)

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value: str = self._get(name, default, "a string", str)
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value: bool = self._get(name, default, "true or false", bool)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty when absent."""
        value: list[str] = self._get(name, [], "a list of strings", list)
        if not all(isinstance(item, str) for item in value):
            raise self._expected(name, "a list of strings")
        return tuple(value)

    def mapping(self, name: str) -> dict[str, str]:
        """An object whose values are strings, empty when absent."""
        value: dict[str, str] = self._get(name, {}, "an object of strings", dict)
        if not all(isinstance(item, str) for item in value.values()):
            raise self._expected(name, "an object of strings")
        return value

    def _get(self, name: str, default: object, expected: str, *kinds: type) -> Any:
        value = self.values.get(name)
        value = default if value is None else value
        if value is None:
            raise ExportError(f"{self.file} lacks {name}.")
        # Not isinstance: a bool is an int in Python, yet `true` is no size.
        if type(value) not in kinds:
            raise self._expected(name, expected)
        return value

    def _expected(self, name: str, expected: str) -> ExportError:
        return ExportError(f"{name} in {self.file} must be {expected}.")
