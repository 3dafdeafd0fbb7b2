"""A task's texts -> how many of them a second the session alone computes, without server or HTTP.

The same model, graph, items and number of threads as in the server. Texts are tokenised beforehand,
and batches are full from the start: what is left out is what a server has to add.
"""

import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from benchmarks.workload import Task
from models.manifest import TOKENIZER_FILE, load_manifest
from server.inference.cores import available_cores
from server.inference.items import Encoding, Item, MaskWant, PoolWant
from server.inference.session import Session, SessionOptions

TOP_K = 5  # /fill-mask's default

Batches = Sequence[Sequence[Item]]


class BareSession:
    """One session and as many threads as the server uses."""

    def __init__(self, folder: Path) -> None:
        self.manifest = load_manifest(folder)
        self.workers = available_cores()
        self._session = Session(folder, self.manifest, SessionOptions())
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._mask = self._tokenizer.token_to_id("[MASK]")

    def items(self, task: Task) -> list[Item]:
        """Tokenise the task's texts, each into the item that the server would queue."""
        encodings = self._tokenizer.encode_batch(list(task.texts))
        return [self._item(task, encoding.ids) for encoding in encodings]

    def rate(self, batches: Batches, seconds: float) -> float:
        """Run the batches in turn on all threads for so long; return texts per second."""
        numbers = count()
        done = [0] * self.workers
        started = time.perf_counter()

        def work(worker: int) -> None:
            while time.perf_counter() - started < seconds:
                batch = batches[next(numbers) % len(batches)]
                self._session.run(batch)
                done[worker] += len(batch)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(self.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - started)

    def _item(self, task: Task, ids: Sequence[int]) -> Item:
        encoding = Encoding(np.array(ids, np.int64), np.zeros(len(ids), np.int64))
        if task.name == "embed":
            return Item(encoding, PoolWant(self.manifest.pooling.mode))
        rows = tuple(row for row, token in enumerate(ids) if token == self._mask)
        return Item(encoding, MaskWant(rows, TOP_K))


def packed(items: Sequence[Item], tokens: int) -> Batches:
    """Lay the items into batches of at most so many tokens, in their order.

    >>> two = Item(Encoding(np.zeros(2, np.int64), np.zeros(2, np.int64)), PoolWant("mean"))
    >>> [len(batch) for batch in packed([two] * 5, tokens=4)]
    [2, 2, 1]
    """
    batches: list[list[Item]] = [[]]
    room = tokens
    for item in items:
        if len(item.encoding) > room and batches[-1]:
            batches.append([])
            room = tokens
        batches[-1].append(item)
        room -= len(item.encoding)
    return batches
