"""Pairs of texts in, the probability that the second follows the first out.

BERT's label 0 is IsNext (Devlin et al. 2018, section 3.1); the probability given is that one's.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from models.heads import NSP
from models.probabilities import softmax
from server.inference.runtime.packing import PooledLogits, Results, results_as
from server.inference.tasks.pairs import Cut, length_of, read_pair
from server.inference.tasks.task import Plan, Price, Proceed, ServedModel, Task, read_items

IS_NEXT: Final = 0
_ANSWER_BYTES: Final = 256  # of one pair


class NextSentence(Task[tuple[str, str], Cut, list[float]]):
    """The probability, for each pair, that the second text follows the first."""

    name = "nsp"
    title = NSP.title
    head = NSP

    def price(self, inputs: Sequence[tuple[str, str]], options: Cut, model: ServedModel) -> Price:
        """One item a pair."""
        lengths = [length_of(pair) for pair in inputs]
        most = model.manifest.max_tokens
        return Price.estimate(lengths, most, _ANSWER_BYTES * len(inputs))

    def plan(
        self, inputs: Sequence[tuple[str, str]], options: Cut, model: ServedModel, proceed: Proceed
    ) -> Plan[list[float]]:
        """One item a pair; the answer is P(IsNext) of each."""
        read = partial(read_pair, self.sample(), options, model)
        items, truncated = read_items(inputs, read, model, proceed)
        return Plan.of(items, _probabilities, truncated, _ANSWER_BYTES * len(inputs))

    def sample(self) -> PooledLogits:
        """The two logits of a pair."""
        return PooledLogits(NSP)


def _probabilities(results: Results) -> list[float]:
    """Softmax over (IsNext, NotNext), of which IsNext is kept."""
    logits = np.stack(results_as(np.ndarray, results))
    probabilities: list[float] = softmax(logits)[:, IS_NEXT].tolist()
    return probabilities


NEXT_SENTENCE: Final = NextSentence()
