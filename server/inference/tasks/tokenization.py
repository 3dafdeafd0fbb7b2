"""Texts or pairs in, their tokens out as the model would see them; nothing is computed or cut."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from server.errors import TooLong
from server.inference.runtime.packing import Result
from server.inference.tasks.pairs import TextOrPair, length_of
from server.inference.tasks.task import CHARACTER_BYTES, Plan, Price, Proceed, ServedModel, Task
from server.inference.tokenizer import CHARACTERS_PER_TOKEN, Tokenized

_BEYOND_TOKENS: Final = 1 << 30  # nothing is cut
_TOKEN_BYTES: Final = 1000  # of one token's row, as Python's objects and as JSON


class Tokenization(Task[TextOrPair, bool, list[Tokenized]]):
    """Everything BERT adds up for each token; the option is whether to add [CLS] and [SEP]."""

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
        """Nothing to compute."""
        estimate = Price.estimate([length_of(pair) for pair in inputs], _BEYOND_TOKENS, 0)
        return replace(estimate, tokens=0, answer_bytes=estimate.tokens * _TOKEN_BYTES)

    def plan(
        self,
        inputs: Sequence[TextOrPair],
        options: bool,
        model: ServedModel,
        proceed: Proceed,
    ) -> Plan[list[Tokenized]]:
        """No items: the answer is what was read."""
        shown = []
        for index, (first, second) in enumerate(inputs):
            proceed()
            param = f"inputs[{index}]"
            shown.append(model.tokenizer.show(first, second, special=options, param=param))

        def answer(_: Sequence[Result]) -> list[Tokenized]:
            return shown

        size = sum([len(one.ids) for one in shown]) * _TOKEN_BYTES
        size += sum(map(length_of, inputs)) * CHARACTER_BYTES  # all unknown words may be one token
        return Plan.of([], answer, [False] * len(inputs), size)


TOKENIZATION: Final = Tokenization()
