"""What the settings leave open: how many workers, runs and tokens suit a device."""

from typing import Final

from server.inference.runtime.cores import available_cores
from server.inference.runtime.devices import Device
from server.settings import InferenceOptions

# A GPU is filled by large batches; one worker lays out the next while the other's is computed.
GPU_WORKERS: Final = 2
BATCH_TOKENS: Final = {
    "cpu": 512,
    "cuda": 8192,
}  # what an H200 does with others: docs/notebook/gpu.md


RUN_BYTES: Final = {"cpu": 192 << 20, "cuda": 8 << 30}


def worker_count(options: InferenceOptions, device: Device) -> int:
    """Worker threads: as asked, or one more than keeps the cores, or the GPU, busy.

    While one waits for the interpreter's lock, to lay out its batch or to split its results, the
    others compute; and a small request is begun at once while bulk work keeps the cores busy.
    """
    if options.threads or device.name == "cuda":
        return options.threads or GPU_WORKERS
    return available_cores() // max(1, options.intra_op) + 1


def runs_at_once(options: InferenceOptions, device: Device) -> int:
    """Runs that keep all cores, or the GPU, busy."""
    if device.name == "cuda":
        return GPU_WORKERS
    return max(1, available_cores() // max(1, options.intra_op))


def batch_tokens(options: InferenceOptions, device: Device) -> int:
    """Most packed tokens of one batch: as asked, or as many as suit the device."""
    return options.batch_tokens or BATCH_TOKENS[device.name]


def run_bytes(options: InferenceOptions, device: Device) -> int:
    """Most bytes that one run may take: as asked, or as many as suit the device."""
    return options.run_bytes or RUN_BYTES[device.name]
