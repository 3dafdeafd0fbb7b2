"""Each of several processes' latest counts in, everyone's out, through memory that they share.

A reader never waits for a writer: a process that hangs or has died leaves what it posted last.
Knows nothing of what is posted.
"""

from __future__ import annotations

import mmap
import struct
import time
import zlib
from dataclasses import dataclass
from typing import Final

# Of one post: its number, its `time.monotonic()` in seconds, its length in bytes and its checksum.
_HEAD: Final = struct.Struct("<QdII")
_LOADING, _READY, _ENDED = range(3)  # what a place says of its process; zero at first
_MOST_BYTES: Final = 1 << 20  # of one post; memory that nobody writes to is not used


@dataclass(frozen=True)
class Post:
    """What a process said last."""

    number: int
    time_s: float
    """By `time.monotonic()`, which is the same for all processes of a machine."""
    content: bytes


class Board:
    """A place for each process. Made before they are forked, so that all see the same memory."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._half = _HEAD.size + _MOST_BYTES
        self._memory = mmap.mmap(-1, places * (1 + 2 * self._half))

    def set_ready(self, place: int, *, ready: bool) -> None:
        """Says that the process at `place` is ready to serve, or that it has ended."""
        self._memory[place] = _READY if ready else _ENDED

    def is_ready(self, place: int) -> bool:
        """Tells whether the process at `place` is ready to serve."""
        return self._memory[place] == _READY

    def is_any_loading(self) -> bool:
        """Tells whether a connection may be dealt to a process that is still loading.

        Of those that the server starts with, that is; one that replaces another takes none before
        it is ready.
        """
        return any(self._memory[place] == _LOADING for place in range(self.places))

    def post(self, place: int, content: bytes) -> None:
        """Replaces what was posted at `place`; only the process whose place it is may do so.

        The two halves of a place are written in turn. Whoever reads the one that is being written
        finds its checksum wrong and takes the other.

        Raises:
            ValueError: `content` is too long.
        """
        if len(content) > _MOST_BYTES:
            raise ValueError(f"expected at most {_MOST_BYTES} bytes, found {len(content)}")
        last = self.read(place)
        number = last.number + 1 if last else 1
        begin = self._begin(place, number % 2)
        head = _HEAD.pack(number, time.monotonic(), len(content), zlib.crc32(content, number))
        self._memory[begin + _HEAD.size : begin + _HEAD.size + len(content)] = content
        self._memory[begin : begin + _HEAD.size] = head

    def read(self, place: int) -> Post | None:
        """Returns what was last posted at `place`, if anything was."""
        whole = [post for half in (0, 1) if (post := self._read_half(place, half))]
        return max(whole, key=lambda post: post.number, default=None)

    def _read_half(self, place: int, half: int) -> Post | None:
        begin = self._begin(place, half)
        number, time_s, length, checksum = _HEAD.unpack_from(self._memory, begin)
        if not number or length > _MOST_BYTES:
            return None
        content = self._memory[begin + _HEAD.size : begin + _HEAD.size + length]
        return Post(number, time_s, content) if zlib.crc32(content, number) == checksum else None

    def _begin(self, place: int, half: int) -> int:
        return self.places + (2 * place + half) * self._half


@dataclass(frozen=True)
class Member:
    """One process among several."""

    place: int
    board: Board
    control: int
    """Descriptor on which the signals that the supervisor passes on arrive, a byte each. It ends
    when the supervisor does."""
    late: bool
    """It replaces one that died, and takes connections only once its models are ready."""
