"""Protocol-buffer bytes in, their fields by number out: just enough to read a checkpoint's index.

Knows no message type. Format: protobuf.dev/programming-guides/encoding.
"""

# The values of each field: a number, or the bytes of a string or of a nested message.
Message = dict[int, list[int | bytes]]

MORE = 0x80  # the bit of a byte that says another follows


def message(data: bytes) -> Message:
    """The fields of a message, nested ones still as bytes.

    >>> message(bytes([0x08, 0x96, 0x01]))
    {1: [150]}

    Raises:
        ValueError: the bytes are no message.
        IndexError: they end inside a number.
    """
    fields: Message = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = _value(data, at, tag & 7)
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts at byte `at`, seven bits to a byte, and where it ends.

    >>> varint(bytes([0x96, 0x01]), 0)
    (150, 2)
    """
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & ~MORE) << shift
        at += 1
        if not byte & MORE:
            return value, at
        shift += 7


def number(fields: Message, field: int) -> int:
    """The last value of a numeric field, 0 when absent: protobuf does not write zeros."""
    value = fields.get(field, [0])[-1]
    if isinstance(value, bytes):
        raise ValueError(f"field {field} is not a number")  # noqa: TRY004 (the file is at fault)
    return value


def nested(fields: Message, field: int) -> list[bytes]:
    """All the values of a string or message field."""
    return [value for value in fields.get(field, []) if isinstance(value, bytes)]


def _value(data: bytes, at: int, wire_type: int) -> tuple[int | bytes, int]:
    match wire_type:
        case 0:  # a varint
            return varint(data, at)
        case 2:  # a length, then so many bytes
            size, at = varint(data, at)
            return _take(data, at, size), at + size
        case 1 | 5:  # fixed, 8 or 4 bytes
            size = 8 if wire_type == 1 else 4
            return int.from_bytes(_take(data, at, size), "little"), at + size
    raise ValueError(f"wire type {wire_type}")


def _take(data: bytes, at: int, size: int) -> bytes:
    value = data[at : at + size]
    if len(value) != size:
        raise ValueError("a message ends early")
    return value
