"""A loaded model -> FastAPI in front of it, in batches: the server that one writes oneself.

A worker thread that is free takes what waits, so nothing waits for a timer.
"""

import asyncio
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.loops import Answering

# What FastAPI serialises an answer as.
SHAPES: dict[str, Any] = {"fill-mask": list[dict[str, Any]], "embed": list[list[float]]}


class Body(BaseModel):
    """One text."""

    inputs: str


class Waiting(NamedTuple):
    """One text and who waits for its answer."""

    text: str
    answer: "asyncio.Future[Any]"


class Batches:
    """One task's queue and its worker."""

    def __init__(self, model: Answering, task: str, largest: int, turn: threading.Lock) -> None:
        self._model, self._task, self._largest, self._turn = model, task, largest, turn
        self._queue: SimpleQueue[Waiting] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def answer(self, body: Body) -> Any:
        """Wait for the answer to one text: the candidates for its mask, or a list of one vector."""
        waiting = Waiting(body.inputs, asyncio.get_running_loop().create_future())
        self._queue.put(waiting)
        answer = await waiting.answer
        return [answer] if self._task == "embed" else answer

    def _work(self) -> None:
        while True:
            batch = [self._queue.get()]
            with self._turn:
                try:
                    while len(batch) < self._largest:
                        batch.append(self._queue.get_nowait())
                except Empty:
                    pass
                answers = self._model.answers(self._task, [(waiting.text,) for waiting in batch])
            batch[0].answer.get_loop().call_soon_threadsafe(deliver, batch, answers)


def deliver(batch: list[Waiting], answers: list[Any]) -> None:
    """Hand out the answers, on the event loop."""
    for waiting, answer in zip(batch, answers, strict=True):
        if not waiting.answer.done():
            waiting.answer.set_result(answer)


def serve(
    model: Answering, tasks: Sequence[Literal["fill-mask", "embed"]], port: str, largest: int
) -> None:
    """Serve a route for each task until a signal ends it; all take turns at the model."""
    app, turn = FastAPI(), threading.Lock()
    for task in tasks:
        batches = Batches(model, task, largest, turn)
        app.post(f"/{task}", response_model=SHAPES[task])(batches.answer)

    @app.get("/readyz")
    async def ready() -> str:
        return "ready"

    uvicorn.run(app, port=int(port), log_level="warning")
