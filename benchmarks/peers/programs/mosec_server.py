"""mosec in front of the same padded ONNX model: its own batching, HTTP in Rust.

Usage: mosec_server.py FOLDER PORT THREADS
"""

import os
import sys
from pathlib import Path
from typing import Any

from mosec import Runtime, Server, Worker

from benchmarks.peers.programs.padded import Padded
from benchmarks.peers.programs.pooling import LARGEST_BATCH

FOLDER, THREADS = "CLOZE_PEER_FOLDER", "CLOZE_PEER_THREADS"  # environment of the workers
WAIT_MS = 1  # for a batch to fill
LIMIT_S = 120  # of a batch; mosec's 3 s are too few for 32 long texts


class Task(Worker):  # type: ignore[misc] # mosec comes without types
    """Answers batches of one task."""

    name = ""

    def __init__(self) -> None:
        self._model = Padded(Path(os.environ[FOLDER]), int(os.environ[THREADS]))

    def forward(self, data: list[dict[str, Any]]) -> list[Any]:
        """Answer a batch."""
        return self._model.answer(self.name, [body["inputs"] for body in data])


class FillMask(Task):
    """Fills masks."""

    name = "fill-mask"


class Embed(Task):
    """Embeds texts."""

    name = "embed"

    def forward(self, data: list[dict[str, Any]]) -> list[Any]:
        """Answer a batch with a list of one vector for each text."""
        return [[vector] for vector in super().forward(data)]


if __name__ == "__main__":
    os.environ[FOLDER], port, os.environ[THREADS] = sys.argv[1:4]
    listen = ["--port", port, "--address", "127.0.0.1"]
    sys.argv = [sys.argv[0], *listen, "--timeout", str(1000 * LIMIT_S)]  # which mosec reads
    server = Server()
    server.register_runtime(
        {
            f"/{worker.name}": [
                Runtime(worker, 1, max_batch_size=LARGEST_BATCH, max_wait_time=WAIT_MS)
            ]
            for worker in (FillMask, Embed)
        }
    )
    server.run()
