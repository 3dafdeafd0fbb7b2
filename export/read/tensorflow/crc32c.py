"""Bytes in, their CRC-32C (Castagnoli) out, at hundreds of megabytes a second in NumPy alone.

A CRC takes one byte after another. To use NumPy, the bytes are cut into many equal lanes whose
remainders advance side by side, four bytes a step; then neighbours are joined two by two. Joining
works because a CRC is linear over bits: crc(a + b) = crc(a followed by len(b) zeros) ^ crc(b).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Remainders = NDArray[np.uint32]

POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed
ONES = 0xFFFFFFFF
STEP = 4  # bytes that one step takes in
# Enough lanes for NumPy's cost per call to vanish, few enough to stay in the second-level cache.
LANES = 1 << 13
SMALL = 1 << 12  # bytes below which one lane is faster


def crc32c(data: bytes | bytearray) -> int:
    """The CRC-32C of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    size = len(data)
    lanes = 1 if size < SMALL else LANES
    width = -(-size // (lanes * STEP)) * STEP  # bytes in a lane
    # Zeros in front change no remainder that starts at 0, so padding goes there.
    padded = np.zeros(lanes * width, np.uint8)
    padded[lanes * width - size :] = np.frombuffer(data, np.uint8)
    words = padded.view("<u4").reshape(lanes, width // STEP)
    remainder = int(_join(_remainders(words), width)[0])
    # The standard starts from all ones, which then pass through all of the data, and inverts.
    return remainder ^ int(_advance(np.array([ONES], np.uint32), size)[0]) ^ ONES


def masked(crc: int) -> int:
    """The form in which TensorFlow stores a CRC, so that the CRC of stored CRCs stays sound."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & ONES


def _remainders(words: NDArray[np.uint32]) -> Remainders:
    """uint32 (lanes, steps) -> uint32 (lanes,), each lane starting from 0."""
    state = np.zeros(len(words), np.uint32)
    for column in words.T:
        state = _apply(_step_tables(), state ^ column)
    return state


def _join(state: Remainders, width: int) -> Remainders:
    """uint32 (lanes,) of `width` bytes each -> uint32 (1,) of all; lanes are a power of two."""
    while len(state) > 1:
        state = _advance(state[0::2], width) ^ state[1::2]
        width *= 2
    return state


def _advance(state: Remainders, zeros: int) -> Remainders:
    """The remainders after `zeros` more zero bytes: by squaring, one table per bit of `zeros`."""
    for bit in range(zeros.bit_length()):
        if zeros >> bit & 1:
            state = _apply(_zeros_tables(bit), state)
    return state


def _apply(tables: NDArray[np.uint32], state: Remainders) -> Remainders:
    """A linear map, given by a table for each of the four bytes, of every remainder."""
    image: Remainders = tables[0][state & 0xFF] ^ tables[1][state >> 8 & 0xFF]
    image ^= tables[2][state >> 16 & 0xFF] ^ tables[3][state >> 24]
    return image


@lru_cache
def _zeros_tables(bit: int) -> NDArray[np.uint32]:
    """uint32 (4, 256): the map of 2**bit zero bytes."""
    basis = np.uint32(1) << np.arange(8, dtype=np.uint32)
    if bit == 0:
        images = np.concatenate([_one_zero_byte(basis << np.uint32(8 * i)) for i in range(4)])
    else:
        half = _zeros_tables(bit - 1)
        powers = np.concatenate([basis << np.uint32(8 * i) for i in range(4)])
        images = _apply(half, _apply(half, powers))
    return _tables(images.reshape(4, 8))


@lru_cache
def _step_tables() -> NDArray[np.uint32]:
    """uint32 (4, 256): the map of one step, whose bytes are already in the remainder."""
    return _zeros_tables(STEP.bit_length() - 1)


def _tables(images: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """uint32 (4, 8) images of single bits -> uint32 (4, 256) images of whole bytes."""
    bits = np.arange(256, dtype=np.uint32)[:, None] >> np.arange(8, dtype=np.uint32) & 1
    chosen: NDArray[np.uint32] = np.where(bits == 1, images[:, None, :], np.uint32(0))
    tables: NDArray[np.uint32] = np.bitwise_xor.reduce(chosen, axis=2)
    return tables


def _one_zero_byte(state: Remainders) -> Remainders:
    for _ in range(8):
        state = (state >> np.uint32(1)) ^ (state & np.uint32(1)) * np.uint32(POLYNOMIAL)
    return state
