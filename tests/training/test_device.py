"""Devices and threads from flags."""

import argparse

import pytest
import torch

from training.device import add_device_flags, chosen_device, keep_freed_memory
from training.errors import TrainingError


def chosen(*flags: str) -> torch.device:
    parser = argparse.ArgumentParser()
    add_device_flags(parser)
    return chosen_device(parser.parse_args(flags))


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        assert chosen("--device", "cpu", "--threads", "3") == torch.device("cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_no_threads_are_refused() -> None:
    with pytest.raises(TrainingError, match="at least 1"):
        chosen("--threads", "0")


def test_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="no CUDA device"):
        chosen("--device", "cuda")
    assert chosen() == torch.device("cpu")


def test_other_libraries_have_no_such_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    assert not keep_freed_memory()
