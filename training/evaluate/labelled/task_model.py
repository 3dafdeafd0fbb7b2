"""What a fine-tuned model must do to be measured, wherever its weights are.

Its own labels name its answers. Knows nothing of files, nor of what a right answer is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.heads import QA, SEQUENCE, TOKEN, Head
from training.errors import TrainingError
from training.finetune.data import QuestionExample, SequenceExample, TokenExample
from training.finetune.labelling import Problem
from training.options import option

Float64 = NDArray[np.float64]
HEADS: Mapping[str, Head] = {"sequence": SEQUENCE, "token": TOKEN, "question": QA}
Tags = list[str | None]
"""A label per word; None for a word of which the tokenizer keeps nothing."""


class Found(NamedTuple):
    """An answer and how likely it is; "" where the context is thought to have none."""

    text: str
    score: float


@dataclass(frozen=True)
class About:
    """What a model is."""

    name: str  # of its folder, not where that lies
    kind: str  # of `HEADS`
    labels: tuple[str, ...]  # in the order of its scores; none of a model that marks answers
    problem: Problem | None  # of texts
    precision: str  # "fp32", "int8"
    weights_sha256: str


@dataclass(frozen=True)
class Running:
    """How a model is run."""

    max_tokens: int | None = option(
        None,
        "longest input of a checkpoint; default: what it has room for, and of questions 384",
        kind=int,
    )
    overlap: int = option(128, "tokens that neighbouring windows of a long context share")
    batch_size: int = option(32, "examples, or windows of long ones, that are run together")

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.batch_size < 1:
            raise TrainingError("--batch-size must be at least 1.")
        if self.overlap < 0:
            raise TrainingError("--overlap must not be negative.")


class TaskModel(Protocol):
    """A model that answers one of the three tasks; of the others it is never asked."""

    @property
    def about(self) -> About:
        """What it is."""

    def scores(self, examples: Sequence[SequenceExample]) -> Float64:
        """Of every label for each text, float64 (N, K): probabilities, or a regression's number."""

    def tags(self, examples: Sequence[TokenExample]) -> list[Tags]:
        """The label of each word of each sentence."""

    def answers(self, examples: Sequence[QuestionExample], *, abstain: bool) -> list[Found]:
        """The likeliest answer to each question; with `abstain` a question may have none."""

    def close(self) -> None:
        """Nothing more will be asked."""
