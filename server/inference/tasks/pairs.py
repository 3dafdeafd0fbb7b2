"""A text or a pair in, its encoding out, with special tokens around it and cut to fit.

That is `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]` with BERT's tokens; the manifest says which.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from server.errors import InvalidParameter, TooLong
from server.inference.runtime.packing import Item, OutputSpec
from server.inference.tasks.task import ReadItem, ServedModel
from server.inference.tokenizer import Pieces, too_long

Direction = Literal["left", "right"]
TextOrPair = tuple[str, str | None]

TEXT_SPECIALS: Final = 2  # around one text, whatever the tokenizer


class Cut(NamedTuple):
    """Whether what is too long may be cut, and at which end of a text."""

    truncate: bool = False
    direction: Direction | None = None
    """None for the model's own."""

    def end(self, model: ServedModel) -> Direction:
        """The end that is cut."""
        usual: Direction = "left" if model.manifest.truncation_side == "left" else "right"
        return self.direction or usual


def length_of(pair: TextOrPair) -> int:
    """Characters of a text or pair."""
    return len(pair[0]) + len(pair[1] or "")


def require_pairs(model: ServedModel, param: str) -> None:
    """Raise `InvalidParameter` where the model reads single texts only."""
    encoder = model.manifest.architecture
    if encoder.segments and encoder.type_vocab_size == 1:
        raise InvalidParameter("This model reads single texts, no pairs.", param=param)


def read_pair(
    output: OutputSpec, cut: Cut, model: ServedModel, pair: TextOrPair, param: str
) -> ReadItem:
    """The item that asks for `output`, and whether something was cut off.

    Raises:
        TooLong: it has more tokens than the model reads, and must not be cut.
    """
    texts = [text for text in pair if text is not None]
    parts = [read_text(text, cut, model, param) for text in texts]
    return item_of(parts, output, cut, model, param)


def read_text(text: str, cut: Cut, model: ServedModel, param: str) -> Pieces:
    """The pieces of one text of an input."""
    most, end = model.manifest.max_tokens, cut.end(model)
    return model.tokenizer.pieces(text, most, truncate=cut.truncate, cut=end, param=param)


def item_of(
    parts: Sequence[Pieces], output: OutputSpec, cut: Cut, model: ServedModel, param: str
) -> ReadItem:
    """The item of one text or two that were read before, cut to fit; raises as `read_pair` does."""
    most, tokenizer, end = model.manifest.max_tokens, model.tokenizer, cut.end(model)
    paired = len(parts) > 1
    room = most - (tokenizer.spec.pair_specials if paired else TEXT_SPECIALS)
    counts = [len(part.ids) for part in parts]
    over = sum(counts) > room
    if over and not cut.truncate:
        raise _pair_too_long(most, param) if paired else too_long(most, param)
    kept = longest_first(counts[0], counts[1], room) if paired else (min(counts[0], room),)
    ids = [keep(part.ids, count, end) for part, count in zip(parts, kept, strict=True)]
    return Item(tokenizer.assemble(*ids), output), over or any(part.cut for part in parts)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths after dropping tokens from the longer text until both fit into `room`.

    >>> longest_first(10, 4, 12), longest_first(10, 9, 12)
    ((8, 4), (6, 6))
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second, room // 2)
    if first >= second:
        return room - shorter, shorter
    return shorter, room - shorter


def keep(ids: list[int], count: int, cut_end: Direction) -> list[int]:
    """The first `count` of `ids`, or the last where the left end is cut.

    >>> keep([5, 6, 7], 2, "right"), keep([5, 6, 7], 2, "left")
    ([5, 6], [6, 7])
    """
    return ids[:count] if cut_end == "right" else ids[len(ids) - count :]


def _pair_too_long(max_tokens: int, param: str) -> TooLong:
    return TooLong(
        f"The pair is longer than {max_tokens} tokens; shorten it, or set `truncate` to true.",
        param=param,
    )
