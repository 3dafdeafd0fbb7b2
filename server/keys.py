"""A file of API keys in, who may call and how much out; `python -m server.keys NAME` makes a key.

    [keys.search]
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    requests_per_minute = 600      # these three only where a key is to be limited
    tokens_per_minute = 100_000
    tokens_at_once = 16_384

The file holds no key, only what tells one. A key is 256 random bits, so that one round of SHA-256
keeps it: there is nothing to guess.
"""

import hashlib
import hmac
import logging
import re
import secrets
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.errors import QueueFull, Unauthorized

logger = logging.getLogger("cloze")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX: Final = "cloze-"  # by which scanners find keys that were published by mistake
_MINUTE_S: Final = 60.0


class KeyFileError(Exception):
    """The file of keys cannot be used; the message says why."""


class _Entry(BaseModel):
    """One key in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    tokens_at_once: int | None = Field(None, ge=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: dict[str, _Entry] = Field(min_length=1)


class _Bucket:
    """What may be spent in a minute, filled up evenly; one large request may overdraw it."""

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / _MINUTE_S
        self._most = self._left = per_minute
        self._seen = time.monotonic()

    def require_some(self, what: Literal["tokens", "requests"]) -> None:
        """Raise `QueueFull` until there is something left."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._seen) * self._per_second)
        self._seen = now
        if self._left < 1:
            raise QueueFull(
                f"This key's {what} a minute are used up; send the request again later.",
                full="key_tokens" if what == "tokens" else "key_requests",
                retry_after_s=(1 - self._left) / self._per_second,
            )

    def spend(self, count: float) -> None:
        """Take `count`, or with a negative one give back."""
        self._left -= count


class Key:
    """A client that may call, and what it has spent. Belongs to the event loop's thread."""

    def __init__(self, name: str, entry: _Entry, processes: int = 1) -> None:
        """Of a group of processes, among which connections are dealt out, each allows its part."""
        self.name = name
        self.digest = bytes.fromhex(entry.sha256)
        self._requests = _bucket(entry.requests_per_minute, processes)
        self._tokens = _bucket(entry.tokens_per_minute, processes)
        self._most_at_once = entry.tokens_at_once
        self._at_once = 0

    def begin(self) -> None:
        """Count a request.

        Raises:
            QueueFull: this key has sent too many, or used too many tokens, in the last minute.
        """
        if self._tokens is not None:
            self._tokens.require_some("tokens")
        if self._requests is not None:
            self._requests.require_some("requests")
            self._requests.spend(1)

    def hold(self, more: int) -> None:
        """Count tokens that a request will compute; a negative number corrects an estimate.

        Raises:
            QueueFull: this key's requests would hold too many together.
        """
        most = self._most_at_once
        if most is not None and more > 0 and self._at_once + more > most:
            raise QueueFull(
                f"This key may have {most} tokens computed at once; send less at a time.",
                full="key_tokens_at_once",
                retry_after_s=1,
            )
        self._at_once += more
        if self._tokens is not None:
            self._tokens.spend(more)

    def release(self, tokens: int, *, computed: bool) -> None:
        """Hold tokens no more, which were computed or never will be."""
        self._at_once -= tokens
        if self._tokens is not None and not computed:
            self._tokens.spend(-tokens)


@dataclass(frozen=True)
class KeyRing:
    """All keys of a server."""

    keys: tuple[Key, ...]

    @classmethod
    def read(cls, path: Path, processes: int = 1) -> "KeyRing":
        """The keys in a file.

        Raises:
            KeyFileError: it cannot be read, or is not as this module says.
        """
        try:
            found = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:  # of TOML, of UTF-8, or of pydantic, which shows its input
            raise KeyFileError(f"{path} is no file of keys: {_told(error)}") from None
        if wrong := [name for name in found.keys if not _NAME.fullmatch(name)]:
            raise KeyFileError(f"{path}: {wrong[0]!r} is no name of a key")
        return cls(tuple(Key(name, entry, processes) for name, entry in found.keys.items()))

    def find(self, fields: Mapping[bytes, list[bytes]]) -> Key:
        """The key that a request's head shows, in one `authorization` or `x-api-key` field.

        All keys are compared in constant time, so that how long it takes tells nothing of them.

        Raises:
            Unauthorized: there is no key, an unknown one, or more than one.
        """
        shown = [*map(_bearer, fields[b"authorization"]), *fields[b"x-api-key"]]
        if len(shown) != 1 or not shown[0]:
            raise Unauthorized(
                "The request needs one API key, as `Authorization: Bearer KEY` or `x-api-key: KEY`."
            )
        digest = hashlib.sha256(shown[0]).digest()
        known = [key for key in self.keys if hmac.compare_digest(key.digest, digest)]
        if not known:
            raise Unauthorized("The API key is not known here.")
        return known[0]


class KeyFile:
    """The keys of a running server, read again when it is told to; without a file all may call."""

    def __init__(self, path: Path | None = None, processes: int = 1) -> None:
        """Raises `KeyFileError` for a file that cannot be used."""
        self._path, self._processes = path, processes
        self.ring = None if path is None else KeyRing.read(path, processes)

    def reload(self) -> None:
        """Take the keys that the file has now; where it cannot be used, those of before stay.

        What is under way goes on; limits begin anew.
        """
        if self._path is None:
            return
        try:
            self.ring = KeyRing.read(self._path, self._processes)
        except KeyFileError as error:
            logger.error("the keys of before stay: %s", error)  # noqa: TRY400 (a person's mistake)
        else:
            logger.info("keys read", extra={"keys": len(self.ring.keys)})


def _bucket(per_minute: int | None, processes: int) -> _Bucket | None:
    return None if per_minute is None else _Bucket(per_minute / processes)


def _bearer(value: bytes) -> bytes:
    scheme, _, key = value.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def _told(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    mistakes = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in mistakes)


def main(arguments: list[str]) -> int:
    """Make a key, and print it with what belongs into the file."""
    if len(arguments) != 1 or not _NAME.fullmatch(arguments[0]):
        sys.stderr.write("usage: python -m server.keys NAME  (letters, digits, . _ -)\n")
        return 2
    key = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    sys.stdout.write(f'[keys."{arguments[0]}"]\nsha256 = "{digest}"\n')
    sys.stderr.write(f"The key, which is shown only now: {key}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
