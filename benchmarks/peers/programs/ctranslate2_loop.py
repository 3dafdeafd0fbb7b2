"""CTranslate2's encoder as a bare loop: batches of 32; it has no masked-language-model head.

Usage: ctranslate2_loop.py FOLDER THREADS float32|int8
"""

import sys
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.loops import Step, Texts, serve
from benchmarks.peers.programs.pooling import LARGEST_BATCH, pooled


class CTranslate2:
    """A converted encoder, one thread for each of its workers."""

    def __init__(self, folder: Path, threads: int, precision: str) -> None:
        self.threads = threads
        self._encoder = ctranslate2.Encoder(
            str(folder), "cpu", compute_type=precision, inter_threads=threads, intra_threads=1
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:  # noqa: ARG002 - embed alone
        """Lay out batches in the order of the stream."""
        ids = self._ids(texts)
        size = min(waiting, LARGEST_BATCH)
        batches = [ids[start : start + size] for start in range(0, len(ids), size)]

        def step(number: int) -> int:
            batch = batches[number % len(batches)]
            self._pooled(batch)
            return len(batch)

        return step

    def answers(self, task: str, texts: Texts) -> list[Any]:  # noqa: ARG002 - embed alone
        """Embed each text."""
        return list(self._pooled(self._ids(texts)).tolist())

    def _ids(self, texts: Texts) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch([t for (t,) in texts])]

    def _pooled(self, batch: list[list[int]]) -> NDArray[np.float32]:
        states = np.array(self._encoder.forward_batch(batch).last_hidden_state)
        lengths = np.array([len(ids) for ids in batch])
        return pooled(states, (np.arange(states.shape[1]) < lengths[:, None]).astype(np.int64))


if __name__ == "__main__":
    serve(CTranslate2(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
