"""Texts in, what of them has a label out: tokens, or entities that several tokens make up.

A text that the model cannot read at once is refused, cut, or, with a stride, read in overlapping
parts. How tokens become entities is told in `entities`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.manifest import ModelManifest
from models.probabilities import softmax
from server.errors import InvalidParameter
from server.inference.runtime.packing import Float32, Item, MaskResult, Result, TokenWant
from server.inference.tasks.entities import (
    Entity,
    Strategy,
    Tokens,
    find_entities,
    without_overlaps,
)
from server.inference.tasks.plan import Limits, Plan
from server.inference.tasks.windows import Window, require_few, windows
from server.inference.tokenizer import Located, Tokenizer, too_long

SPECIAL_TOKENS: Final = 2  # [CLS] and [SEP]
OUTSIDE: Final = "O"


@dataclass(frozen=True)
class EntityOptions:
    """What a request asks besides its texts."""

    strategy: Strategy = "simple"
    ignore: frozenset[str] = frozenset({OUTSIDE})
    """Labels or groups that are left out."""
    stride: int | None = None
    """Tokens that the parts of a long text share; None for reading it at once."""
    truncate: bool = False


@dataclass(frozen=True)
class _Text:
    """One tokenised text and the parts in which it is read."""

    text: str
    pieces: Located
    parts: list[Window]
    truncated: bool = False


def check_entities(options: EntityOptions, limits: Limits) -> None:
    """Raise `InvalidParameter` for options that no text could satisfy."""
    if options.stride is None:
        return
    room = limits.max_tokens - SPECIAL_TOKENS
    if not 0 <= options.stride < room:
        raise InvalidParameter(
            f"stride must be from 0 to {room - 1}: the model reads {room} tokens at a time.",
            param="parameters.stride",
        )
    if options.strategy == "none":
        raise InvalidParameter(
            "A stride needs an aggregation_strategy other than none, as tokens that two parts "
            "share would be listed twice.",
            param="parameters.stride",
        )


def plan_entities(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    options: EntityOptions,
    manifest: ModelManifest,
    limits: Limits,
) -> Plan[list[list[Entity]]]:
    """One item per part of a text; the answer is text -> entities in their order."""
    prepared = [
        _prepare(tokenizer, text, options, limits, f"inputs[{index}]")
        for index, text in enumerate(texts)
    ]
    require_few([text.parts for text in prepared], limits.max_items)
    items = [_item(tokenizer, text.pieces, part) for text in prepared for part in text.parts]

    def finish(results: list[Result]) -> list[list[Entity]]:
        logits = iter([result for result in results if not isinstance(result, MaskResult)])
        return [
            _entities(tokenizer, text, [next(logits) for _ in text.parts], manifest.labels, options)
            for text in prepared
        ]

    return Plan(items, finish, tuple(text.truncated for text in prepared))


def _prepare(
    tokenizer: Tokenizer, text: str, options: EntityOptions, limits: Limits, param: str
) -> _Text:
    """Tokenise, and decide in which parts the text is read."""
    at_once = limits.max_tokens if options.stride is None else None
    pieces = tokenizer.located(text, at_once, truncate=options.truncate, param=param)
    count, room = len(pieces.ids), limits.max_tokens - SPECIAL_TOKENS
    if options.stride is not None:
        return _Text(text, pieces, windows(count, room, options.stride))
    if count > room and not options.truncate:
        raise too_long(limits.max_tokens, param)
    return _Text(text, pieces, [(0, min(count, room))], count > room or pieces.cut)


def _item(tokenizer: Tokenizer, pieces: Located, part: Window) -> Item:
    start, end = part
    rows = np.arange(1, end - start + 1)  # all but [CLS] and [SEP]
    return Item(tokenizer.assemble(pieces.ids[start:end]), TokenWant("token", rows))


def _entities(
    tokenizer: Tokenizer,
    text: _Text,
    logits: Sequence[Float32],
    labels: Sequence[str],
    options: EntityOptions,
) -> list[Entity]:
    """The entities of one text; `logits` are float32 (tokens, labels) for each of its parts."""
    found = [
        entity
        for (start, end), part in zip(text.parts, logits, strict=True)
        for entity in find_entities(
            _tokens(tokenizer, text, start, end),
            softmax(part),
            labels,
            options.strategy,
            options.ignore,
            tokenizer.join,
        )
    ]
    return without_overlaps(found) if len(text.parts) > 1 else found


def _tokens(tokenizer: Tokenizer, text: _Text, start: int, end: int) -> Tokens:
    """The tokens of one part; one that the vocabulary lacks is shown as it was written."""
    ids, spans = text.pieces.ids[start:end], text.pieces.spans[start:end]
    shown = [
        text.text[slice(*span)] if token_id == tokenizer.special.unk else tokenizer.token(token_id)
        for token_id, span in zip(ids, spans, strict=True)
    ]
    return Tokens(shown, spans, text.pieces.words[start:end])
