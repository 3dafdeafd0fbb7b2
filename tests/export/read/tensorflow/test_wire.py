"""Protocol-buffer fields, by example and at their ends."""

import pytest

from export.read.tensorflow.wire import message, nested, number, varint


def test_fields_of_every_wire_type_are_read() -> None:
    data = bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x08, 0x07, 0x1D, 1, 0, 0, 0, 0x21, 2, *([0] * 7)])
    fields = message(data)
    assert fields == {1: [150], 2: [b"\x08\x07"], 3: [1], 4: [2]}
    assert number(fields, 1) == 150
    assert number(fields, 9) == 0
    assert number(message(nested(fields, 2)[0]), 1) == 7
    assert nested(fields, 9) == []


def test_repeated_fields_keep_their_order() -> None:
    assert nested(message(bytes([0x0A, 1, 5, 0x0A, 0, 0x0A, 1, 6])), 1) == [b"\x05", b"", b"\x06"]


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x0b", b"\x0d\x01", b"\x08"])
def test_what_ends_early_or_is_no_message_raises(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        message(data)


def test_large_numbers_take_several_bytes() -> None:
    assert varint(bytes([0xFF] * 9 + [0x01]), 0) == (2**64 - 1, 10)
