"""The transformers fill-mask pipeline behind FastAPI, as its documentation would have one write it.

Usage: pipeline.py CHECKPOINT PORT THREADS
"""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


class Body(BaseModel):
    """One text or a list."""

    inputs: str | list[str]


def application(checkpoint: str) -> FastAPI:
    """Load the pipeline and put it behind its routes."""
    fill = pipeline("fill-mask", model=checkpoint, device="cpu")
    app = FastAPI()

    @app.post("/fill-mask")
    async def fill_mask(body: Body) -> list:  # type: ignore[type-arg] # as the pipeline gives it
        # On the event loop: on FastAPI's 40 threads it was slower, since PyTorch's own threads
        # then compete for the cores.
        with torch.inference_mode():
            answer: list = fill(body.inputs, top_k=5)  # type: ignore[type-arg]
        return answer

    @app.get("/readyz")
    async def ready() -> str:
        return "ready"

    return app


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    uvicorn.run(application(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
