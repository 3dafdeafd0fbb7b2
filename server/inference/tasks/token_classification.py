"""Texts in, what of them has a label out: tokens, or entities that several tokens make up.

A text that the model cannot read at once is refused, cut, or, with a stride, read in overlapping
parts. How tokens become entities is told in `entities`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

import numpy as np

from models.heads import TOKEN
from models.probabilities import softmax
from server.errors import InvalidParameter
from server.inference.runtime.packing import Item, Results, TokenLogits, results_as
from server.inference.tasks.entities import (
    Entity,
    Strategy,
    Tokens,
    find_entities,
    without_overlaps,
    words_between_blanks,
)
from server.inference.tasks.pairs import TEXT_SPECIALS
from server.inference.tasks.task import (
    CHARACTER_BYTES,
    Plan,
    Price,
    Proceed,
    ServedModel,
    Task,
    pieces_allowed,
    read_each,
)
from server.inference.tasks.windows import Window, count_tokens, count_windows, require_few, windows
from server.inference.tokenizer import Located, Tokenizer, too_long

OUTSIDE: Final = "O"
_TOKEN_BYTES: Final = 512  # of one token's place and entity, while an answer is put together
_SCORE_BYTES: Final = 28  # and of each of its scores: a logit, a probability, and one on the way


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
    """One tokenised text and how it falls into the parts in which it is read."""

    text: str
    pieces: Located
    room: int
    """Tokens of a part."""
    overlap: int
    read: int
    """Tokens that are read, from the first on."""

    @property
    def count(self) -> int:
        """Parts."""
        return count_windows(self.read, self.room, self.overlap)

    @property
    def parts(self) -> list[Window]:
        """The parts themselves."""
        return windows(self.read, self.room, self.overlap)

    @property
    def characters(self) -> int:
        """What is read; an unknown word of any length is one token."""
        return self.pieces.spans[self.read - 1][1]

    @property
    def truncated(self) -> bool:
        """Whether something of the text is not read."""
        return self.pieces.cut or self.read < len(self.pieces.ids)


EntitiesByText = list[list[Entity]]
"""Entities of each text, in its order."""


class TokenClassification(Task[str, EntityOptions, EntitiesByText]):
    """What of each text has a label: words or runs of words, in their order."""

    name = "token-classification"
    title = TOKEN.title
    head = TOKEN

    def check(self, inputs: Sequence[str], options: EntityOptions, model: ServedModel) -> None:
        """Refuse options that no text could satisfy."""
        if options.stride is None:
            return
        room = model.manifest.max_tokens - TEXT_SPECIALS
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

    def price(self, inputs: Sequence[str], options: EntityOptions, model: ServedModel) -> Price:
        """Every token of a text, or those that the model reads at once."""
        lengths = [len(text) for text in inputs]
        longest = max(lengths, default=0)
        most = model.manifest.max_tokens if options.stride is None else longest
        estimate = Price.estimate(lengths, most, 0)
        return estimate._replace(answer_bytes=estimate.tokens * _token_bytes(model))

    def plan(
        self, inputs: Sequence[str], options: EntityOptions, model: ServedModel, proceed: Proceed
    ) -> Plan[EntitiesByText]:
        """One item per part of a text; the answer is text -> entities in their order."""
        tokenizer = model.tokenizer
        read = partial(_read, options, model, pieces_allowed(model, proceed))
        texts, price = read_each(inputs, read, partial(_price, model), model, proceed)
        require_few([text.count for text in texts], model.limits.max_inputs)

        def items() -> list[Item]:
            return [_item(tokenizer, text.pieces, part) for text in texts for part in text.parts]

        def answer(results: Results) -> EntitiesByText:
            entities = iter(
                find_entities(
                    [_tokens(tokenizer, text, part) for text in texts for part in text.parts],
                    softmax(np.concatenate(results_as(np.ndarray, results))),
                    model.manifest.labels,
                    options.strategy,
                    options.ignore,
                    tokenizer.join,
                )
            )
            return [_of_text([next(entities) for _ in text.parts]) for text in texts]

        return Plan(price, items, answer, tuple([text.truncated for text in texts]))

    def sample(self) -> TokenLogits:
        """The logits of two tokens."""
        return TokenLogits(TOKEN, np.arange(2))


def _read(
    options: EntityOptions,
    model: ServedModel,
    so_far: Callable[[int], None],
    text: str,
    param: str,
) -> _Text:
    """Tokenise, and decide in which parts the text is read."""
    most = model.manifest.max_tokens
    at_once = most if options.stride is None else None
    pieces = model.tokenizer.located(
        text, at_once, truncate=options.truncate, param=param, so_far=so_far
    )
    count, room = len(pieces.ids), most - TEXT_SPECIALS
    if options.stride is not None:
        return _Text(text, pieces, room, options.stride, count)
    if count > room and not options.truncate:
        raise too_long(most, param)
    return _Text(text, pieces, room, 0, min(count, room))


def _price(model: ServedModel, text: _Text) -> Price:
    tokens = count_tokens(text.read, text.room, text.overlap, TEXT_SPECIALS)
    return Price(0, tokens, tokens * _token_bytes(model) + text.characters * CHARACTER_BYTES)


def _token_bytes(model: ServedModel) -> int:
    return _TOKEN_BYTES + _SCORE_BYTES * len(model.manifest.labels)


def _item(tokenizer: Tokenizer, pieces: Located, part: Window) -> Item:
    start, end = part
    rows = np.arange(1, end - start + 1)  # all but [CLS] and [SEP]
    return Item(tokenizer.assemble(pieces.ids[start:end]), TokenLogits(TOKEN, rows))


def _tokens(tokenizer: Tokenizer, text: _Text, part: Window) -> Tokens:
    """The tokens of one part; one that the vocabulary lacks is shown as it was written."""
    ids, spans = text.pieces.ids[slice(*part)], text.pieces.spans[slice(*part)]
    shown = [
        text.text[slice(*span)] if token_id == tokenizer.special.unk else tokenizer.token(token_id)
        for token_id, span in zip(ids, spans, strict=True)
    ]
    words = text.pieces.words[slice(*part)]
    if not tokenizer.marks_words:
        unknown = [token_id == tokenizer.special.unk for token_id in ids]
        words = words_between_blanks(text.text, spans, unknown)
    return Tokens(shown, spans, words)


def _of_text(parts: Sequence[list[Entity]]) -> list[Entity]:
    """The entities of one text, of those that were found in its parts."""
    return without_overlaps(list(chain.from_iterable(parts))) if len(parts) > 1 else parts[0]


TOKEN_CLASSIFICATION: Final = TokenClassification()
