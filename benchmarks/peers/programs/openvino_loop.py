"""OpenVINO on the same padded ONNX model, as a bare loop: batches of 32, throughput settings.

Usage: openvino_loop.py FOLDER THREADS f32|bf16
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import properties
from tokenizers import Tokenizer

from benchmarks.loops import Step, Texts, serve
from benchmarks.peers.programs.pooling import LARGEST_BATCH, pooled


class OpenVino:
    """Compiled models of both tasks, one request per thread."""

    def __init__(self, folder: Path, threads: int, precision: str) -> None:
        self.threads = threads
        core = openvino.Core()
        settings = {
            properties.inference_num_threads(): threads,
            properties.hint.performance_mode(): properties.hint.PerformanceMode.THROUGHPUT,
            properties.hint.inference_precision(): precision,
        }
        self._models = {
            task: core.compile_model(str(folder / task / "model.onnx"), "CPU", settings)
            for task in ("fill-mask", "embed")
        }
        self._tokenizer = Tokenizer.from_file(str(folder / "fill-mask" / "tokenizer.json"))
        self._tokenizer.enable_padding()
        self._mask = self._tokenizer.token_to_id("[MASK]")

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:
        """Lay out padded batches in the order of the stream."""
        size = min(waiting, LARGEST_BATCH)
        batches = [self._feeds(texts[n : n + size]) for n in range(0, len(texts), size)]
        model = self._models[task]
        free = [model.create_infer_request() for _ in range(self.threads)]

        def step(number: int) -> int:
            feeds = batches[number % len(batches)]
            request = free.pop()
            request.infer(feeds, share_inputs=True)
            free.append(request)
            return len(feeds["input_ids"])

        return step

    def answers(self, task: str, texts: Texts) -> list[Any]:
        """Answer one padded batch."""
        feeds = self._feeds(texts)
        output = self._models[task](feeds)[0]
        if task == "embed":
            return list(pooled(output, feeds["attention_mask"]).tolist())
        rows = np.nonzero(feeds["input_ids"] == self._mask)
        return [int(token) for token in output[rows].argmax(axis=1)]

    def _feeds(self, texts: Texts) -> dict[str, NDArray[np.int64]]:
        encodings = self._tokenizer.encode_batch([text for (text,) in texts])
        ids = np.array([encoding.ids for encoding in encodings], np.int64)
        seen = np.array([encoding.attention_mask for encoding in encodings], np.int64)
        return {"input_ids": ids, "attention_mask": seen, "token_type_ids": np.zeros_like(ids)}


if __name__ == "__main__":
    serve(OpenVino(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
