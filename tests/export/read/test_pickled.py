"""Pickles: only on demand, never as code, and gone without trace."""

import ctypes
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from export.errors import ExportError
from export.read import pickled, unpickle
from export.read.checkpoint import read_checkpoint

PICKLE = "pytorch_model.bin"


class Evil:
    """Unpickling it creates a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self.canary,))


@pytest.fixture
def only_pickle(bert: Path) -> Path:
    """A folder whose weights are in pytorch_model.bin, the decoder sharing memory as it did."""
    tensors = load_file(bert / "model.safetensors")
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    torch.save(tensors, bert / PICKLE)
    (bert / "model.safetensors").unlink()
    return bert


def test_pickle_is_read_on_demand_only_and_leaves_no_file_behind(
    only_pickle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(ExportError, match="read only with --allow-pickle"):
        read_checkpoint(only_pickle)
    checkpoint = read_checkpoint(only_pickle, allow_pickle=True)
    assert list(temporary.iterdir()) == []
    stored = torch.load(only_pickle / PICKLE, weights_only=True)
    assert checkpoint.heads == ("mlm", "nsp", "pooler")
    np.testing.assert_array_equal(
        checkpoint.weights["layers.2.intermediate.weight"],
        stored["bert.encoder.layer.2.intermediate.dense.weight"].numpy(),
    )


def test_older_format_and_shards_are_read(only_pickle: Path) -> None:
    tensors = torch.load(only_pickle / PICKLE, weights_only=True)
    names = sorted(tensors)
    shards = {"pytorch_model-00001-of-00002.bin": names[:20]}
    shards["pytorch_model-00002-of-00002.bin"] = names[20:]
    for shard, keys in shards.items():
        torch.save(
            {key: tensors[key].clone() for key in keys},
            only_pickle / shard,
            _use_new_zipfile_serialization=False,
        )
    index = {key: shard for shard, keys in shards.items() for key in keys}
    (only_pickle / pickled.INDEX).write_text(str({"weight_map": index}).replace("'", '"'))
    (only_pickle / PICKLE).unlink()
    checkpoint = read_checkpoint(only_pickle, allow_pickle=True)
    assert checkpoint.weights["pooler.weight"].shape == (12, 12)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_pickle_is_not_run(only_pickle: Path, tmp_path: Path, writer: str) -> None:
    canary = tmp_path / "canary"
    evil = {"bert.pooler.dense.bias": Evil(canary)}
    if writer == "torch":
        torch.save(evil, only_pickle / PICKLE)
    else:
        (only_pickle / PICKLE).write_bytes(pickle.dumps(evil))
    with pytest.raises(ExportError, match=r"pytorch_model\.bin cannot be read: it asks for more"):
        read_checkpoint(only_pickle, allow_pickle=True)
    assert not canary.exists()
    if writer == "torch":
        torch.load(only_pickle / PICKLE, weights_only=False)
    else:
        pickle.loads((only_pickle / PICKLE).read_bytes())  # noqa: S301 (written above)
    assert canary.exists()  # the trap itself works


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cut short"), ([1, 2], "something else"), ({"a": 1}, "something else")],
)
def test_other_pickles_are_one_sentence(
    only_pickle: Path, monkeypatch: pytest.MonkeyPatch, content: object, sentence: str
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())  # this process keeps its network
    if content is None:
        data = (only_pickle / PICKLE).read_bytes()
        (only_pickle / PICKLE).write_bytes(data[: len(data) // 2])
    else:
        torch.save(content, only_pickle / PICKLE)
    assert sentence in (unpickle.main(only_pickle / PICKLE, only_pickle / "out") or "")


def test_without_torch_the_sentence_says_so(
    only_pickle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # -S: nothing is installed
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ExportError, match="torch is not installed"):
        read_checkpoint(only_pickle, allow_pickle=True)


def test_safetensors_are_preferred_to_a_pickle(bert: Path) -> None:
    (bert / PICKLE).write_bytes(b"never opened")
    assert read_checkpoint(bert, allow_pickle=True).heads == ("mlm", "nsp", "pooler")
