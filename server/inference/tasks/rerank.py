"""A query and documents in, the documents by falling relevance out.

Each document is read in one pair with the query, as cross-encoders are trained (Nogueira and Cho
2019, arXiv:1901.04085), by the head that classifies texts. The query is read once.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.heads import SEQUENCE
from models.manifest import ModelManifest
from server.errors import InvalidParameter
from server.inference.runtime.packing import PooledLogits, Results, results_as
from server.inference.tasks.pairs import Cut, item_of, keep, read_text, require_pairs
from server.inference.tasks.task import (
    CHARACTER_BYTES,
    TEXT_CHARACTERS,
    Plan,
    Price,
    Proceed,
    ReadItem,
    ServedModel,
    Task,
    read_items,
)
from server.inference.tasks.text_classification import Function, scores_of, usual_function
from server.inference.tokenizer import Pieces

QUERY: Final = "query"  # what errors about it name
_RANK_BYTES: Final = 512  # of one document's place and score


class Rank(NamedTuple):
    """One document."""

    place: int
    """Among those that were sent."""
    score: float


class RerankOptions(NamedTuple):
    """What a request to rerank asks besides its documents."""

    query: str
    cut: Cut = Cut()
    raw_scores: bool = False
    """Logits instead of what they mean."""
    bounded: bool = False
    """Scores from 0 to 1, whatever the model's own are."""
    label: str | None = None
    """The one to rank by; None for the only one."""
    top_n: int | None = None
    """Documents that are answered; None for all."""
    document_tokens: int | None = None
    """Tokens that are read of each; None for as many as fit."""
    shown: int = 0
    """Characters of documents that the answer repeats."""


class Rerank(Task[str, RerankOptions, list[Rank]]):
    """Documents by falling score, equal ones as they were sent."""

    name = "rerank"
    title = SEQUENCE.title
    head = SEQUENCE

    def suits(self, manifest: ModelManifest) -> bool:
        """One label says how relevant a document is; of several one would have to be chosen."""
        return len(manifest.labels) == 1

    def check(self, inputs: Sequence[str], options: RerankOptions, model: ServedModel) -> None:
        """Refuse a label that the model lacks, or none where it has several."""
        labels = model.manifest.labels
        if options.label is None and len(labels) > 1:
            raise InvalidParameter(
                f"This model has {len(labels)} labels, and a reranker has one: name the label to "
                "rank by, or ask another model.",
                param="label",
            )
        if options.label is not None and options.label not in labels:
            raise InvalidParameter("This model has no such label; see GET /info.", param="label")
        require_pairs(model, QUERY)

    def price(self, inputs: Sequence[str], options: RerankOptions, model: ServedModel) -> Price:
        """One item a document, the query in each; it is read once."""
        query = len(options.query)
        price = Price.estimate(
            [query + len(text) for text in inputs],
            model.manifest.max_tokens,
            _answer_bytes(len(inputs), options),
        )
        read = query + sum(map(len, inputs)) + TEXT_CHARACTERS * (1 + len(inputs))
        return price._replace(characters=read)

    def plan(
        self, inputs: Sequence[str], options: RerankOptions, model: ServedModel, proceed: Proceed
    ) -> Plan[list[Rank]]:
        """One item a document."""
        proceed()
        query = read_text(options.query, options.cut, model, QUERY)
        read = partial(_read, query, self.sample(), options, model)
        items, truncated = read_items(inputs, read, model, proceed)

        def answer(results: Results) -> list[Rank]:
            scores = _scores(np.stack(results_as(np.ndarray, results)), options, model.manifest)
            order = np.argsort(-scores, kind="stable")[: options.top_n]
            return [Rank(int(index), float(scores[index])) for index in order]

        return Plan.of(items, answer, truncated, _answer_bytes(len(inputs), options))

    def sample(self) -> PooledLogits:
        """The logits of a pair."""
        return PooledLogits(SEQUENCE)


def _answer_bytes(count: int, options: RerankOptions) -> int:
    return count * _RANK_BYTES + options.shown * CHARACTER_BYTES


def _read(
    query: Pieces,
    output: PooledLogits,
    options: RerankOptions,
    model: ServedModel,
    text: str,
    param: str,
) -> ReadItem:
    document, most = read_text(text, options.cut, model, param), options.document_tokens
    over = most is not None and len(document.ids) > most
    if most is not None and over:
        document = Pieces(keep(document.ids, most, options.cut.end(model)))
    item, cut = item_of((query, document), output, options.cut, model, param)
    return item, cut or over


def _scores(
    logits: NDArray[np.float32], options: RerankOptions, manifest: ModelManifest
) -> NDArray[np.float64]:
    """The relevance of each document: float32 (documents, labels) -> (documents,)."""
    column = 0 if options.label is None else manifest.labels.index(options.label)
    return scores_of(logits, _function(options, manifest))[:, column]


def _function(options: RerankOptions, manifest: ModelManifest) -> Function:
    """Logits -> scores: of one label what the model says, else its sigmoid, as CrossEncoder has it.

    That holds of a number too, which training by transformers calls a regression.
    """
    if options.raw_scores:
        return "none"
    usual = usual_function(manifest)
    own = manifest.activation is not None or len(manifest.labels) > 1
    return usual if own and not (options.bounded and usual == "none") else "sigmoid"


RERANK: Final = Rerank()
