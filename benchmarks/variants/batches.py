"""Workloads -> items in batches, as they wait in a server's queue, and the feeds of a session."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.bare import TOP_K, Batches, packed
from benchmarks.workloads import Question, Workloads
from models.heads import NSP
from server.inference.runtime.packing import (
    Batch,
    Encoding,
    Item,
    MaskScores,
    PooledLogits,
    SentenceVector,
)

WAITING = 32  # items among which the queue finds those of similar length
TEXTS = {"short": 64, "mixed": 32, "long": 4}  # of a load: some 1,500 tokens
ONE_TEXT = 1  # token at most in a batch, unless its first text has more

Pack = Callable[[Sequence[Item], int], Batches]
"""Items and the most tokens of a batch -> batches."""
Feeds = Mapping[str, NDArray[Any]]


def by_length(items: Sequence[Item], tokens: int) -> Batches:
    """Put items of similar length together, as the queue does with what waits."""
    windows = (items[start : start + WAITING] for start in range(0, len(items), WAITING))
    ordered = (sorted(window, key=lambda item: len(item.encoding)) for window in windows)
    return list(chain.from_iterable(packed(window, tokens) for window in ordered))


def apart(items: Sequence[Item], tokens: int) -> Batches:
    """Never put two tasks into one batch."""
    kinds = dict.fromkeys(type(item.output) for item in items)
    return [
        batch
        for kind in kinds
        for batch in by_length([item for item in items if type(item.output) is kind], tokens)
    ]


@dataclass(frozen=True)
class Load:
    """Items of one workload and how many tokens a batch of them may have."""

    name: str
    items: tuple[Item, ...]
    tokens: int

    def feeds(self, layers: Sequence[int], pack: Pack, tokens: int | None) -> list[Feeds]:
        """Lay the batches out, once and for all."""
        return [Batch(batch, layers).feeds() for batch in pack(self.items, tokens or self.tokens)]


class Loads:
    """All loads, for one tokenizer."""

    def __init__(self, tokenizer: Path, *, quick: bool = False) -> None:
        self._workloads = Workloads(tokenizer)
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._mask = self._tokenizer.token_to_id("[MASK]")
        self._share = 4 if quick else 1

    def of(self, length: str, task: Any, tokens: int = 512) -> Load:
        """Return the texts of one length and task, in batches of so many tokens."""
        questions = self._workloads.of(length, task).questions[: TEXTS[length] // self._share]
        return Load(f"{length} {task}", tuple(self._items(questions)), tokens)

    def alone(self, tokens: int) -> Load:
        """Return fill-masks of texts of one length, each a batch of its own."""
        questions = self._workloads.of_tokens(tokens, "fill-mask").questions[:4]
        return Load(f"one text of {tokens} tokens", tuple(self._items(questions)), ONE_TEXT)

    def three_tasks(self) -> Load:
        """Return short texts of three tasks, mixed."""
        questions = self._workloads.three_tasks().questions[: TEXTS["short"] // self._share]
        return Load("three tasks", tuple(self._items(questions)), 512)

    def _items(self, questions: Iterable[Question]) -> Iterable[Item]:
        return map(self._item, questions)

    def _item(self, question: Question) -> Item:
        pair = question.texts[1] if len(question.texts) > 1 else None
        tokens = self._tokenizer.encode(question.texts[0], pair)
        encoding = Encoding(np.array(tokens.ids, np.int64), np.array(tokens.type_ids, np.int64))
        match question.task:
            case "embed":
                return Item(encoding, SentenceVector("mean"))
            case "nsp":
                return Item(encoding, PooledLogits(NSP))
            case _:
                rows = tuple(row for row, token in enumerate(tokens.ids) if token == self._mask)
                return Item(encoding, MaskScores(rows, TOP_K))
