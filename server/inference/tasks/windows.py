"""A text longer than the model reads in, overlapping parts that it can read out."""

from collections.abc import Sequence

from server.errors import TooManyInputs

Window = tuple[int, int]
"""First piece, and the one after the last."""


def count_windows(length: int, room: int, overlap: int) -> int:
    """How many parts there will be.

    >>> count_windows(10, 4, 1), count_windows(3, 4, 1)
    (3, 1)
    """
    return 1 + max(0, -(-(length - room) // (room - overlap)))


def count_tokens(length: int, room: int, overlap: int, around: int) -> int:
    """How many tokens the parts have together, each with some around it.

    >>> count_tokens(10, 4, 1, 2), count_tokens(3, 4, 1, 2)
    (18, 5)
    """
    parts = count_windows(length, room, overlap)
    return length + (parts - 1) * overlap + parts * around


def windows(length: int, room: int, overlap: int) -> list[Window]:
    """Parts of `room` pieces, each sharing `overlap` of them with the one before.

    A piece of the text is in some part with at least `overlap // 2` neighbours on either side,
    where the text has as many.

    >>> windows(10, 4, 1), windows(3, 4, 1)
    ([(0, 4), (3, 7), (6, 10)], [(0, 3)])
    """
    step = room - overlap
    count = count_windows(length, room, overlap)
    return [(start, min(start + room, length)) for start in range(0, count * step, step)]


def require_few(counts: Sequence[int], most: int) -> None:
    """Raise `TooManyInputs` when the texts of a request fall into more than `most` parts."""
    if sum(counts) > most:
        raise TooManyInputs(
            f"The texts fall into more than {most} overlapping parts; send fewer, shorter ones, "
            "or let the parts overlap less.",
            param="inputs",
        )
