"""Texts with [MASK] in, the words that probably stood there out.

A candidate of one word piece is scored by the masked language model directly. A target of n pieces
is scored as a whole word: the mask becomes n masks and the pieces are filled in from left to right,

    log P(word) = Σ_j log P(piece_j | pieces before it, masks after it)

n items per word, which share a batch since each one's context is known beforehand. The number of
pieces is given, not predicted, so a word of several pieces is compared on those terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from server.errors import InvalidParameter, MaskTruncated, NoMask, TooManyMasks, UnknownToken
from server.inference.runtime.packing import Item, MaskResult, MaskWant, Result
from server.inference.tasks.plan import Limits, Plan
from server.inference.tokenizer import Tokenizer, require_unicode, too_long

SPECIAL_TOKENS = 2  # [CLS] and [SEP]
MASK = "[MASK]"


class Filling(NamedTuple):
    """One candidate for one mask."""

    score: float
    """Probability over the vocabulary, or over the targets when normalised."""
    token: int | None
    """Id of the token; None for a word of several pieces."""
    token_str: str
    sequence: str
    """The text with the candidate filled in."""
    pieces: tuple[int, ...]
    scored_as: str
    """"token" or "whole_word"."""


@dataclass(frozen=True)
class FillMaskOptions:
    """What a fill-mask request asks besides its texts."""

    top_k: int | None = None
    """Candidates per mask; None for 5, or for all targets."""
    targets: Sequence[Sequence[str]] | None = None
    """Words to score, per text."""
    normalize_targets: bool = False
    truncate: bool = False


DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class _Text:
    """One tokenised text: ids without special tokens, and where its masks are among them."""

    ids: list[int]
    masks: list[int]
    truncated: bool
    targets: tuple[tuple[int, ...], ...]
    """Word pieces of each target; empty when none were given."""


def plan_fill_mask(
    tokenizer: Tokenizer, texts: Sequence[str], options: FillMaskOptions, limits: Limits
) -> Plan[list[list[list[Filling]]]]:
    """The items of a fill-mask request; its answer is text -> mask -> candidates, best first."""
    mask_id = _mask_id(tokenizer)
    prepared = [
        _prepare(tokenizer, mask_id, text, index, options, limits)
        for index, text in enumerate(texts)
    ]
    if sum([len(text.masks) for text in prepared]) > limits.max_masks:
        raise TooManyMasks(
            f"A request may hold {limits.max_masks} masks; split it.", param="inputs"
        )
    items: list[Item] = []
    ends: list[int] = []
    for index, text in enumerate(prepared):
        items.extend(_items(tokenizer, mask_id, text, options, limits, f"inputs[{index}]"))
        ends.append(len(items))

    def finish(results: list[Result]) -> list[list[list[Filling]]]:
        masks = [result for result in results if isinstance(result, MaskResult)]
        starts = [0, *ends[:-1]]
        return [
            _candidates(tokenizer, text, masks[start:end], options)
            for text, start, end in zip(prepared, starts, ends, strict=True)
        ]

    return Plan(items, finish, tuple([text.truncated for text in prepared]))


def _mask_id(tokenizer: Tokenizer) -> int:
    mask_id = tokenizer.special.mask
    if mask_id is None:
        raise ValueError(
            "expected [MASK] in the vocabulary of a model with an MLM head, found none"
        )
    return mask_id


def _prepare(
    tokenizer: Tokenizer,
    mask_id: int,
    text: str,
    index: int,
    options: FillMaskOptions,
    limits: Limits,
) -> _Text:
    """Tokenise, find the masks, and truncate without dropping one."""
    param = f"inputs[{index}]"
    pieces = tokenizer.pieces(text, limits.max_tokens, truncate=options.truncate, param=param)
    room = limits.max_tokens - SPECIAL_TOKENS
    if len(pieces.ids) > room and not options.truncate:
        raise too_long(limits.max_tokens, param)
    kept = pieces.ids[:room]
    masks = [position for position, token in enumerate(kept) if token == mask_id]
    # A mask that the cut went through stands in neither part: look from just before the cut on.
    cut_off = text[-len(pieces.rest) - len(MASK) + 1 :] if pieces.cut else ""
    if mask_id in pieces.ids[room:] or MASK in cut_off:
        raise MaskTruncated(
            f"A mask beyond {limits.max_tokens} tokens would be cut off; shorten the text.",
            param=param,
        )
    if not masks:
        raise NoMask("The text holds no [MASK]; write [MASK] where a word is wanted.", param=param)
    targets = options.targets[index] if options.targets is not None else ()
    truncated = pieces.cut or len(pieces.ids) > room
    return _Text(kept, masks, truncated, _target_pieces(tokenizer, targets))


def _target_pieces(tokenizer: Tokenizer, targets: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Word pieces of each target, duplicates dropped."""
    found: dict[tuple[int, ...], None] = {}
    for number, target in enumerate(targets):
        param = f"parameters.targets[{number}]"
        require_unicode(target, param)
        exact = tokenizer.token_id(target)
        pieces = (exact,) if exact is not None else tokenizer.word(target)
        if not pieces or tokenizer.special.unk in pieces:
            raise UnknownToken("The vocabulary cannot spell this target.", param=param)
        found[pieces] = None
    return tuple(found)


