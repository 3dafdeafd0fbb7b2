"""Texts in, a vector for each of their tokens out: rows of the last layer, special tokens too.

Where a model has a head that makes the vectors of late interaction (Khattab and Zaharia 2020,
arXiv:2004.12832) of these rows, as BGE-M3 does, they may be asked for instead: of length 1, without
that of the first token, as its authors use them.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from models.heads import MULTI_VECTOR
from server.errors import InvalidParameter
from server.inference.runtime.packing import (
    LAST_LAYER,
    Item,
    Results,
    TokenLogits,
    TokenVectors,
    results_as,
)
from server.inference.tasks.embed import (
    EMBED,
    NUMBER_BYTES,
    EmbedOptions,
    Reader,
    Text,
    Vectors,
    reader,
    shape_vectors,
)
from server.inference.tasks.task import (
    Plan,
    Price,
    Proceed,
    ReadItem,
    ServedModel,
    Task,
    read_each,
)

_ROW_BYTES: Final = 128  # of one token's vector, beside its numbers


class EmbedAllOptions(NamedTuple):
    """What a request asks besides its texts; without `normalize` rows are as the encoder has them.

    Its pooling means nothing here.
    """

    embed: EmbedOptions = EmbedOptions()
    multi_vector: bool = False
    """The vectors of late interaction."""


class EmbedAll(Task[Text, EmbedAllOptions, list[Vectors]]):
    """For each text, or list of token ids: float32 (tokens, dimensions)."""

    name = "embed_all"
    title = "token embeddings"

    def check(self, inputs: Sequence[Text], options: EmbedAllOptions, model: ServedModel) -> None:
        """Refuse what the model cannot do."""
        asked, manifest = options.embed, model.manifest
        if options.multi_vector and MULTI_VECTOR.name not in manifest.heads:
            raise InvalidParameter(
                f"The model's checkpoint had no {MULTI_VECTOR.title} head.", param="multi_vector"
            )
        if asked.layer not in (None, LAST_LAYER):
            raise InvalidParameter("Single tokens are read of the last layer.", param="layer")
        hidden = manifest.architecture.hidden_size
        if asked.dimensions is not None and not 1 <= asked.dimensions <= hidden:
            raise InvalidParameter(f"dimensions must be from 1 to {hidden}.", param="dimensions")
        EMBED.check(inputs, EmbedOptions(prompt_name=asked.prompt_name), model)

    def price(self, inputs: Sequence[Text], options: EmbedAllOptions, model: ServedModel) -> Price:
        """One item a text."""
        lengths = [len(text) for text in inputs]
        price = Price.estimate(lengths, model.manifest.pooling.max_tokens, 0)
        size = _answer_bytes(price.tokens, len(inputs), options, model)
        return price._replace(answer_bytes=size)

    def plan(
        self,
        inputs: Sequence[Text],
        options: EmbedAllOptions,
        model: ServedModel,
        proceed: Proceed,
    ) -> Plan[list[Vectors]]:
        """One item a text; the answer has a row for each token that is read of it."""
        proceed()
        read = reader(options.embed, model)

        def item(text: Text, param: str) -> ReadItem:
            return _item(read, options, text, param)

        def price(one: ReadItem) -> Price:
            tokens = len(one[0].encoding.ids)
            return Price(0, tokens, _answer_bytes(tokens, 1, options, model))

        found, total = read_each(inputs, item, price, model, proceed)

        def answer(results: Results) -> list[Vectors]:
            normalize = options.embed.normalize
            unit = options.multi_vector if normalize is None else normalize
            rows = results_as(np.ndarray, results)
            return [shape_vectors(own, options.embed.dimensions, unit) for own in rows]

        items = [one for one, _ in found]
        return Plan(total, lambda: items, answer, tuple([cut for _, cut in found]))

    def sample(self) -> TokenVectors:
        """The first token's row."""
        return TokenVectors(np.zeros(1, np.int64))


def _item(read: Reader, options: EmbedAllOptions, text: Text, param: str) -> ReadItem:
    encoding, _, cut = read(text, param)
    if options.multi_vector:
        rows = np.arange(1, len(encoding))
        return Item(encoding, TokenLogits(MULTI_VECTOR, rows)), cut
    return Item(encoding, TokenVectors(np.arange(len(encoding)))), cut


def _answer_bytes(tokens: int, texts: int, options: EmbedAllOptions, model: ServedModel) -> int:
    width = options.embed.dimensions or model.manifest.architecture.hidden_size
    return tokens * (_ROW_BYTES + NUMBER_BYTES * width) + texts * _ROW_BYTES


EMBED_ALL: Final = EmbedAll()
