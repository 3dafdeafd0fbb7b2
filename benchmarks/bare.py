"""The session alone, as a loop: the same model, graph and items as in the server, no HTTP.

Texts are tokenised beforehand and come in the order of the stream; batches are as large as the
server's are when all its connections wait. What is left out is what a server has to add.

Usage: python -m benchmarks.bare MODEL-FOLDER
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding as Tokens
from tokenizers import Tokenizer

from benchmarks.loops import Step, Texts, serve
from models.heads import NSP
from models.manifest import TOKENIZER_FILE, load_manifest
from server.inference.options import BATCH_TOKENS
from server.inference.runtime.cores import available_cores
from server.inference.runtime.packing import (
    Encoding,
    Item,
    MaskResult,
    MaskScores,
    PooledLogits,
    SentenceVector,
)
from server.inference.runtime.session import Session, SessionOptions

TOP_K = 5  # /fill-mask's default

Batches = Sequence[Sequence[Item]]


class BareSession:
    """One session, on as many threads as there are cores."""

    def __init__(self, folder: Path) -> None:
        self.manifest = load_manifest(folder)
        self.threads = available_cores()
        self._session = Session(folder, self.manifest, SessionOptions())
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._mask = self._tokenizer.token_to_id("[MASK]")

    def items(self, task: str, texts: Texts) -> list[Item]:
        """Tokenise, each text or pair into the item that the server would queue."""
        inputs = [tuple(text) if len(text) == 2 else text[0] for text in texts]
        return [self._item(task, tokens) for tokens in self._tokenizer.encode_batch(inputs)]

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:
        """Lay out the batches: each thread's share of what waits, in the order of the stream."""
        items = self.items(task, texts)
        share = sum(len(item.encoding) for item in items) / len(items) * waiting / self.threads
        batches = packed(items, min(int(share), BATCH_TOKENS["cpu"]))

        def step(number: int) -> int:
            batch = batches[number % len(batches)]
            self._session.run(batch)
            return len(batch)

        return step

    def answers(self, task: str, texts: Texts) -> list[Any]:
        """Answer each text by itself."""
        results = [self._session.run([item])[0] for item in self.items(task, texts)]
        return [
            int(result.ids[0, 0]) if isinstance(result, MaskResult) else result.tolist()
            for result in results
        ]

    def _item(self, task: str, tokens: Tokens) -> Item:
        encoding = Encoding(np.array(tokens.ids, np.int64), np.array(tokens.type_ids, np.int64))
        if task == "embed":
            return Item(encoding, SentenceVector(self.manifest.pooling.mode))
        if task == "nsp":
            return Item(encoding, PooledLogits(NSP))
        rows = tuple(row for row, token in enumerate(tokens.ids) if token == self._mask)
        return Item(encoding, MaskScores(rows, TOP_K))


def packed(items: Sequence[Item], tokens: int) -> Batches:
    """Lay the items into batches of at most so many tokens, in their order.

    >>> two = Item(Encoding(np.zeros(2, np.int64), np.zeros(2, np.int64)), SentenceVector("mean"))
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


if __name__ == "__main__":
    serve(BareSession(Path(sys.argv[1])))
