"""A loaded model -> FastAPI in front of it, in batches: the server that one writes oneself.

A model that is free takes what waits, so nothing waits for a timer.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.loops import Answering

# What FastAPI serialises an answer as.
SHAPES: dict[str, Any] = {"fill-mask": list[dict[str, Any]], "embed": list[list[float]]}


class Body(BaseModel):
    """One text."""

    inputs: str


class Batches:
    """One task's queue. All tasks share the one thread that computes."""

    def __init__(
        self, model: Answering, task: str, largest: int, thread: ThreadPoolExecutor
    ) -> None:
        self._model, self._task, self._largest, self._thread = model, task, largest, thread
        self._queue: asyncio.Queue[tuple[str, asyncio.Future[Any]]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, body: Body) -> Any:
        """Wait for the answer to one text: the candidates for its mask, or a list of one vector."""
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        answered = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((body.inputs, answered))
        return await answered

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._largest and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            texts = [(text,) for text, _ in batch]
            found = await loop.run_in_executor(self._thread, self._model.answers, self._task, texts)
            for (_, answered), answer in zip(batch, found, strict=True):
                if not answered.done():
                    answered.set_result([answer] if self._task == "embed" else answer)


def serve(
    model: Answering, tasks: Sequence[Literal["fill-mask", "embed"]], port: str, largest: int
) -> None:
    """Serve a route for each task until a signal ends it."""
    app, thread = FastAPI(), ThreadPoolExecutor(1)
    for task in tasks:
        batches = Batches(model, task, largest, thread)
        app.post(f"/{task}", response_model=SHAPES[task])(batches.answer)

    @app.get("/readyz")
    async def ready() -> str:
        return "ready"

    uvicorn.run(app, port=int(port), log_level="warning")
