"""safetensors files as they are stored; whole checkpoints are in test_checkpoint.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from export.errors import ExportError
from export.read.tensors import INDEX, open_safetensors, open_sharded

ROOT = Path(__file__).parents[3]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The index of two files with one tensor each."""
    for name in ("a", "b"):
        save_file({name: torch.ones(2, 3)}, tmp_path / f"{name}.safetensors")
    index = tmp_path / INDEX
    index.write_text(json.dumps({"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}))
    return index


def test_bfloat16_is_read_without_anything_else_imported(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"x": torch.tensor([0.5, -3.0, 1e30], dtype=torch.bfloat16)}, path)
    code = f"""
from pathlib import Path
from export.read.tensors import open_safetensors
array = open_safetensors([Path({str(path)!r})]).read("x")
print(array.dtype, array.astype("float64")[:2].tolist())
"""
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert child.stdout == "bfloat16 [0.5, -3.0]\n"


def test_shards_are_one_source(shards: Path) -> None:
    source = open_sharded(shards)
    assert dict(source.shapes) == {"a": (2, 3), "b": (2, 3)}
    assert source.read("b").sum() == 6


@pytest.mark.parametrize(
    ("weight_map", "sentence"),
    [
        ({"a": "a.safetensors", "c": "b.safetensors"}, "does not list b"),
        ({"a": "a.safetensors", "b": "../b.safetensors"}, "outside its folder"),
        ({"a": "a.safetensors", "b": "c.safetensors"}, r"c\.safetensors is missing"),
        ({"a": "a.safetensors", "c": "a.safetensors"}, "lists c"),
        ({}, "names no files"),
    ],
)
def test_index_at_odds_with_its_files_is_refused(
    shards: Path, weight_map: dict[str, str], sentence: str
) -> None:
    shards.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ExportError, match=sentence):
        open_sharded(shards)


def test_key_in_two_files_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    for path in paths:
        save_file({"x": torch.ones(2)}, path)
    with pytest.raises(ExportError, match=r"two\.safetensors holds x, and so does another"):
        open_safetensors(paths)
