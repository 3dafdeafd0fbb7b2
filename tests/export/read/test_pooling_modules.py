"""Dense, LayerNorm, Dropout and Normalize as sentence-transformers saves them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
)

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from models.pooling import PoolingModule


def test_modules_behind_the_pooling_are_read_with_their_weights(
    sentence_bert: Callable[..., Path],
) -> None:
    dense = Dense(12, 5, bias=False, activation_function=torch.nn.SiLU())
    norm = LayerNorm(5)
    torch.nn.init.normal_(norm.norm.bias)
    folder = sentence_bert(Pooling(12), Dropout(0.5), dense, norm, Normalize(), truncate_dim=4)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.pooling.modules == (
        PoolingModule("dense", 5, "silu", bias=False),
        PoolingModule("layer_norm", 5),
    )
    assert (checkpoint.pooling.normalize, checkpoint.pooling.dimensions) == (True, 4)
    for name, tensor in (("0.weight", dense.linear.weight), ("1.bias", norm.norm.bias)):
        stored = checkpoint.weights[f"pooling.{name}"]
        np.testing.assert_array_equal(stored, tensor.detach().numpy())
    assert "embeddings.word" in checkpoint.weights
    assert len(checkpoint.weights) == len(set(checkpoint.weights))


def test_a_normalize_without_a_folder_normalises(sentence_bert: Callable[..., Path]) -> None:
    folder = sentence_bert(Pooling(12), Normalize())
    shutil.rmtree(folder / "2_Normalize")  # which git does not keep, as older versions leave it
    assert read_checkpoint(folder).pooling.normalize


def test_dense_in_a_pickle_is_read_on_request_only(sentence_bert: Callable[..., Path]) -> None:
    folder = sentence_bert(Pooling(12), Dense(12, 5))
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    (folder / "2_Dense" / "model.safetensors").unlink()
    torch.save(weights, folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ExportError, match=r"2_Dense.*only with --allow-pickle"):
        read_checkpoint(folder)
    checkpoint = read_checkpoint(folder, allow_pickle=True)
    stored = checkpoint.weights["pooling.0.bias"]
    np.testing.assert_array_equal(stored, weights["linear.bias"].numpy())
