"""A JSON object from elsewhere in, typed fields out, each checked where it is read."""

import sys
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from models.manifest import ManifestError


@dataclass(frozen=True)
class Fields:
    """The fields of one JSON object and the name of its file, for messages.

    A field that is absent takes the default; without a default it is an error. JSON's null
    counts as absent, as it does in the libraries that write these files.
    """

    values: dict[str, Any]
    file: str
    error: ClassVar[type[Exception]] = ManifestError

    @classmethod
    def wrap(cls, value: object, file: str) -> Self:
        """The fields of `value`, which must be a JSON object."""
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else f"a {type(value).__name__}"
            raise cls.error(f"{file} must hold a JSON object, not {kind}.")
        return cls(value, file)

    def integer(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value: int = self._get(name, default, "a whole number", int)
        if value < least:
            raise self._expected(name, f"a whole number of at least {least}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number above 0 that a float holds."""
        value = self._get(name, default, "a number", int, float)
        if not 0 < value <= sys.float_info.max:
            raise self._expected(name, "a number above 0 and below infinity")
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

    def section(self, name: str) -> Self:
        """The fields of an object within, none when absent."""
        value: dict[str, Any] = self._get(name, {}, "an object", dict)
        return type(self)(value, f"{name} in {self.file}")

    def _get(self, name: str, default: object, expected: str, *kinds: type) -> Any:
        value = self.values.get(name)
        value = default if value is None else value
        if value is None:
            raise self.error(f"{self.file} lacks {name}.")
        # Not isinstance: a bool is an int in Python, yet `true` is no size.
        if type(value) not in kinds:
            raise self._expected(name, expected)
        return value

    def _expected(self, name: str, expected: str) -> Exception:
        return self.error(f"{name} in {self.file} must be {expected}.")
