"""Token ids in, the text that they spell out; nothing is computed."""

from collections.abc import Sequence
from typing import Final

from server.errors import TooLong
from server.inference.runtime.packing import Results
from server.inference.tasks.task import (
    CHARACTER_BYTES,
    CHARACTERS_PER_TOKEN,
    Plan,
    Price,
    Proceed,
    ServedModel,
    Task,
    read_each,
)
from server.inference.tokenizer import CHARACTERS_PER_TOKEN as MOST_CHARACTERS
from server.inference.tokenizer import require_known

Ids = Sequence[int]

_BEYOND_TOKENS: Final = 1 << 30  # nothing is cut
_TEXT_BYTES: Final = 128  # of a text, beside its characters


class Decoding(Task[Ids, bool, list[str]]):
    """The text of each list of ids; the option is whether special tokens are left out."""

    name = "decode"
    title = "text"

    def check(self, inputs: Sequence[Ids], options: bool, model: ServedModel) -> None:
        """Refuse lists that are far beyond what the model reads."""
        most = model.manifest.max_tokens * MOST_CHARACTERS
        for index, ids in enumerate(inputs):
            if len(ids) > most:
                raise TooLong(
                    f"The list has more than {most} token ids; split it.", param=f"inputs[{index}]"
                )

    def price(self, inputs: Sequence[Ids], options: bool, model: ServedModel) -> Price:
        """Nothing to compute, but as long a turn as that of texts that are only read."""
        lengths = [CHARACTERS_PER_TOKEN * len(ids) for ids in inputs]
        size = _TEXT_BYTES * len(inputs) + CHARACTER_BYTES * sum(lengths)
        return Price.estimate(lengths, _BEYOND_TOKENS, size)

    def plan(
        self, inputs: Sequence[Ids], options: bool, model: ServedModel, proceed: Proceed
    ) -> Plan[list[str]]:
        """No items: the answer is what was read."""
        tokenizer = model.tokenizer

        def read(ids: Ids, param: str) -> str:
            require_known(ids, tokenizer.vocab_size, param)
            return tokenizer.written(ids, skip_special=options)

        texts, price = read_each(inputs, read, _price, model, proceed)

        def answer(_: Results) -> list[str]:
            return texts

        return Plan.of([], answer, [False] * len(inputs), price.answer_bytes)


def _price(text: str) -> Price:
    return Price(0, 0, _TEXT_BYTES + CHARACTER_BYTES * len(text))


DECODING: Final = Decoding()
