"""A text with masks in, its tokens and where its masks are among them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from server.errors import MaskTruncated, NoMask, TooManyMasks
from server.inference.tasks.pairs import TEXT_SPECIALS
from server.inference.tasks.task import ServedModel
from server.inference.tokenizer import Tokenizer, too_long
from server.settings import Limits

# Memory of one candidate while an answer is put together, beside its sequence; measured at 10⁵.
CANDIDATE_BYTES: Final = 400
PIECE_BYTES: Final = 128  # and of each piece of a longer one, by itself and in its sequence


@dataclass(frozen=True)
class MaskedText:
    """One tokenised text: ids without special tokens, and where its masks are among them."""

    ids: list[int]
    masks: list[int]
    truncated: bool
    shown: int
    """Bytes of the text as answers show it: unknown words as [UNK], blanks around punctuation."""


def mask_id(tokenizer: Tokenizer) -> int:
    """The id of the mask, which the vocabulary of a model that fills masks has."""
    found = tokenizer.special.mask
    if found is None:
        raise ValueError(
            f"expected {tokenizer.spec.mask} in the vocabulary of a model with an MLM head"
        )
    return found


def read_masked(
    text: str, model: ServedModel, *, truncate: bool, param: str, pieces_a_mask: int = 1
) -> MaskedText:
    """Tokenise, find the masks, and truncate without dropping one.

    `pieces_a_mask` is of how many pieces the longest word is that one mask is to be filled with.

    Raises:
        NoMask: there is none.
        MaskTruncated: one would be cut off.
        TooManyMasks: a run of the text alone would take more memory than it may.
        TooLong: the text is longer than the model reads, or would be with such a word.
    """
    tokenizer = model.tokenizer
    most, mask = model.manifest.max_tokens, mask_id(tokenizer)
    pieces = tokenizer.pieces(text, most, truncate=truncate, param=param)
    room = most - TEXT_SPECIALS
    if len(pieces.ids) > room and not truncate:
        raise too_long(most, param)
    kept = pieces.ids[:room]
    masks = [position for position, token in enumerate(kept) if token == mask]
    spelled = tokenizer.spec.mask
    if mask in pieces.ids[room:] or spelled in pieces.rest:
        raise MaskTruncated(
            f"A mask beyond {most} tokens would be cut off; shorten the text.", param=param
        )
    if not masks:
        raise NoMask(
            f"The text holds no {spelled}; write {spelled} where a word is wanted.", param=param
        )
    if len(kept) + pieces_a_mask - 1 > room:
        raise too_long(most, param)
    if len(masks) > (few := model.memory.masks(len(kept) + TEXT_SPECIALS)):
        raise TooManyMasks(
            f"The text holds {len(masks)} masks, and one of its length may have {few}, which take "
            f"the {model.memory.most} bytes that a run may take on this server (--run-bytes); "
            "split it.",
            param=param,
        )
    cut = pieces.cut or len(pieces.ids) > room
    return MaskedText(kept, masks, cut, tokenizer.spelled_bytes(kept))


def require_few_masks(texts: Sequence[MaskedText], limits: Limits) -> None:
    """Raise `TooManyMasks` when the texts of a request hold more than it may."""
    if sum([len(text.masks) for text in texts]) > limits.max_masks:
        raise TooManyMasks(
            f"A request may hold {limits.max_masks} masks; split it.", param="inputs"
        )


def filled(ids: Sequence[int], position: int, word: Sequence[int]) -> list[int]:
    """`ids` with the token at `position` replaced by those of `word`.

    >>> filled([5, 6, 7], 1, [8, 9])
    [5, 8, 9, 7]
    """
    return [*ids[:position], *word, *ids[position + 1 :]]
