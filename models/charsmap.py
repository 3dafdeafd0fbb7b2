"""A SentencePiece normaliser's table in, whether the tokenizers library can read it out.

The table is a trie in a double array (Darts) and the texts that its leaves point to. The library
follows it without looking where it leads: a damaged one ends the process's thread in the middle of
a request. So every unit that a text could reach is visited once, before anything is loaded.
"""

import base64
import binascii
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_CHARSMAP_CHARS: Final = 2 << 20  # of base64; the largest in use, nmt_nfkc_cf, takes 400,000
_BYTES: Final = 256
_UNIT: Final = 4  # bytes of a unit, and of the trie's size before it

Units = NDArray[np.uint32]


def is_sound(charsmap: str) -> bool:
    """Whether each way through a table, in base64, stays within it and ends at a text.

    >>> is_sound(""), is_sound("AAAA")
    (False, False)
    """
    if len(charsmap) > MAX_CHARSMAP_CHARS:
        return False
    try:
        blob = base64.b64decode(charsmap, validate=True)
    except (binascii.Error, ValueError):
        return False
    size = int.from_bytes(blob[:_UNIT], "little")
    if size < _UNIT or size % _UNIT or size + _UNIT > len(blob):
        return False
    units: Units = np.frombuffer(blob, "<u4", size // _UNIT, _UNIT).astype(np.uint32)
    leaves = _leaves(units)
    return leaves is not None and _point_at_texts(leaves, blob[_UNIT + size :])


def _leaves(units: Units) -> NDArray[np.int64] | None:
    """Values of all leaves that can be reached, uint32 (leaves,); None where a way leads out."""
    seen = np.zeros(len(units), bool)
    values: set[int] = set()
    reached = np.array([0])  # (nodes,)
    while len(reached):
        seen[reached] = True
        bases = reached ^ _offsets(units[reached])  # where the children of each node lie
        if (bases | (_BYTES - 1)).max() >= len(units):
            return None
        has_leaf = (units[reached] >> 8) & 1 == 1
        values.update((units[bases[has_leaf]] & 0x7FFFFFFF).tolist())
        children = bases[:, None] ^ np.arange(1, _BYTES)  # (nodes, 255)
        # A unit is a child by this byte if it is labelled with it; leaves have the top bit set.
        labelled = units[children] & 0x800000FF == np.arange(1, _BYTES)
        found = np.unique(children[labelled])
        reached = found[~seen[found]]
    return np.array(sorted(values), np.int64)


def _offsets(units: Units) -> NDArray[np.int64]:
    return ((units >> 10) << ((units & (1 << 9)) >> 6)).astype(np.int64)


def _point_at_texts(leaves: NDArray[np.int64], texts: bytes) -> bool:
    """Whether all are places in UTF-8 text where a character begins."""
    try:
        texts.decode()
    except UnicodeDecodeError:
        return False
    if not len(leaves):
        return True
    if leaves[-1] >= len(texts):
        return False
    return not any(texts[place] & 0xC0 == 0x80 for place in leaves.tolist())
