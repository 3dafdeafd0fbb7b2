"""OpenVINO on the same padded ONNX model, as a bare loop: batches of 32, throughput settings.

Usage: openvino_loop.py FOLDER THREADS f32|bf16
"""

import sys
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import properties

from benchmarks.loops import serve
from benchmarks.peers.programs.padded import Feeds, PaddedModel


class OpenVino(PaddedModel):
    """Compiled models of both tasks, one request per thread."""

    def __init__(self, folder: Path, threads: int, precision: str) -> None:
        super().__init__(folder / "fill-mask" / "tokenizer.json", threads)
        core = openvino.Core()
        settings = {
            properties.inference_num_threads(): threads,
            properties.hint.performance_mode(): properties.hint.PerformanceMode.THROUGHPUT,
            properties.hint.inference_precision(): precision,
        }
        self._free = {}
        for task in ("fill-mask", "embed"):
            model = core.compile_model(str(folder / task / "model.onnx"), "CPU", settings)
            self._free[task] = [model.create_infer_request() for _ in range(threads)]

    def run(self, task: str, feeds: Feeds) -> NDArray[np.float32]:
        """Run one batch on a request that is free; its next run overwrites what is returned."""
        request = self._free[task].pop()
        request.infer(feeds, share_inputs=True, share_outputs=True)
        output: NDArray[np.float32] = request.get_output_tensor(0).data
        self._free[task].append(request)
        return output


if __name__ == "__main__":
    serve(OpenVino(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
