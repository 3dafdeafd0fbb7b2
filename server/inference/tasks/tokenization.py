"""Texts or pairs in, their tokens out as the model would see them; nothing is computed or cut.

Asked for, they come with the embeddings that the encoder adds up for each.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from tokenizers import Encoding

from models.embedding_tables import Embedded
from server.errors import InvalidParameter, TooLong
from server.inference.runtime.packing import Results
from server.inference.tasks.embed import NUMBER_BYTES
from server.inference.tasks.pairs import TextOrPair, length_of
from server.inference.tasks.task import (
    CHARACTER_BYTES,
    Plan,
    Price,
    Proceed,
    ServedModel,
    Task,
    read_each,
)
from server.inference.tokenizer import CHARACTERS_PER_TOKEN, Tokenized, tokenized

MOST_NUMBERS: Final = 64  # of an embedding: enough to see it, too few to take a model's table away
_BEYOND_TOKENS: Final = 1 << 30  # nothing is cut
_TOKEN_BYTES: Final = 1000  # of one token's row, as Python's objects and as JSON
_TABLES: Final = 3  # whose rows are added up


class TokenizationOptions(NamedTuple):
    """What a request asks besides its texts."""

    special: bool = True
    """Add special tokens."""
    numbers: int = 0
    """Of each embedding, from its beginning; `MOST_NUMBERS` at most."""


class Shown(NamedTuple):
    """One text or pair as the model would see it."""

    tokens: Tokenized
    embedded: Embedded | None
    """Where numbers of it are asked for."""


class Tokenization(Task[TextOrPair, TokenizationOptions, list[Shown]]):
    """Everything BERT adds up for each token."""

    name = "tokenize"
    title = "tokens"

    def check(
        self, inputs: Sequence[TextOrPair], options: TokenizationOptions, model: ServedModel
    ) -> None:
        """Refuse texts that are far beyond what the model reads."""
        most = model.manifest.max_tokens * CHARACTERS_PER_TOKEN
        for index, pair in enumerate(inputs):
            if length_of(pair) > most:
                raise TooLong(
                    f"The text is longer than {most} characters; split it.",
                    param=f"inputs[{index}]",
                )

    def price(
        self, inputs: Sequence[TextOrPair], options: TokenizationOptions, model: ServedModel
    ) -> Price:
        """Nothing to compute, but as long a turn as that of a text that is only read."""
        estimate = Price.estimate([length_of(pair) for pair in inputs], _BEYOND_TOKENS, 0)
        return estimate._replace(answer_bytes=estimate.tokens * _token_bytes(model, options))

    def plan(
        self,
        inputs: Sequence[TextOrPair],
        options: TokenizationOptions,
        model: ServedModel,
        proceed: Proceed,
    ) -> Plan[list[Shown]]:
        """No items: the answer is what was read."""
        size = _token_bytes(model, options)
        encodings, price = read_each(
            inputs,
            partial(_read, model, options),
            lambda encoding: Price(0, 0, len(encoding) * size),
            model,
            proceed,
        )
        shown_bytes = sum(map(length_of, inputs)) * CHARACTER_BYTES

        def answer(_: Results) -> list[Shown]:
            return [_shown(model, options, encoding) for encoding in encodings]

        return Plan.of([], answer, [False] * len(inputs), price.answer_bytes + shown_bytes)


def _token_bytes(model: ServedModel, options: TokenizationOptions) -> int:
    """Of memory that the answer takes for one token."""
    numbers = min(options.numbers, model.embeddings.width)
    return _TOKEN_BYTES + _TABLES * NUMBER_BYTES * numbers


def _read(
    model: ServedModel, options: TokenizationOptions, pair: TextOrPair, param: str
) -> Encoding:
    encoding = model.tokenizer.whole(*pair, special=options.special, param=param)
    if options.numbers:
        most = model.manifest.max_tokens
        if len(encoding) > most:
            raise TooLong(
                f"The text is longer than the {most} tokens that the model reads; shorten it, or "
                "ask for no embeddings.",
                param=param,
            )
        if not model.embeddings.tell_apart(np.array(encoding.type_ids, np.int64)):
            raise InvalidParameter(
                "The model has no embedding for a second text; send one text.", param=param
            )
    return encoding


def _shown(model: ServedModel, options: TokenizationOptions, encoding: Encoding) -> Shown:
    """With tokens as the vocabulary has them; the library shows what it read of the text."""
    tokens = tuple([model.tokenizer.token(token_id) for token_id in encoding.ids])
    shown = dataclasses.replace(tokenized(encoding), tokens=tokens)
    if model.tokenizer.spec.words:
        # Of words that MeCab found it is not known where in the text they stood.
        shown = dataclasses.replace(shown, offsets=(None,) * len(tokens))
    if not options.numbers:
        return Shown(shown, None)
    ids, types = np.array(encoding.ids, np.int64), np.array(encoding.type_ids, np.int64)
    return Shown(shown, model.embeddings.read(ids, types, options.numbers))


TOKENIZATION: Final = Tokenization()
