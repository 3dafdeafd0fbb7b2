"""Texts in, weights of words of the vocabulary out: a sparse vector for each text.

A masked language model that was trained for it (SPLADE; Formal et al. 2021, arXiv:2107.05720) says
for every word of the vocabulary how much it stands for the text, its own words or others:

    weight of a word = max over the tokens of log(1 + relu(logit of the word at the token))

The vocabulary's logits at all tokens of a text are large, so of a long text with a large vocabulary
some tokens are read at a time, each time by a run of its own. BGE-M3 has a head that weighs the
text's own tokens instead: of one that stands several times the largest weight counts, and special
tokens have none (Chen et al. 2024, arXiv:2402.03216).
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from models.heads import MLM, SPARSE
from models.manifest import ModelManifest
from server.errors import AnswerTooLarge, InvalidParameter
from server.inference.runtime.packing import (
    Encoding,
    Float32,
    Int64,
    Item,
    Results,
    TokenLogits,
    WordResult,
    WordWeights,
    heaviest,
    results_as,
)
from server.inference.tasks.embed import EMBED, EmbedOptions, Text, reader
from server.inference.tasks.task import Plan, Price, Proceed, ServedModel, Task, read_each
from server.inference.tokenizer import Tokenizer

# Words of one text, unless the request says how many. Models that were trained for it give a few
# hundred; one that was not gives as many as the vocabulary has, of which nobody would know that
# some are missing.
MOST_WORDS: Final = 1024
_WORD_BYTES: Final = 96  # of one word and its weight, as arrays and as JSON
_TEXT_BYTES: Final = 256


class SparseOptions(NamedTuple):
    """What a request asks besides its texts."""

    embed: EmbedOptions = EmbedOptions()
    """Whether they may be cut, and their prompt."""
    max_active_dims: int | None = None
    """The heaviest words that are kept of each text; None for all, `MOST_WORDS` at most."""

    @property
    def most(self) -> int:
        """Words of one text at most."""
        return self.max_active_dims or MOST_WORDS


class _Text(NamedTuple):
    encoding: Encoding
    runs: int
    """In how many runs the vocabulary is read."""
    cut: bool

    @property
    def tokens(self) -> int:
        """That are computed."""
        return self.runs * len(self.encoding)


class EmbedSparse(Task[Text, SparseOptions, list[WordResult]]):
    """The words of each text and their weights."""

    name = "embed_sparse"
    title = SPARSE.title

    def able(self, manifest: ModelManifest) -> bool:
        """Whether the graph gives them."""
        return manifest.sparse or SPARSE.name in manifest.heads

    def lack(self, manifest: ModelManifest) -> str:
        """A masked language model's graph gives them only where it is exported so."""
        if MLM.name not in manifest.heads:
            return super().lack(manifest)
        return (
            "was exported without sparse vectors; if it was trained for them, export it with "
            "--sparse"
        )

    def check(self, inputs: Sequence[Text], options: SparseOptions, model: ServedModel) -> None:
        """Refuse what the model cannot do."""
        most, asked = model.manifest.architecture.vocab_size, options.max_active_dims
        if asked is not None and not 1 <= asked <= most:
            raise InvalidParameter(
                f"max_active_dims must be from 1 to {most}.", param="max_active_dims"
            )
        EMBED.check(inputs, EmbedOptions(prompt_name=options.embed.prompt_name), model)

    def price(self, inputs: Sequence[Text], options: SparseOptions, model: ServedModel) -> Price:
        """One item a text, or some of a long one."""
        lengths = [len(text) for text in inputs]
        most = model.manifest.pooling.max_tokens
        return Price.estimate(lengths, most, _answer_bytes(len(inputs), options))

    def plan(
        self, inputs: Sequence[Text], options: SparseOptions, model: ServedModel, proceed: Proceed
    ) -> Plan[list[WordResult]]:
        """The answer has words in the order of their numbers."""
        proceed()
        read = reader(options.embed, model)

        def text(given: Text, param: str) -> _Text:
            encoding, _, cut = read(given, param)
            return _Text(encoding, _runs(len(encoding), model), cut)

        def price(one: _Text) -> Price:
            return Price(0, one.tokens, _answer_bytes(1, options))

        texts, total = read_each(inputs, text, price, model, proceed)

        def items() -> list[Item]:
            return [item for one in texts for item in _items(one, options, model)]

        def answer(results: Results) -> list[WordResult]:
            stream = iter(_weighed(results, texts, options, model))
            found = [_joined([next(stream) for _ in range(one.runs)], options) for one in texts]
            for index, one in enumerate(found):
                if options.max_active_dims is None and one.found > len(one.words):
                    raise AnswerTooLarge(
                        f"More than {MOST_WORDS} words stand for this text, as is the case with a "
                        "model that was not trained for sparse vectors; set max_active_dims to "
                        "have the heaviest.",
                        param=f"inputs[{index}]",
                    )
            return found

        return Plan(total, items, answer, tuple([one.cut for one in texts]))


def _answer_bytes(count: int, options: SparseOptions) -> int:
    return count * (_TEXT_BYTES + options.most * _WORD_BYTES)


def _runs(tokens: int, model: ServedModel) -> int:
    """In how many runs a text's tokens are read, each a row of logits of the whole vocabulary."""
    if SPARSE.name in model.manifest.heads:
        return 1
    return -(-tokens // model.memory.masks(tokens))


def _items(text: _Text, options: SparseOptions, model: ServedModel) -> Iterator[Item]:
    """The items of a text, each of which reads some of its rows."""
    rows = np.arange(len(text.encoding))
    if SPARSE.name in model.manifest.heads:
        yield Item(text.encoding, TokenLogits(SPARSE, rows))
        return
    for some in np.array_split(rows, text.runs):  # of about one size, so that none is tiny
        yield Item(text.encoding, WordWeights(some, options.most))


def _weighed(
    results: Results, texts: Sequence[_Text], options: SparseOptions, model: ServedModel
) -> list[WordResult]:
    """The words of each item."""
    if SPARSE.name not in model.manifest.heads:
        return results_as(WordResult, results)
    logits = results_as(np.ndarray, results)
    return [
        _of_tokens(text.encoding.ids, own[:, 0], options.most, model.tokenizer)
        for text, own in zip(texts, logits, strict=True)
    ]


def _of_tokens(ids: Int64, logits: Float32, most: int, tokenizer: Tokenizer) -> WordResult:
    """The tokens of a text and the largest weight of each: (tokens,), (tokens,)."""
    special = tokenizer.special
    unused = [
        special.cls,
        special.sep,
        special.unk,
        special.cls if special.pad is None else special.pad,
    ]
    words, place = np.unique(ids, return_inverse=True)
    weights = np.zeros(len(words), np.float32)
    np.maximum.at(weights, place, np.where(np.isin(ids, unused), np.float32(0), logits))
    kept = heaviest(np.flatnonzero(weights), weights, most)
    return WordResult(words[kept.words], kept.weights, kept.found)


def _joined(parts: Sequence[WordResult], options: SparseOptions) -> WordResult:
    """The words of all parts of a text, each with its largest weight."""
    if len(parts) == 1:
        return parts[0]
    words, place = np.unique(np.concatenate([part.words for part in parts]), return_inverse=True)
    weights = np.zeros(len(words), np.float32)
    np.maximum.at(weights, place, np.concatenate([part.weights for part in parts]))
    kept = heaviest(np.arange(len(words)), weights, options.most)
    found = max(kept.found, *(part.found for part in parts))
    return WordResult(words[kept.words], kept.weights, found)


EMBED_SPARSE: Final = EmbedSparse()
