"""TensorFlow's checkpoint files (`PREFIX.index`, `PREFIX.data-*`) in, named tensors out.

Knows nothing of BERT. Written out here because installing TensorFlow, a gigabyte, to read this one
format would be most of an export: the index is a LevelDB table of name -> protobuf
message, the data files are the tensors end to end. Formats: tensorflow/core/util/tensor_bundle and
tensorflow/core/protobuf/tensor_bundle.proto. Every CRC that TensorFlow wrote is checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import google_crc32c
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError, told
from export.read.tensorflow.wire import message, nested, number, varint

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two block handles, padding, the magic number
TRAILER = 5  # bytes after a block: compression, CRC
HEADER_KEY = ""  # sorts first, and describes the bundle
# TensorFlow's DataType -> how the bytes are read; all others are refused when asked for.
DTYPES = {1: np.float32, 2: np.float64, 14: ml_dtypes.bfloat16, 19: np.float16}


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int  # bytes
    crc: int  # masked
    sliced: bool  # stored in parts, under other names

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """A BundleEntryProto."""
        fields = message(value)
        dims = [dim for shape in nested(fields, 2) for dim in nested(message(shape), 2)]
        return cls(
            dtype=number(fields, 1),
            shape=tuple(number(message(dim), 1) for dim in dims),
            shard=number(fields, 3),
            offset=number(fields, 4),
            size=number(fields, 5),
            crc=number(fields, 6),
            sliced=7 in fields,
        )


class Bundle:
    """The tensors of one TensorFlow checkpoint, read from disk when asked for."""

    def __init__(self, prefix: Path) -> None:
        """Read the index of the checkpoint called `prefix`.

        Raises:
            ExportError: the index is damaged, cut short, compressed or written big-endian.
        """
        self._prefix = prefix
        index = prefix.with_name(f"{prefix.name}.index")
        with told(index, "read"):
            data = index.read_bytes()
        try:
            values = dict(_table(data))
            header = message(values.pop(HEADER_KEY))
            self.entries = {name: Entry.parse(value) for name, value in values.items()}
        except (ValueError, IndexError, KeyError) as error:
            detail = f" ({error})" if isinstance(error, ValueError) else ""
            raise ExportError(f"{index.name} is damaged or was cut short{detail}.") from None
        self._shards = number(header, 1)
        if number(header, 2) != 0:
            raise ExportError(f"{index.name} was written big-endian, which Cloze does not read.")
        for name, entry in self.entries.items():
            if entry.sliced:
                raise ExportError(f"{name} is a partitioned variable, which Cloze does not read.")

    def read(self, name: str) -> NDArray[Any]:
        """One tensor in its stored type.

        Raises:
            ExportError: it is not floating point, or its bytes are missing or changed.
        """
        entry = self.entries[name]
        if entry.dtype not in DTYPES:
            raise ExportError(f"{name} is stored in a type that is not floating point.")
        path = self._prefix.with_name(
            f"{self._prefix.name}.data-{entry.shard:05d}-of-{self._shards:05d}"
        )
        data = _read_at(path, entry.offset, entry.size)
        if checksum(data) != entry.crc:
            raise ExportError(f"{path.name} is damaged: the checksum of {name} does not agree.")
        array = np.frombuffer(data, DTYPES[entry.dtype]).copy()  # bytes cannot be written to
        if array.size != np.prod(entry.shape, dtype=int):
            raise ExportError(f"{path.name} does not hold {name} in the shape {entry.shape}.")
        return array.reshape(entry.shape)


def checksum(data: bytes) -> int:
    """CRC-32C, masked as TensorFlow stores it, so that the CRC of stored CRCs stays sound.

    >>> hex(checksum(b""))
    '0xa282ead8'
    """
    crc = int(google_crc32c.value(data))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _table(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The (name, value) pairs of a LevelDB table, by way of its index block."""
    footer = data[-FOOTER:]
    if len(footer) < FOOTER or int.from_bytes(footer[-8:], "little") != MAGIC:
        raise ValueError("no table of tensors at its end")
    _, at = varint(footer, 0)  # the meta index block's offset and size: not needed
    _, at = varint(footer, at)
    for _, handle in _block(data, footer[at:]):
        for key, value in _block(data, handle):
            yield key.decode(errors="backslashreplace"), value  # slices have binary names


def _block(data: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The entries of one block; each key shares its beginning with the key before it."""
    offset, at = varint(handle, 0)
    size, _ = varint(handle, at)
    end = offset + size
    if checksum(data[offset : end + 1]) != int.from_bytes(data[end + 1 : end + 5], "little"):
        raise ValueError("its checksum does not agree")
    if data[end] != 0:
        raise ValueError("it is compressed, which TensorFlow does not do by default")
    block = data[offset:end]
    restarts = int.from_bytes(block[-4:], "little")
    stop, at, key = len(block) - 4 * (restarts + 1), 0, b""
    while at < stop:
        shared, at = varint(block, at)
        unshared, at = varint(block, at)
        length, at = varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length


def _read_at(path: Path, offset: int, size: int) -> bytes:
    if not path.is_file():
        raise ExportError(f"{path.name} is missing; its index says it holds weights.")
    # Before reading: a damaged index may ask for more bytes than there is memory.
    if (found := path.stat().st_size) < offset + size:
        raise ExportError(f"{path.name} was cut short: it has {found} bytes.")
    with told(path, "read"), path.open("rb") as file:
        file.seek(offset)
        return file.read(size)
