"""Probabilities of labels of which any number may apply in, from which on each should count out.

A label counts from 0.5 on unless another threshold is given. The best one has the highest F1 on
these examples, so its own figure is measured on others: documents are dealt to `FOLDS` folds, and
each fold is decided by the thresholds that are best on the rest.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from training.data.record import names_of
from training.errors import TrainingError
from training.evaluate.labelled.task_model import Float64
from training.evaluate.labelled.weighted import Int64

Bool = NDArray[np.bool_]
USUAL = 0.5
FOLDS = 5
SEED = 20181011


@dataclass(frozen=True)
class Thresholds:
    """Of each label."""

    labels: tuple[str, ...]
    used: Mapping[str, float]  # what the measures are with
    best: Mapping[str, float]  # on these examples
    average_precision: Mapping[str, float | None]  # None where a label applies nowhere

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        applies: Bool,
        scores: Float64,
        given: Mapping[str, float],
    ) -> Self:
        """Of bool (N, K) and float64 (N, K)."""
        columns = list(zip(labels, applies.T, scores.T, strict=True))
        return cls(
            tuple(labels),
            {name: given.get(name, USUAL) for name in labels},
            {name: best_threshold(right, own) for name, right, own in columns},
            {
                name: float(average_precision_score(right, own)) if right.any() else None
                for name, right, own in columns
            },
        )


def best_threshold(right: Bool, scores: Float64) -> float:
    """From which score on a label has the highest F1: bool (N,), float64 (N,).

    It lies between two scores; of equally good ones it is the one nearest to 0.5, which it also is
    where the label never applies.

    >>> best_threshold(np.array([True, True, False]), np.array([0.4, 0.3, 0.1]))
    0.2
    """
    if not right.any():
        return USUAL
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    agreed = np.cumsum(right[order])
    f1 = 2 * agreed / (right.sum() + np.arange(1, len(scores) + 1))
    after = np.append(ordered[1:], -1.0)
    f1 = np.where(ordered > after, f1, -1.0)  # none lies between equal scores
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    low, high = after[best], ordered[best]  # from above the one to the other all decide alike
    nearest = np.maximum(np.maximum(low - USUAL, USUAL - high), 0).argmin()
    if low[nearest] < USUAL <= high[nearest]:
        return USUAL
    return float((max(low[nearest], 0.0) + high[nearest]) / 2)


def held_out_decisions(applies: Bool, scores: Float64, documents: Int64) -> Bool:
    """Whether each label counts by a threshold that was chosen on other documents, bool (N, K).

    With fewer documents than folds it is the usual one.
    """
    count = int(documents.max()) + 1
    if count < FOLDS:
        return scores >= USUAL
    fold = (np.random.default_rng(SEED).permutation(count) % FOLDS)[documents]
    decided = np.zeros_like(applies)
    for number in range(FOLDS):
        here = fold == number
        chosen = [
            best_threshold(right, own)
            for right, own in zip(applies[~here].T, scores[~here].T, strict=True)
        ]
        decided[here] = scores[here] >= np.array(chosen)
    return decided


def read_thresholds(path: Path, labels: Sequence[str]) -> dict[str, float]:
    """Thresholds by label: of a JSON file, or of what `evaluate --json` wrote, the best there.

    Raises:
        TrainingError: it is not such a file, or names a label that the model does not have.
    """
    expected = "expected is an object of labels with numbers from 0 to 1"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise TrainingError(f"{path}{line}: it is not JSON; {expected}.") from None
    if isinstance(document, dict) and isinstance(document.get("thresholds"), dict):
        document = document["thresholds"]
    if not isinstance(document, dict):
        raise TrainingError(f"{path} holds no object; {expected}.")
    for name, value in document.items():
        if name not in labels:
            raise TrainingError(
                f"{path} has a threshold for {names_of([name])}, which the model does not have; "
                f"its labels are {names_of(list(labels))}."
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise TrainingError(
                f"{path}: the threshold of {names_of([name])} is no number from 0 to 1."
            )
    return {name: float(value) for name, value in document.items()}
