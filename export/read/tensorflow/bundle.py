"""TensorFlow's checkpoint files (`PREFIX.index`, `PREFIX.data-*`) in, named tensors out.

Knows nothing of BERT. Written out here because installing TensorFlow, a gigabyte, to read this one
format would be most of an export: the index is a LevelDB table of name -> protobuf
message, the data files are the tensors end to end. Formats: tensorflow/core/util/tensor_bundle and
tensorflow/core/protobuf/tensor_bundle.proto. Every CRC that TensorFlow wrote is checked.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import google_crc32c
import ml_dtypes
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from numpy.typing import NDArray

from export.errors import ExportError, told
from export.read.files import check_file, is_there

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two block handles, padding, the magic number
HEADER_KEY = ""  # sorts first, and describes the bundle
# TensorFlow's DataType -> how the bytes are read; all others are refused when asked for.
DTYPES = {1: np.float32, 2: np.float64, 14: ml_dtypes.bfloat16, 19: np.float16}
# Message -> the fields that are read of it, in protobuf's types.
FIELD: Final = descriptor_pb2.FieldDescriptorProto
MESSAGES: Final[dict[str, list[Any]]] = {
    "Dim": [FIELD(name="size", number=1, type=FIELD.TYPE_INT64)],
    "Shape": [FIELD(name="dim", number=2, label=FIELD.LABEL_REPEATED, type_name="Dim")],
    "Header": [
        FIELD(name="num_shards", number=1, type=FIELD.TYPE_INT32),
        FIELD(name="endianness", number=2, type=FIELD.TYPE_INT32),
    ],
    "Entry": [
        FIELD(name="dtype", number=1, type=FIELD.TYPE_INT32),
        FIELD(name="shape", number=2, type_name="Shape"),
        FIELD(name="shard_id", number=3, type=FIELD.TYPE_INT32),
        FIELD(name="offset", number=4, type=FIELD.TYPE_INT64),
        FIELD(name="size", number=5, type=FIELD.TYPE_INT64),
        FIELD(name="crc32c", number=6, type=FIELD.TYPE_FIXED32),  # masked
        # Of a tensor that is stored in parts, under other names.
        FIELD(name="slices", number=7, label=FIELD.LABEL_REPEATED, type=FIELD.TYPE_BYTES),
    ],
}


class Bundle:
    """The tensors of one TensorFlow checkpoint, read from disk when asked for."""

    def __init__(self, prefix: Path) -> None:
        """Read the index of the checkpoint called `prefix`.

        Raises:
            ExportError: the index is damaged, cut short, compressed or written big-endian.
        """
        self._prefix = prefix
        index = index_of(prefix)
        check_file(index)
        with told(index, "read"):
            data = index.read_bytes()
        try:
            values = dict(_table(data))
            header = _message("Header").FromString(values.pop(HEADER_KEY))
            self.entries = {name: _message("Entry").FromString(v) for name, v in values.items()}
        except (ValueError, IndexError, KeyError, message.DecodeError) as error:
            detail = f" ({error})" if isinstance(error, ValueError) else ""
            raise ExportError(f"{index.name} is damaged or was cut short{detail}.") from None
        self._shards = header.num_shards
        if header.endianness != 0:
            raise ExportError(f"{index.name} was written big-endian, which Cloze does not read.")
        for name, entry in self.entries.items():
            if entry.slices:
                raise ExportError(f"{name} is a partitioned variable, which Cloze does not read.")

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one tensor, as stored."""
        return tuple(dim.size for dim in self.entries[name].shape.dim)

    def read(self, name: str) -> NDArray[Any]:
        """One tensor in its stored type.

        Raises:
            ExportError: it is not floating point, or its bytes are missing or changed.
        """
        entry, shape = self.entries[name], self.shape(name)
        if entry.dtype not in DTYPES:
            raise ExportError(f"{name} is stored in a type that is not floating point.")
        path = self._prefix.with_name(
            f"{self._prefix.name}.data-{entry.shard_id:05d}-of-{self._shards:05d}"
        )
        if not is_there(path):
            raise ExportError(f"{path.name} is missing; its index says it holds weights.")
        check_file(path)
        # Before reading: a damaged index may ask for more bytes than there is memory.
        if (found := path.stat().st_size) < entry.offset + entry.size:
            raise ExportError(f"{path.name} was cut short: it has {found} bytes.")
        with told(path, "read"), path.open("rb") as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        if checksum(data) != entry.crc32c:
            raise ExportError(f"{path.name} is damaged: the checksum of {name} does not agree.")
        array = np.frombuffer(data, DTYPES[entry.dtype]).copy()  # bytes cannot be written to
        if array.size != np.prod(shape, dtype=int):
            raise ExportError(f"{path.name} does not hold {name} in the shape {shape}.")
        return array.reshape(shape)


def index_of(prefix: Path) -> Path:
    """The index of the checkpoint called `prefix`."""
    return prefix.with_name(f"{prefix.name}.index")


def checksum(data: bytes) -> int:
    """CRC-32C, masked as TensorFlow stores it, so that the CRC of stored CRCs stays sound.

    >>> hex(checksum(b""))
    '0xa282ead8'
    """
    crc = int(google_crc32c.value(data))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _message(name: str) -> Any:
    """The class of one of `MESSAGES`."""
    file = descriptor_pb2.FileDescriptorProto(name="tensor_bundle.proto")
    for known, fields in MESSAGES.items():
        file.message_type.add(name=known, field=fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


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


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts at byte `at`, seven bits to a byte, and where it ends.

    >>> varint(bytes([0x96, 0x01]), 0)
    (150, 2)
    """
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:  # the highest bit says that another byte follows
            return value, at + 1
        at, shift = at + 1, shift + 7
