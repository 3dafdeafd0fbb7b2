"""sentence-transformers behind FastAPI, text by text, with the PyTorch or the ONNX backend.

Usage: sentence_transformers_server.py CHECKPOINT PORT THREADS torch|onnx
"""

import sys
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from benchmarks.loops import Texts
from benchmarks.peers.programs.served import serve


class Embed:
    """The encoder, as its documentation has one call it."""

    def __init__(self, checkpoint: str, backend: str, threads: int) -> None:
        options: dict[str, Any] = {}
        if backend == "onnx":
            import onnxruntime  # noqa: PLC0415 - the torch backend has no use for it

            session = onnxruntime.SessionOptions()
            session.intra_op_num_threads = threads
            options = {"provider": "CPUExecutionProvider", "session_options": session}
        self._model = SentenceTransformer(
            checkpoint, backend=backend, device="cpu", model_kwargs=options
        )

    def answers(self, task: str, texts: Texts) -> list[Any]:  # noqa: ARG002 - it has one
        """Embed each text."""
        single = [text for (text,) in texts]
        return list(self._model.encode(single, show_progress_bar=False).tolist())


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    model = Embed(sys.argv[1], sys.argv[4], int(sys.argv[3]))
    serve(model, ("embed",), sys.argv[2], largest=1)
