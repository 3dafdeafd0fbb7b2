"""Texts or pairs in, their tokens out as the model would see them; nothing is computed or cut."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Final

from tokenizers import Encoding

from server.errors import TooLong
from server.inference.runtime.packing import Results
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

_BEYOND_TOKENS: Final = 1 << 30  # nothing is cut
_TOKEN_BYTES: Final = 1000  # of one token's row, as Python's objects and as JSON


class Tokenization(Task[TextOrPair, bool, list[Tokenized]]):
    """Everything BERT adds up for each token; the option is whether to add special tokens."""

    name = "tokenize"
    title = "tokens"

    def check(self, inputs: Sequence[TextOrPair], options: bool, model: ServedModel) -> None:
        """Refuse texts that are far beyond what the model reads."""
        most = model.manifest.max_tokens * CHARACTERS_PER_TOKEN
        for index, pair in enumerate(inputs):
            if length_of(pair) > most:
                raise TooLong(
                    f"The text is longer than {most} characters; split it.",
                    param=f"inputs[{index}]",
                )

    def price(self, inputs: Sequence[TextOrPair], options: bool, model: ServedModel) -> Price:
        """Nothing to compute, but as long a turn as that of a text that is only read."""
        estimate = Price.estimate([length_of(pair) for pair in inputs], _BEYOND_TOKENS, 0)
        return estimate._replace(answer_bytes=estimate.tokens * _TOKEN_BYTES)

    def plan(
        self, inputs: Sequence[TextOrPair], options: bool, model: ServedModel, proceed: Proceed
    ) -> Plan[list[Tokenized]]:
        """No items: the answer is what was read."""
        encodings, price = read_each(inputs, partial(_read, model, options), _price, model, proceed)
        shown_bytes = sum(map(length_of, inputs)) * CHARACTER_BYTES

        def answer(_: Results) -> list[Tokenized]:
            return [_shown(model, encoding) for encoding in encodings]

        return Plan.of([], answer, [False] * len(inputs), price.answer_bytes + shown_bytes)


def _read(model: ServedModel, special: bool, pair: TextOrPair, param: str) -> Encoding:
    return model.tokenizer.whole(*pair, special=special, param=param)


def _shown(model: ServedModel, encoding: Encoding) -> Tokenized:
    """With tokens as the vocabulary has them; the library shows what it read of the text."""
    tokens = tuple([model.tokenizer.token(token_id) for token_id in encoding.ids])
    shown = dataclasses.replace(tokenized(encoding), tokens=tokens)
    if not model.tokenizer.spec.words:
        return shown
    # Of words that MeCab found it is not known where in the text they stood.
    return dataclasses.replace(shown, offsets=(None,) * len(tokens))


def _price(encoding: Encoding) -> Price:
    return Price(0, 0, len(encoding) * _TOKEN_BYTES)


TOKENIZATION: Final = Tokenization()
