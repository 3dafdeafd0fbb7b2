"""How a model is run and what one request may ask of it; what was left open follows the device."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.inference.runtime.cores import available_cores
from server.inference.runtime.devices import Device, cpu_device

# A GPU is filled by large batches; one worker lays out the next while the other's is computed.
GPU_WORKERS = 2
BATCH_TOKENS = {"cpu": 512, "cuda": 8192}  # what an H200 does with others: docs/gpu.md


@dataclass(frozen=True)
class InferenceOptions:
    """What the settings say of inference."""

    threads: int = 0
    """Worker threads; 0 for as many as suit the device."""
    intra_op: int = 1
    """Threads inside one run of the session; 0 to measure whether all cores pay."""
    intra_op_alone: int = 1
    """The same for a run that has the machine to itself: 1 for no session of its own."""
    batch_tokens: int = 0
    """Most packed tokens of one batch; 0 for as many as suit the device."""
    queue_tokens: int = 65_536
    """Most tokens that wait."""
    max_items: int = 512
    """Most texts in one request."""
    max_masks: int = 512
    max_targets: int = 1000
    max_top_k: int = 1000
    device: Device = field(default_factory=cpu_device)


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
