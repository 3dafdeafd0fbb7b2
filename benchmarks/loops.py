"""A bare loop's side of a measurement: texts in, texts per second out, no HTTP.

A loop is a program that keeps a model loaded, reads one JSON object a line and answers with one.
This module needs nothing installed, so that every peer's environment can run it.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Protocol

Texts = Sequence[Sequence[str]]
"""One text each, or two for a pair."""
Step = Callable[[int], int]
"""Computes the batch of a number, from 0 on and for ever, and returns how many texts it has."""


class Answering(Protocol):
    """A loaded model."""

    def answers(self, task: str, texts: Texts) -> list[Any]:
        """Answer each text: the id of the likeliest token for its mask, or its vector."""


class LoadedModel(Answering, Protocol):
    """What a loop computes with."""

    threads: int
    """Python threads that compute batches side by side."""

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:
        """Tokenise, and lay out the batches of a stream of which so many texts always wait."""


def stepping(
    batches: Sequence[Any], compute: Callable[[Any], object], size: Callable[[Any], int] = len
) -> Step:
    """Compute the batches in turn, again and again."""

    def step(number: int) -> int:
        batch = batches[number % len(batches)]
        compute(batch)
        return size(batch)

    return step


def run(step: Step, threads: int, warm_s: float, seconds: float) -> dict[str, float]:
    """Compute batches on so many threads for so long; `served` counts the warm-up's texts too."""
    numbers = count()
    finished: list[tuple[float, int]] = []
    begins = time.perf_counter() + warm_s

    def work() -> None:
        while time.perf_counter() < begins + seconds:
            texts = step(next(numbers))
            finished.append((time.perf_counter(), texts))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # From the end of the warm-up to the end of the last batch, each thread in full.
    served = sum(texts for _, texts in finished)
    measured = sum(texts for end, texts in finished if end >= begins)
    seconds = max(end for end, _ in finished) - begins
    return {"texts": measured, "seconds": seconds, "served": served}


def serve(model: LoadedModel) -> None:
    """Answer what comes in until the input ends; say first that the model is loaded."""
    say = partial(print, flush=True)
    say(json.dumps({"ready": True}))
    for line in sys.stdin:
        asked = json.loads(line)
        task, texts = asked["task"], asked["texts"]
        if asked["seconds"] is None:
            say(json.dumps({"answers": model.answers(task, texts)}))
        else:
            step = model.prepare(task, texts, asked["waiting"])
            threads = min(model.threads, asked["waiting"])
            say(json.dumps(run(step, threads, asked["warm_s"], asked["seconds"])))
