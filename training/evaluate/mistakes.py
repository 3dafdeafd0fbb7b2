"""What a checkpoint got wrong in, a line of JSON each out, for people who ask why.

A figure says how often; why, only reading tells: whether pairs that could not be told by anyone are
among the wrong ones, or which word stands where another belongs. Knows nothing of models.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from training.pairs import PairPlan
from training.stored_corpus import Corpus


class Mistakes:
    """Wrong answers, in the order in which they were found.

    Args:
        tokenizer: turns ids into text; that of the checkpoint.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._lines: list[dict[str, object]] = []

    def add_pairs(self, measure: str, corpus: Corpus, plan: PairPlan, wrong: Iterable[int]) -> None:
        """Pairs whose order was not told, by their numbers in the plan, and what would be right.

        The plan does not depend on the checkpoint, so numbers in two files mean the same pairs.
        """
        for pair in wrong:
            first = corpus.tokens[plan.first_start[pair] : plan.first_end[pair]]
            second = corpus.tokens[plan.second_start[pair] : plan.second_end[pair]]
            self._lines.append(
                {
                    "measure": measure,
                    "number": int(pair),
                    "first": self._text(first.tolist()),
                    "second": self._text(second.tolist()),
                    "is_next": bool(plan.is_next[pair]),
                }
            )

    def add_prompt(
        self, measure: str, text: str, accept: Sequence[str], best: Sequence[int]
    ) -> None:
        """A prompt, the words that would be right, and the ids that came first, best first."""
        words = [self._text([token]) for token in best]
        self._lines.append({"measure": measure, "text": text, "accept": accept, "best": words})

    def write(self, path: Path) -> None:
        """Write all of them as JSON lines."""
        lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in self._lines)
        path.write_text("".join(lines), encoding="utf-8")

    def _text(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)
