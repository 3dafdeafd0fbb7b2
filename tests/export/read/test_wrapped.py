"""Checkpoints whose names a wrapper began: the same weights, or refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from export.read.wrapped import wrapping

Save = Callable[..., Path]
WEIGHTS = "model.safetensors"


def rename(folder: Path, new: Callable[[str], str]) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({new(name): tensor for name, tensor in tensors.items()}, folder / WEIGHTS)


@pytest.mark.parametrize("architecture", ["BertModel", "BertForPreTraining"])
@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "0.auto_model.", "module._orig_mod.", "encoder."]
)
def test_wrappers_name_is_taken_off(save: Save, architecture: str, prefix: str) -> None:
    if (architecture, prefix) == ("BertForPreTraining", "encoder."):
        prefix = "bert."  # `bert.bert.pooler` beside `bert.cls`
    folder = save(architecture)
    before = read_checkpoint(folder)
    wanted = {name: before.weights[name] for name in before.weights}
    rename(folder, lambda name: prefix + name)
    after = read_checkpoint(folder)
    assert after.heads == before.heads
    assert set(after.weights) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(after.weights[name], value, err_msg=name)


def test_wrapped_model_may_hold_what_any_may(save: Save) -> None:
    folder = save("BertForSequenceClassification", num_labels=2)
    tensors = load_file(folder / WEIGHTS)
    tensors["bert.embeddings.position_ids"] = torch.arange(29)[None]
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / WEIGHTS)
    checkpoint = read_checkpoint(folder)
    assert dict(checkpoint.ignored) == {
        "bert.embeddings.position_ids": "a buffer: 0, 1, 2 and so on"
    }


@pytest.mark.parametrize(
    "new",
    [
        lambda name: f"roberta.{name}",
        lambda name: f"student.{name}",
        lambda name: f"model.{name}" if "pooler" in name else name,
    ],
    ids=["another family's", "of a name that says something", "of some names only"],
)
def test_beginning_that_is_no_wrappers_is_refused(save: Save, new: Callable[[str], str]) -> None:
    folder = save("BertModel")
    rename(folder, new)
    with pytest.raises(ExportError, match="has no place for"):
        read_checkpoint(folder)


def test_encoder_of_berts_own_is_no_wrapper() -> None:
    assert wrapping(["encoder.layer.0.output.dense.bias"], "bert.") == ""
    assert wrapping([], "bert.") == ""


def test_family_whose_names_begin_with_nothing_or_as_a_wrapper_does() -> None:
    assert wrapping(["layers.0.bias", "norm.bias"], "") == ""
    assert wrapping(["module.layers.0.bias", "module.norm.bias"], "") == "module."
    assert wrapping(["model.norm.bias", "head.norm.bias"], "model.") == ""
