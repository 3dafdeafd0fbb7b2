"""CTranslate2's encoder as a bare loop: batches of 32; it has no masked-language-model head.

Usage: ctranslate2_loop.py FOLDER THREADS float32|int8
"""

import sys
from pathlib import Path

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from benchmarks.loops import serve
from benchmarks.peers.programs.padded import Feeds, PaddedModel


class CTranslate2(PaddedModel):
    """A converted encoder, one thread for each of its workers."""

    def __init__(self, folder: Path, threads: int, precision: str) -> None:
        super().__init__(folder / "tokenizer.json", threads)
        self._encoder = ctranslate2.Encoder(
            str(folder), "cpu", compute_type=precision, inter_threads=threads, intra_threads=1
        )

    def run(self, task: str, feeds: Feeds) -> NDArray[np.float32]:  # noqa: ARG002 - embed alone
        """Encode one batch, which CTranslate2 pads itself."""
        lengths = feeds["attention_mask"].sum(axis=1)
        ids = [row[:n].tolist() for row, n in zip(feeds["input_ids"], lengths, strict=True)]
        return np.array(self._encoder.forward_batch(ids).last_hidden_state)


if __name__ == "__main__":
    serve(CTranslate2(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
