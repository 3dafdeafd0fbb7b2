"""Each process's latest statistics in, everyone's out, through memory that a process group shares.

A reader never waits for a writer: a process that hangs or has died leaves what it published last.
Knows nothing of what is published.
"""

import mmap
import struct
import time
import zlib
from dataclasses import dataclass
from typing import Final

# Of one snapshot: sequence number, `time.monotonic()` in seconds, length in bytes and checksum.
_HEADER: Final = struct.Struct("<QdII")
_LOADING, _READY, _ENDED = range(3)  # the state of a rank's process; zero at first
_MOST_BYTES: Final = 1 << 20  # of one snapshot; memory that nobody writes to is not used


class ContentTooLong(ValueError):
    """More was to be published than a snapshot holds."""


@dataclass(frozen=True)
class Snapshot:
    """What a process published last."""

    sequence: int
    time_s: float
    """By `time.monotonic()`, which is the same for all processes of a machine."""
    content: bytes


class SharedStatistics:
    """A state and a snapshot for each rank. Made before the processes that share it are forked."""

    def __init__(self, size: int) -> None:
        """Makes room for `size` ranks."""
        self.size = size
        self._buffer_bytes = _HEADER.size + _MOST_BYTES
        self._memory = mmap.mmap(-1, size * (1 + 2 * self._buffer_bytes))

    def set_ready(self, rank: int, *, ready: bool) -> None:
        """Says that the process of `rank` is ready to serve, or that it has ended."""
        self._memory[rank] = _READY if ready else _ENDED

    def is_ready(self, rank: int) -> bool:
        """Tells whether the process of `rank` is ready to serve."""
        return self._memory[rank] == _READY

    def is_any_loading(self) -> bool:
        """Tells whether a connection may be dealt to a process that is still loading.

        Of those that the server starts with, that is; a replacement takes none before it is ready.
        """
        return any(self._memory[rank] == _LOADING for rank in range(self.size))

    def publish(self, rank: int, content: bytes) -> None:
        """Replaces the snapshot of `rank`; only the process of that rank may do so.

        The two buffers of a rank are written in turn. Whoever reads the one that is being written
        finds its checksum wrong and takes the other.

        Raises:
            ContentTooLong: the snapshot stays as it was.
        """
        if len(content) > _MOST_BYTES:
            raise ContentTooLong(f"expected at most {_MOST_BYTES} bytes, found {len(content)}")
        last = self.read(rank)
        sequence = last.sequence + 1 if last else 1
        begin = self._offset(rank, sequence % 2)
        checksum = zlib.crc32(content, sequence)
        header = _HEADER.pack(sequence, time.monotonic(), len(content), checksum)
        self._memory[begin + _HEADER.size : begin + _HEADER.size + len(content)] = content
        self._memory[begin : begin + _HEADER.size] = header

    def read(self, rank: int) -> Snapshot | None:
        """Returns what `rank` published last, if it published anything."""
        whole = [found for buffer in (0, 1) if (found := self._read_buffer(rank, buffer))]
        return max(whole, key=lambda snapshot: snapshot.sequence, default=None)

    def _read_buffer(self, rank: int, buffer: int) -> Snapshot | None:
        begin = self._offset(rank, buffer)
        sequence, time_s, length, checksum = _HEADER.unpack_from(self._memory, begin)
        if not sequence or length > _MOST_BYTES:
            return None
        content = self._memory[begin + _HEADER.size : begin + _HEADER.size + length]
        if zlib.crc32(content, sequence) != checksum:
            return None
        return Snapshot(sequence, time_s, content)

    def _offset(self, rank: int, buffer: int) -> int:
        return self.size + (2 * rank + buffer) * self._buffer_bytes


@dataclass(frozen=True)
class ProcessGroupMember:
    """One process among several."""

    rank: int
    statistics: SharedStatistics
    control: int
    """Descriptor on which the signals that the supervisor passes on arrive, a byte each. It ends
    when the supervisor does."""
    is_replacement: bool
    """For one that died; it takes connections only once its models are ready."""
