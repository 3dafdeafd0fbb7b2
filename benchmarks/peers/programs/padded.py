"""Texts in, answers out of a model that computes padded batches: what these peers have in common.

A subclass says how one batch is run. The rest is what one writes around an export in an afternoon:
logits for every token, vectors that are averaged afterwards.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.loops import Step, Texts, stepping

LARGEST_BATCH = 32
TOP_K = 5

Feeds = dict[str, NDArray[np.int64]]
"""The three inputs of BERT, each (batch, seq)."""


class PaddedModel(ABC):
    """A loaded model of one or both tasks."""

    def __init__(self, tokenizer: Path, threads: int) -> None:
        self.threads = threads
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_padding()
        self._mask = self._tokenizer.token_to_id("[MASK]")

    @abstractmethod
    def run(self, task: str, feeds: Feeds) -> NDArray[np.float32]:
        """Return logits (batch, seq, vocabulary) to fill masks, or states (batch, seq, hidden)."""

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:
        """Lay out batches in the order of the stream."""
        size = min(waiting, LARGEST_BATCH)
        batches = [self._feeds(texts[start : start + size]) for start in range(0, len(texts), size)]
        return stepping(
            batches, lambda feeds: self.run(task, feeds), lambda feeds: len(feeds["input_ids"])
        )

    def answers(self, task: str, texts: Texts) -> list[Any]:
        """Answer each text of one batch: candidates for its mask, or its vector."""
        feeds = self._feeds(texts)
        output = self.run(task, feeds)
        if task == "embed":
            return list(pooled(output, feeds["attention_mask"]).tolist())
        rows, columns = np.nonzero(feeds["input_ids"] == self._mask)
        return [self._candidates(logits) for logits in output[rows, columns]]

    def _feeds(self, texts: Texts) -> Feeds:
        encodings = self._tokenizer.encode_batch([text for (text,) in texts])
        ids = np.array([encoding.ids for encoding in encodings], np.int64)
        seen = np.array([encoding.attention_mask for encoding in encodings], np.int64)
        return {"input_ids": ids, "attention_mask": seen, "token_type_ids": np.zeros_like(ids)}

    def _candidates(self, logits: NDArray[np.float32]) -> list[dict[str, Any]]:
        best = np.argsort(logits)[: -TOP_K - 1 : -1]
        odds = np.exp(logits - logits.max())
        scores = odds[best] / odds.sum()
        return [
            {
                "score": float(score),
                "token": int(token),
                "token_str": self._tokenizer.id_to_token(token),
            }
            for score, token in zip(scores, best, strict=True)
        ]


def pooled(states: NDArray[np.float32], seen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Average the vectors (batch, seq, hidden) of tokens that are seen, scaled to length 1.

    >>> pooled(np.ones((1, 3, 4), np.float32), np.array([[1, 1, 0]])).tolist()
    [[0.5, 0.5, 0.5, 0.5]]
    """
    sums = np.einsum("bsh,bs->bh", states, seen.astype(np.float32))
    vectors: NDArray[np.float32] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return vectors
