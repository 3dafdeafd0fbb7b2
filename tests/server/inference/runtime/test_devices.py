"""Where models run: decided from names, confirmed by a session, refused in a sentence."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from models.manifest import load_manifest
from server.inference.runtime import devices
from server.inference.runtime.devices import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    PROBE,
    Asked,
    Device,
    DeviceError,
    choose_device,
    confirm_device,
    cpu_device,
    device_for,
    find_device,
    used_providers,
)
from server.inference.runtime.session import Session, SessionOptions

WITH_CUDA = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
WITHOUT = ["AzureExecutionProvider", "CPUExecutionProvider"]
CPU_ONLY = ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("asked", "available", "name", "providers"),
    [
        ("cpu", WITH_CUDA, "cpu", (CPU_PROVIDER,)),
        ("cpu", WITHOUT, "cpu", (CPU_PROVIDER,)),
        ("auto", WITHOUT, "cpu", (CPU_PROVIDER,)),
        ("auto", WITH_CUDA, "cuda", (CUDA_PROVIDER, CPU_PROVIDER)),
        ("cuda", WITH_CUDA, "cuda", (CUDA_PROVIDER, CPU_PROVIDER)),
    ],
)
def test_providers_follow_from_what_is_asked_and_what_is_there(
    asked: Asked, available: list[str], name: str, providers: tuple[devices.Provider, ...]
) -> None:
    device = choose_device(asked, available)
    assert (device.name, device.providers) == (name, providers)


def test_float32_products_of_a_gpu_are_not_rounded_to_tensorfloat() -> None:
    name, options = choose_device("cuda", WITH_CUDA).providers[0]
    assert (name, options["use_tf32"]) == ("CUDAExecutionProvider", "0")


def test_attention_of_a_gpu_is_not_planned_by_cudnn_for_each_shape() -> None:
    _, options = choose_device("cuda", WITH_CUDA).providers[0]
    assert int(options["sdpa_kernel"]) & 8 == 0
    assert int(options["sdpa_kernel"]) & 1


def test_a_gpu_without_a_cuda_provider_is_refused_with_what_to_install() -> None:
    with pytest.raises(
        DeviceError, match=r"no CUDA provider; install requirements/serve-cuda\.txt"
    ):
        choose_device("cuda", WITHOUT)


def test_a_session_that_kept_its_provider_keeps_its_device() -> None:
    for device in (choose_device("cuda", WITH_CUDA), choose_device("auto", WITH_CUDA)):
        assert confirm_device(device, WITH_CUDA[1:]) is device
    assert confirm_device(cpu_device(), CPU_ONLY) == cpu_device()


def test_a_silent_fallback_is_refused_where_a_gpu_was_asked_for() -> None:
    with pytest.raises(DeviceError, match="does not load; it needs NVIDIA's driver"):
        confirm_device(choose_device("cuda", WITH_CUDA), CPU_ONLY)


def test_a_silent_fallback_is_one_warning_under_auto(caplog: pytest.LogCaptureFixture) -> None:
    device = confirm_device(choose_device("auto", WITH_CUDA), CPU_ONLY)
    assert (device.name, device.providers) == ("cpu", (CPU_PROVIDER,))
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith("computing on the CPU: the CUDA provider does not load")


def test_auto_says_once_why_it_is_the_cpu(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: WITHOUT)
    caplog.set_level(logging.INFO)
    assert find_device("auto").name == "cpu"
    (line,) = caplog.records
    assert line.getMessage() == f"computing on the CPU: {devices.NO_PROVIDER}"


def test_the_cpu_that_was_asked_for_needs_no_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert find_device("cpu") == cpu_device()
    assert not caplog.records


@pytest.mark.parametrize("used", [CPU_ONLY, WITH_CUDA[1:]], ids=["fallen back", "loaded"])
def test_libraries_are_loaded_before_a_session_is_tried(
    monkeypatch: pytest.MonkeyPatch, used: list[str]
) -> None:
    done: list[str] = []
    monkeypatch.setattr(ort, "get_available_providers", lambda: WITH_CUDA)
    monkeypatch.setattr(ort, "preload_dlls", lambda: done.append("libraries"))

    def opened(device: Device) -> list[str]:
        done.append(device.name)
        return used

    monkeypatch.setattr(devices, "used_providers", opened)
    assert find_device("auto").name == ("cuda" if len(used) > 1 else "cpu")
    assert done == ["libraries", "cuda"]


def test_the_probe_is_a_model_that_runs() -> None:
    (found,) = ort.InferenceSession(PROBE, providers=CPU_ONLY).run(None, {"x": np.ones(1, "f4")})
    np.testing.assert_array_equal(found, np.ones(1, np.float32))
    assert used_providers(cpu_device()) == CPU_ONLY


def test_int8_runs_on_the_cpu_beside_a_gpu(caplog: pytest.LogCaptureFixture) -> None:
    assert device_for(choose_device("auto", WITH_CUDA), "small", "int8").name == "cpu"
    assert "small is int8, whose products have no CUDA kernel; export it in fp16" in caplog.text


def test_int8_is_refused_where_a_gpu_was_asked_for() -> None:
    with pytest.raises(DeviceError, match="small is int8"):
        device_for(choose_device("cuda", WITH_CUDA), "small", "int8")


def test_float16_on_the_cpu_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert device_for(cpu_device(), "half", "fp16") == cpu_device()
    (line,) = caplog.records
    assert line.getMessage() == "half is float16, which on the CPU is no faster than float32"


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cpu", "fp32"), ("cpu", "int8"), ("cuda", "fp32"), ("cuda", "fp16")],
)
def test_what_suits_needs_no_word(
    device: Asked, precision: str, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = choose_device(device, WITH_CUDA)
    assert device_for(chosen, "any", precision) is chosen
    assert not caplog.records


def test_a_session_that_falls_back_is_refused(
    default_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ONNX Runtime does when CUDA's libraries are missing: it opens the session on the CPU."""
    real = ort.InferenceSession

    def fall_back(*arguments: object, providers: object, **options: object) -> object:
        return real(*arguments, providers=CPU_ONLY, **options)

    monkeypatch.setattr(ort, "InferenceSession", fall_back)
    device = choose_device("cuda", WITH_CUDA)
    with pytest.raises(DeviceError):
        Session(default_model, load_manifest(default_model), SessionOptions(device=device))
