"""FastAPI in front of ONNX Runtime with padded batches of up to 32: the server one writes oneself.

A worker thread that is free takes what waits, so nothing waits for a timer.

Usage: padded_server.py FOLDER PORT THREADS
"""

import asyncio
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.programs.padded import Padded
from benchmarks.peers.programs.pooling import LARGEST_BATCH


class Body(BaseModel):
    """One text."""

    inputs: str


class Waiting(NamedTuple):
    """One text and who waits for its answer."""

    text: str
    answer: "asyncio.Future[Any]"


class Batches:
    """One task's queue and its worker."""

    def __init__(self, model: Padded, task: str, turn: threading.Lock) -> None:
        self._model, self._task, self._turn = model, task, turn
        self._queue: SimpleQueue[Waiting] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def answer(self, text: str) -> Any:
        """Wait for the answer to one text."""
        waiting = Waiting(text, asyncio.get_running_loop().create_future())
        self._queue.put(waiting)
        return await waiting.answer

    def _work(self) -> None:
        while True:
            batch = [self._queue.get()]
            with self._turn:
                try:
                    while len(batch) < LARGEST_BATCH:
                        batch.append(self._queue.get_nowait())
                except Empty:
                    pass
                answers = self._model.answer(self._task, [waiting.text for waiting in batch])
            batch[0].answer.get_loop().call_soon_threadsafe(deliver, batch, answers)


def deliver(batch: list[Waiting], answers: list[Any]) -> None:
    """Hand out the answers, on the event loop."""
    for waiting, answer in zip(batch, answers, strict=True):
        if not waiting.answer.done():
            waiting.answer.set_result(answer)


def application(folder: Path, threads: int) -> FastAPI:
    """Load the model and put it behind its routes."""
    model, turn = Padded(folder, threads), threading.Lock()
    fills, embeds = Batches(model, "fill-mask", turn), Batches(model, "embed", turn)
    app = FastAPI()

    @app.post("/fill-mask")
    async def fill_mask(body: Body) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = await fills.answer(body.inputs)
        return answer

    @app.post("/embed")
    async def embed(body: Body) -> list[list[float]]:
        return [await embeds.answer(body.inputs)]

    @app.get("/readyz")
    async def ready() -> str:
        return "ready"

    return app


if __name__ == "__main__":
    made = application(Path(sys.argv[1]), int(sys.argv[3]))
    uvicorn.run(made, port=int(sys.argv[2]), log_level="warning")