def _items(
    tokenizer: Tokenizer,
    mask_id: int,
    text: _Text,
    options: FillMaskOptions,
    limits: Limits,
    param: str,
) -> list[Item]:
    """First the item that scores single tokens at all masks, then those of whole words."""
    rows = tuple([position + 1 for position in text.masks])
    if not text.targets:
        want = MaskWant(rows, options.top_k or DEFAULT_TOP_K)
        return [Item(tokenizer.assemble(text.ids), want)]
    single = [pieces[0] for pieces in text.targets if len(pieces) == 1]
    targets = tuple((row, token) for row in range(len(rows)) for token in single)
    items = [Item(tokenizer.assemble(text.ids), MaskWant(rows, 1, targets))]
    for position in text.masks:
        for pieces in text.targets:
            if len(pieces) == 1:
                continue
            if len(text.ids) + len(pieces) - 1 > limits.max_tokens - SPECIAL_TOKENS:
                raise too_long(limits.max_tokens, param)
            for filled in range(len(pieces)):
                word = [*pieces[:filled], *[mask_id] * (len(pieces) - filled)]
                ids = _replace(text.ids, position, word)
                step = MaskWant((position + filled + 1,), 1, ((0, pieces[filled]),))
                items.append(Item(tokenizer.assemble(ids), step))
    return items


def _replace(ids: list[int], position: int, word: Sequence[int]) -> list[int]:
    """`ids` with the token at `position` replaced by those of `word`.

    >>> _replace([5, 6, 7], 1, [8, 9])
    [5, 8, 9, 7]
    """
    return [*ids[:position], *word, *ids[position + 1 :]]


def _candidates(
    tokenizer: Tokenizer, text: _Text, results: Sequence[MaskResult], options: FillMaskOptions
) -> list[list[Filling]]:
    """The candidates of each mask of one text, best first."""
    first, *steps = results
    if not text.targets:
        scores = np.exp(first.log_probabilities).tolist()
        return [
            _fillings(tokenizer, text, position, [(token,) for token in ids], own)
            for position, ids, own in zip(text.masks, first.ids.tolist(), scores, strict=True)
        ]
    single = iter(first.target_log_probabilities.tolist())
    chain = iter(steps)
    answer = []
    for position in text.masks:
        # Singles were asked for mask by mask, and so were words: both streams are in this order.
        singles = [next(single) for pieces in text.targets if len(pieces) == 1]
        words = [
            sum(float(next(chain).target_log_probabilities[0]) for _ in pieces)
            for pieces in text.targets
            if len(pieces) > 1
        ]
        one, many = iter(singles), iter(words)
        logs = np.array([next(one if len(p) == 1 else many) for p in text.targets])
        if options.normalize_targets:
            logs -= np.logaddexp.reduce(logs)
        fillings = _fillings(tokenizer, text, position, text.targets, np.exp(logs).tolist())
        fillings.sort(key=lambda filling: -filling.score)
        answer.append(fillings[: options.top_k])
    return answer


def _fillings(
    tokenizer: Tokenizer,
    text: _Text,
    position: int,
    candidates: Sequence[tuple[int, ...]],
    scores: Sequence[float],
) -> list[Filling]:
    """The candidates at one mask, each shown in its text."""
    sequences = tokenizer.decode_each(
        [tokenizer.special.cls, *text.ids[:position]],
        candidates,
        [*text.ids[position + 1 :], tokenizer.special.sep],
        # With other masks left, special tokens stay visible, as transformers shows them.
        skip_special=len(text.masks) == 1,
    )
    return [
        Filling(
            score=score,
            token=pieces[0] if len(pieces) == 1 else None,
            token_str=tokenizer.decode(pieces),
            sequence=sequence,
            pieces=pieces,
            scored_as="token" if len(pieces) == 1 else "whole_word",
        )
        for pieces, score, sequence in zip(candidates, scores, sequences, strict=True)
    ]


def check_fill_mask(options: FillMaskOptions, count: int, limits: Limits) -> None:
    """Raise `InvalidParameter` for options that no text could satisfy."""
    top_k = options.top_k
    if top_k is not None and not 1 <= top_k <= limits.max_top_k:
        raise InvalidParameter(
            f"top_k must be from 1 to {limits.max_top_k}.", param="parameters.top_k"
        )
    if options.targets is None:
        return
    if len(options.targets) != count:
        raise InvalidParameter(
            "Give one list of targets for all texts, or one list per text.",
            param="parameters.targets",
        )
    if any(not targets for targets in options.targets):
        raise InvalidParameter("A list of targets is empty.", param="parameters.targets")
    if max(len(targets) for targets in options.targets) > limits.max_targets:
        raise InvalidParameter(
            f"A mask may have {limits.max_targets} targets.", param="parameters.targets"
        )
