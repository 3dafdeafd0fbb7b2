"""sentence-transformers behind FastAPI, with the PyTorch or the ONNX backend.

Usage: sentence_transformers_server.py CHECKPOINT PORT THREADS torch|onnx
"""

import sys
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer


class Body(BaseModel):
    """One text or a list."""

    inputs: str | list[str]


def application(checkpoint: str, backend: str, threads: int) -> FastAPI:
    """Load the model and put it behind its routes."""
    options: dict[str, Any] = {}
    if backend == "onnx":
        import onnxruntime  # noqa: PLC0415 - the torch backend has no use for it

        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = threads
        options = {"provider": "CPUExecutionProvider", "session_options": session}
    model = SentenceTransformer(checkpoint, backend=backend, device="cpu", model_kwargs=options)
    app = FastAPI()

    @app.post("/embed")
    async def embed(body: Body) -> list[list[float]]:
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        vectors: list[list[float]] = model.encode(texts, show_progress_bar=False).tolist()
        return vectors

    @app.get("/readyz")
    async def ready() -> str:
        return "ready"

    return app


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    made = application(sys.argv[1], sys.argv[4], int(sys.argv[3]))
    uvicorn.run(made, port=int(sys.argv[2]), log_level="warning")
