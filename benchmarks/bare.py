"""The session alone, as a loop: the same model, graph and items as in the server, no HTTP.

Texts are tokenised beforehand. Batches come in the order of the stream and are as large as the
server's are when all its connections wait, or are filled to a budget, as on a GPU with a long
queue. What is left out is what a server has to add. Beside it no benchmark knows
sessions and their items.

Usage: python -m benchmarks.bare MODEL-FOLDER [--device cuda] [--batch-tokens N] [--workers N]
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding as Tokens
from tokenizers import Tokenizer

from benchmarks.batches import full, packed
from benchmarks.loops import Step, Texts, serve, stepping
from benchmarks.machine import own_cores
from models.heads import NSP
from models.manifest import TOKENIZER_FILE, load_manifest
from server.inference.options import BATCH_TOKENS, GPU_WORKERS
from server.inference.runtime.devices import find_device
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


class BareSession:
    """One session, run by as many threads as there are cores, or as keep a GPU busy."""

    def __init__(
        self, folder: Path, device: str = "cpu", batch_tokens: int = 0, workers: int = 0
    ) -> None:
        found = find_device("cuda" if device == "cuda" else "cpu")
        self.threads = workers or (GPU_WORKERS if found.name == "cuda" else len(own_cores()))
        self._batch_tokens = batch_tokens
        self._most_tokens = BATCH_TOKENS[found.name]
        manifest = load_manifest(folder)
        self._vector = SentenceVector.usual(manifest.pooling)
        self._session = Session(folder, manifest, SessionOptions(device=found))
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._mask = self._tokenizer.token_to_id("[MASK]")

    def items(self, task: str, texts: Texts) -> list[Item]:
        """Tokenise, each text or pair into the item that the server would queue."""
        inputs = [tuple(text) if len(text) == 2 else text[0] for text in texts]
        return [self._item(task, tokens) for tokens in self._tokenizer.encode_batch(inputs)]

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:
        """Lay out the batches: full ones, or each thread's share of what waits."""
        items = self.items(task, texts)
        if self._batch_tokens and waiting > 1:
            batches = full(items, self._batch_tokens, tokens_of)
        else:
            share = sum(map(tokens_of, items)) / len(items) * waiting / self.threads
            batches = packed(items, min(int(share), self._most_tokens), tokens_of)
        return stepping(batches, self._session.run)

    def answers(self, task: str, texts: Texts) -> list[Any]:
        """Answer each text by itself."""
        results = [self._session.run([item])[0] for item in self.items(task, texts)]
        return [
            int(result.ids[0, 0]) if isinstance(result, MaskResult) else np.asarray(result).tolist()
            for result in results
        ]

    def _item(self, task: str, tokens: Tokens) -> Item:
        encoding = Encoding(np.array(tokens.ids, np.int64), np.array(tokens.type_ids, np.int64))
        if task == "embed":
            return Item(encoding, self._vector)
        if task == "nsp":
            return Item(encoding, PooledLogits(NSP))
        rows = tuple(row for row, token in enumerate(tokens.ids) if token == self._mask)
        return Item(encoding, MaskScores(rows, TOP_K))


def tokens_of(item: Item) -> int:
    """Count an item's tokens."""
    return len(item.encoding)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch-tokens", type=int, default=0, help="fill batches to so many")
    parser.add_argument("--workers", type=int, default=0)
    serve(BareSession(**vars(parser.parse_args())))
