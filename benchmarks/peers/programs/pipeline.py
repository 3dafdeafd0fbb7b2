"""The transformers fill-mask pipeline behind FastAPI, text by text.

Usage: pipeline.py CHECKPOINT PORT THREADS
"""

import sys
from typing import Any

import torch
from transformers import pipeline

from benchmarks.loops import Texts
from benchmarks.peers.programs.served import serve


class FillMask:
    """The pipeline, as its documentation has one call it."""

    def __init__(self, checkpoint: str) -> None:
        self._fill = pipeline("fill-mask", model=checkpoint, device="cpu")

    @torch.inference_mode()
    def answers(self, task: str, texts: Texts) -> list[Any]:  # noqa: ARG002 - it has one
        """Fill each mask."""
        return [self._fill(text, top_k=5) for (text,) in texts]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    serve(FillMask(sys.argv[1]), ("fill-mask",), sys.argv[2], largest=1)
