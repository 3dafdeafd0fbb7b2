"""Texts or pairs in, their labels with scores out, best first.

Labels that exclude each other get probabilities that add up to 1 (softmax); labels that do not, or
a single one, get a probability each (sigmoid); a regression's number is given as it is. Which of
them a model was trained for stands in its manifest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.heads import SEQUENCE
from models.manifest import ModelManifest
from models.probabilities import sigmoid, softmax, unchanged
from server.errors import InvalidParameter
from server.inference.runtime.packing import PooledLogits, Results, results_as
from server.inference.tasks.pairs import (
    Cut,
    TextOrPair,
    length_of,
    read_pair,
    require_pairs,
)
from server.inference.tasks.task import Plan, Price, Proceed, ServedModel, Task, read_items

Function = Literal["softmax", "sigmoid", "none"]

_FUNCTIONS: Final[Mapping[Function, Callable[[NDArray[np.float32]], NDArray[np.float64]]]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": unchanged,
}
_LABEL_BYTES: Final = 320  # of one label of one text


class Label(NamedTuple):
    """One label of one text."""

    score: float
    label: str


@dataclass(frozen=True)
class PredictOptions:
    """What a classification request asks besides its texts."""

    function: Function | None = None
    """Logits -> scores; None for what the model was trained for."""
    top_k: int | None = None
    """Labels per text; None for all."""
    cut: Cut = field(default_factory=Cut)


LabelsByText = list[list[Label]]
"""Labels of each text or pair, the likeliest first."""


class TextClassification(Task[TextOrPair, PredictOptions, LabelsByText]):
    """The labels of each text or pair with their scores, best first."""

    name = "predict"
    also = ("text-classification",)
    title = SEQUENCE.title
    head = SEQUENCE

    def check(
        self, inputs: Sequence[TextOrPair], options: PredictOptions, model: ServedModel
    ) -> None:
        """Refuse what the model cannot do."""
        if options.top_k is not None and options.top_k < 1:
            raise InvalidParameter("top_k must be at least 1.", param="parameters.top_k")
        for index, (_, second) in enumerate(inputs):
            if second is not None:
                require_pairs(model, f"inputs[{index}]")

    def price(
        self, inputs: Sequence[TextOrPair], options: PredictOptions, model: ServedModel
    ) -> Price:
        """One item a text or pair."""
        lengths = [length_of(pair) for pair in inputs]
        most = model.manifest.max_tokens
        return Price.estimate(lengths, most, _answer_bytes(len(inputs), model))

    def plan(
        self,
        inputs: Sequence[TextOrPair],
        options: PredictOptions,
        model: ServedModel,
        proceed: Proceed,
    ) -> Plan[LabelsByText]:
        """One item a text or pair; the answer is text -> labels, best first."""
        read = partial(read_pair, self.sample(), options.cut, model)
        items, truncated = read_items(inputs, read, model, proceed)
        manifest = model.manifest
        function = options.function or usual_function(manifest)

        def answer(results: Results) -> LabelsByText:
            scores = scores_of(np.stack(results_as(np.ndarray, results)), function)
            return [ranked(row, manifest.labels, options.top_k) for row in scores]

        return Plan.of(items, answer, truncated, _answer_bytes(len(inputs), model))

    def sample(self) -> PooledLogits:
        """The logits of a text."""
        return PooledLogits(SEQUENCE)


def scores_of(logits: NDArray[np.float32], function: Function) -> NDArray[np.float64]:
    """Logits -> scores, both (texts, labels)."""
    return _FUNCTIONS[function](logits)


def usual_function(manifest: ModelManifest) -> Function:
    """What turns this model's logits into scores: what it says, else what transformers chooses."""
    for function in _FUNCTIONS:
        if function == manifest.activation:
            return function
    if manifest.regression:
        return "none"
    return "sigmoid" if manifest.multi_label or len(manifest.labels) == 1 else "softmax"


def _answer_bytes(count: int, model: ServedModel) -> int:
    return count * (64 + _LABEL_BYTES * len(model.manifest.labels))


def ranked(
    scores: NDArray[np.float64], labels: Sequence[str], top_k: int | None = None
) -> list[Label]:
    """Labels by falling score; equal ones in their order."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [Label(float(scores[index]), labels[index]) for index in order]


TEXT_CLASSIFICATION: Final = TextClassification()
