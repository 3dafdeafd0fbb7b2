"""What was asked for and what ONNX Runtime offers in, where sessions run out: the CPU or a GPU.

`choose_device` decides from names alone. `confirm_device` then finds out whether CUDA's libraries
and a driver are really there: without them ONNX Runtime computes on the CPU and merely logs it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import onnxruntime as ort

from models.opening import open_session

logger = logging.getLogger("cloze")

Asked = Literal["auto", "cpu", "cuda"]
Provider = tuple[str, dict[str, str]]

CPU_PROVIDER: Final[Provider] = ("CPUExecutionProvider", {})
# Kernels of attention, as bits: FlashAttention 1, memory-efficient 2, plain products 16. Not 8,
# cuDNN's, which ONNX Runtime prefers for texts with one read row on a Hopper or newer: it plans
# anew for each number of texts and longest text, and those are hardly ever the same twice here
# (39 ms instead of 2 for the first run of a shape: docs/notebook/gpu.md).
ATTENTION_KERNELS: Final = str(1 | 2 | 16)
# TensorFloat-32 would round the products of float32 models, and those of all heads, to 10 bits.
CUDA_PROVIDER: Final[Provider] = (
    "CUDAExecutionProvider",
    {"use_tf32": "0", "sdpa_kernel": ATTENTION_KERNELS},
)

NO_PROVIDER: Final = "this onnxruntime has no CUDA provider; install requirements/serve-cuda.txt"
NOT_LOADED: Final = (
    "the CUDA provider does not load; it needs NVIDIA's driver, and the libraries that "
    "requirements/serve-cuda.txt installs"
)

# An ONNX model that says y = x: the least that a session can be opened with.
PROBE: Final = bytes.fromhex(
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a0208016"
    "20f0a0179120a0a08080112040a02080142040a00100d"
)


class DeviceError(Exception):
    """The device that was asked for cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Device:
    """Where sessions run."""

    name: Literal["cpu", "cuda"]
    asked: Asked
    providers: tuple[Provider, ...]
    """Of ONNX Runtime, in the order of preference."""


def cpu_device(asked: Asked = "cpu") -> Device:
    """The CPU, which is always there."""
    return Device("cpu", asked, (CPU_PROVIDER,))


def choose_device(asked: Asked, available: Sequence[str]) -> Device:
    """The device for what was asked, given the names of the providers in this onnxruntime.

    Raises:
        DeviceError: a GPU was asked for, and this onnxruntime is built without.

    >>> choose_device("auto", ["CUDAExecutionProvider", "CPUExecutionProvider"]).name
    'cuda'
    >>> choose_device("auto", ["CPUExecutionProvider"]).name
    'cpu'
    """
    if asked == "cpu":
        return cpu_device()
    if CUDA_PROVIDER[0] in available:
        return Device("cuda", asked, (CUDA_PROVIDER, CPU_PROVIDER))
    return _without_gpu(asked, NO_PROVIDER)


def offered() -> list[str]:
    """The names of the providers in this onnxruntime."""
    names: list[str] = ort.get_available_providers()
    return names


def find_device(asked: Asked) -> Device:
    """The device for what was asked, on this machine (blocking: CUDA may take seconds to load).

    Logs one line when `auto` becomes the CPU.

    Raises:
        DeviceError: a GPU was asked for and cannot be had.
    """
    device = choose_device(asked, offered())
    if device.name == "cuda":
        # Finds the libraries that pip installed; they are on no path of the system's.
        ort.preload_dlls()
        device = confirm_device(device, used_providers(device))
    elif asked == "auto":
        logger.info("computing on the CPU: %s", NO_PROVIDER)
    return device


def confirm_device(device: Device, used: Sequence[str]) -> Device:
    """The device of a session that uses these providers, whatever it was opened for.

    Raises:
        DeviceError: a GPU was asked for, and the session does without.
    """
    if device.providers[0][0] in used:
        return device
    confirmed = _without_gpu(device.asked, NOT_LOADED)
    logger.warning("computing on the CPU: %s", NOT_LOADED)
    return confirmed


def device_for(device: Device, model: str, precision: str) -> Device:
    """Where a model of this precision runs: int8 only on the CPU, whose products it is made of.

    Logs one line when device and precision do not suit each other.

    Raises:
        DeviceError: a GPU was asked for, and the model is int8.
    """
    if device.name == "cuda" and precision == "int8":
        reason = f"{model} is int8, whose products have no CUDA kernel; export it in fp16"
        placed = _without_gpu(device.asked, reason)
        logger.warning("computing on the CPU: %s", reason)
        return placed
    if device.name == "cpu" and precision == "fp16":
        # Kernels are missing there: numbers are widened, computed in float32 and rounded again.
        logger.warning("%s is float16, which on the CPU is no faster than float32", model)
    return device


def used_providers(device: Device) -> list[str]:
    """The providers that a session opened for a device really has."""
    used: list[str] = open_session(PROBE, providers=device.providers).get_providers()
    return used


def _without_gpu(asked: Asked, reason: str) -> Device:
    if asked == "cuda":
        raise DeviceError(reason)
    return cpu_device(asked)
