"""Kinds of texts -> items, batches of them, and how often a second batches are computed."""

import random
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
from tokenizers import Tokenizer

from benchmarks.bare import packed
from benchmarks.workloads import Task, Workloads
from server.inference.runtime.packing import Encoding, Item, MaskScores, OutputSpec, SentenceVector

TOP_K = 5  # /fill-mask's default
SEED = 7
FILLED = 0.95  # of the budgets: texts never fill a batch to the last token

T = TypeVar("T")


class Texts:
    """The benchmark's texts as items."""

    def __init__(self, tokenizer: Path) -> None:
        self._workloads = Workloads(tokenizer)
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._mask = self._tokenizer.token_to_id("[MASK]")

    def items(self, kind: str, task: Task) -> list[Item]:
        """Return all texts of a kind ("short", "mixed", "long") as items of one task."""
        questions = self._workloads.of(kind, task).questions
        encoded = self._tokenizer.encode_batch([question.texts[0] for question in questions])
        return [self._item(task, tokens.ids) for tokens in encoded]

    def _item(self, task: Task, ids: list[int]) -> Item:
        want: OutputSpec = SentenceVector("mean")
        if task == "fill-mask":
            want = MaskScores(
                tuple(row for row, token in enumerate(ids) if token == self._mask), TOP_K
            )
        return Item(Encoding(np.array(ids, np.int64), np.zeros(len(ids), np.int64)), want)


def sorted_stream(items: Sequence[Item], tokens: int) -> list[Item]:
    """Repeat the items until there are so many tokens, shortest first.

    The server's queue finds texts of like length too; and PyTorch's padded batches need it.
    """
    taken: list[Item] = []
    for item in cycle(items):
        if tokens <= 0:
            break
        taken.append(item)
        tokens -= len(item.encoding)
    return sorted(taken, key=lambda item: len(item.encoding))


def batches(items: Sequence[Item], budget: int, tokens: int) -> list[Sequence[Item]]:
    """Lay a stream of so many tokens out in batches of at most `budget`, in random order."""
    stream = sorted_stream(items, int(FILLED * tokens))
    return _shuffled(_even(lambda room: packed(stream, room), budget))


def padded_batches(items: Sequence[Item], budget: int, tokens: int) -> list[Sequence[Item]]:
    """Do the same for who pads: the budget counts padding."""
    stream = sorted_stream(items, int(FILLED * tokens))
    return _shuffled(_even(lambda room: _padded(stream, room), budget))


def _padded(stream: Sequence[Item], budget: int) -> list[list[Item]]:
    found: list[list[Item]] = [[]]
    for item in stream:  # rising: the last is the longest
        if found[-1] and (len(found[-1]) + 1) * len(item.encoding) > budget:
            found.append([])
        found[-1].append(item)
    return found


def _even(lay_out: Callable[[int], Sequence[Sequence[T]]], budget: int) -> Sequence[Sequence[T]]:
    """Lay out in no more batches than `budget` needs, but without a small one at the end."""
    fewest = len(lay_out(budget))
    enough = bisect_left(range(budget), True, lo=1, key=lambda room: len(lay_out(room)) <= fewest)
    return lay_out(enough)


def _shuffled(laid: Sequence[Sequence[Item]]) -> list[Sequence[Item]]:
    mixed = list(laid)
    random.Random(SEED).shuffle(mixed)  # noqa: S311 - an order, not a secret
    return mixed


def tokens_of(laid: Sequence[Sequence[Item]]) -> int:
    """Count the tokens of all batches."""
    return sum(len(item.encoding) for batch in laid for item in batch)


class Turns:
    """Numbers 0 to count - 1, again and again, shared by threads; ends only after whole rounds.

    So long and short batches are computed equally often, however short the time.
    """

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._ends = time.perf_counter() + seconds
        self._lock = threading.Lock()
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._lock:
            begins = self.taken % self._count == 0
            if begins and self.taken and time.perf_counter() >= self._ends:
                raise StopIteration
            self.taken += 1
            return (self.taken - 1) % self._count


@dataclass(frozen=True)
class Rounds:
    """Whole rounds of batches that were computed."""

    count: float
    seconds: float

    @property
    def per_s(self) -> float:
        """Rounds a second."""
        return self.count / self.seconds


def rounds(
    laid: Sequence[T], run: Callable[[T], object], *, workers: int, seconds: float
) -> Rounds:
    """Compute batches on so many threads for so long, and to the end of the round.

    Raises:
        Exception: what a run raised.
    """
    turns = Turns(len(laid), seconds)
    failures: list[Exception] = []

    def work() -> None:
        try:
            for number in turns:
                run(laid[number])
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            failures.append(error)

    begun = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Rounds(turns.taken / len(laid), time.perf_counter() - begun)


def p50_ms(run: Callable[[], object], seconds: float, warm: int = 5) -> float:
    """Return the median time of a run, in milliseconds."""
    for _ in range(warm):
        run()
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while not times or time.perf_counter() < ends:
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return median(times) * 1000
