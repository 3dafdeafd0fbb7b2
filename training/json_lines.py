"""A file of JSON lines in, an example for each out.

A bad line is refused by the file's name and the line's number; what the line says is never shown.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from training.errors import TrainingError

Example = TypeVar("Example")


@dataclass(frozen=True)
class Record:
    """The fields of one line, each checked where it is read."""

    fields: dict[str, Any]
    place: str  # "train.jsonl, line 7"

    def error(self, what: str) -> TrainingError:
        """An error that names the line."""
        return TrainingError(f"{self.place}: {what}.")

    def text(self, name: str) -> str:
        """A string that is not blank."""
        value = self.fields.get(name)
        if not is_text(value):
            raise self.error(f"{name} must be a text that is not blank")
        return str(value)

    def list(self, name: str) -> list[Any]:
        """A list."""
        value = self.fields.get(name)
        if not isinstance(value, list):
            raise self.error(f"{name} must be a list")
        return value


def read_lines(path: Path, parse: Callable[[Record], Example]) -> list[Example]:
    """What `parse` makes of each line that is not blank; at least one."""
    try:
        with path.open("rb") as file:
            examples = [
                parse(_record(line, f"{path.name}, line {number}"))
                for number, line in enumerate(file, start=1)
                if line.strip()
            ]
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}.") from None
    if not examples:
        raise TrainingError(f"{path} holds no examples.")
    return examples


def _record(line: bytes, place: str) -> Record:
    try:
        fields = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise TrainingError(f"{place}: it is not JSON in UTF-8.") from None
    if not isinstance(fields, dict):
        raise TrainingError(f"{place}: it is not a JSON object.")
    return Record(fields, place)


def is_text(value: object) -> bool:
    """Whether it is a string of characters that is not blank."""
    if not isinstance(value, str) or not value.strip():
        return False
    # JSON can spell half a surrogate pair, which is no character.
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
