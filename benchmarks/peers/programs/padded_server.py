"""Optimum's plain ONNX exports in ONNX Runtime behind FastAPI, in padded batches of up to 32.

Usage: padded_server.py FOLDER PORT THREADS
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.peers.programs.padded import LARGEST_BATCH, Feeds, PaddedModel
from benchmarks.peers.programs.served import serve


class PaddedOnnx(PaddedModel):
    """The two sessions of one checkpoint, `folder/fill-mask` and `folder/embed`."""

    def __init__(self, folder: Path, threads: int) -> None:
        super().__init__(folder / "fill-mask" / "tokenizer.json", threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = {
            task: onnxruntime.InferenceSession(
                str(folder / task / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for task in ("fill-mask", "embed")
        }

    def run(self, task: str, feeds: Feeds) -> NDArray[np.float32]:
        """Run one session."""
        output: NDArray[np.float32] = self._sessions[task].run(None, feeds)[0]
        return output


if __name__ == "__main__":
    made = PaddedOnnx(Path(sys.argv[1]), int(sys.argv[3]))
    serve(made, ("fill-mask", "embed"), sys.argv[2], LARGEST_BATCH)
