"""A new head that is one product needs its declaration in `models.heads` and nothing else."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.check.parity import TOLERANCE
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.restore.__main__ import restore
from export.write.model_folder import export_model
from models.heads import HEADS, Head, Reads
from tests.export.built_graph import build_graph, difference
from tests.export.torch_bert import TorchBert, tiny_texts

MOOD = Head(
    name="mood",
    title="mood",
    task="mood",
    reads=Reads.POOLED,
    width=3,
    modules={"mood": "moods.out"},
    architectures=("BertForMoodAndParts",),
)
PARTS = Head(
    name="parts",
    title="parts-of-speech",
    task="parts",
    reads=Reads.TOKENS,
    modules={"parts": "part_of_speech"},
    architectures=("BertForMoodAndParts",),
)
LABELS = 5

Save = Callable[..., Path]


@pytest.fixture
def folder(save: Save, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with both heads, which are declared while the test runs."""
    monkeypatch.setattr("models.heads.HEADS", (*HEADS, MOOD, PARTS))
    folder = save("BertModel")
    rng = np.random.default_rng(4)
    own = {
        "moods.out.weight": rng.normal(size=(3, 12)),
        "moods.out.bias": rng.normal(size=3),
        "part_of_speech.weight": rng.normal(size=(LABELS, 12)),
        "part_of_speech.bias": rng.normal(size=LABELS),
    }
    tensors = load_file(folder / "model.safetensors")
    tensors |= {name: value.astype(np.float32) for name, value in own.items()}
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    labels = {str(index): f"part {index}" for index in range(LABELS)}
    config |= {"architectures": ["BertForMoodAndParts"], "id2label": labels}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def checkpoint(folder: Path) -> Checkpoint:
    """The same, read."""
    return dataclasses.replace(read_checkpoint(folder), name="moody")


def test_heads_are_read_and_compute_a_product_of_what_they_read(
    folder: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert checkpoint.heads == ("pooler", "mood", "parts")
    found = build_graph(checkpoint, tmp_path / "graph").run(tiny_texts())
    torch_bert, weights = TorchBert(folder, "BertModel"), checkpoint.weights
    hidden = [torch_bert(text).hidden[-1] for text in tiny_texts()]
    cls = np.stack([rows[0] for rows in hidden])
    pooled = np.tanh(cls @ weights["pooler.weight"].T + weights["pooler.bias"])
    mood = pooled @ weights["mood.weight"].T + weights["mood.bias"]
    parts = np.concatenate(hidden) @ weights["parts.weight"].T + weights["parts.bias"]
    assert difference(found["mood_logits"], mood) <= TOLERANCE
    assert difference(found["parts_logits"], parts) <= TOLERANCE


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_heads_are_exported_measured_and_restored(
    checkpoint: Checkpoint, tmp_path: Path, precision: str
) -> None:
    out = tmp_path / "model"
    manifest = export_model(checkpoint, out, precision=precision, progress=lambda _: None)
    assert manifest.labels == tuple(f"part {index}" for index in range(LABELS))
    assert manifest.parameters["mood"] == 3 * 12 + 3
    if precision == "fp32":
        assert manifest.parity.keys() >= {"mood_logits", "parts_logits"}
        assert max(manifest.parity.values()) <= TOLERANCE
    else:
        assert 0 < manifest.quantization_error["mood_logits_mean_abs"] < 1
        assert 0 < manifest.quantization_error["parts_logits_mean_abs"] < 1
    assert "- Tasks: embed, mood, parts" in (out / "README.md").read_text().splitlines()
    restore(out, tmp_path / "restored")
    config = json.loads((tmp_path / "restored" / "config.json").read_text())
    assert config["architectures"] == ["BertForMoodAndParts"]
    again = read_checkpoint(tmp_path / "restored")
    assert again.heads == checkpoint.heads
    for name in ("mood.weight", "parts.bias"):
        np.testing.assert_array_equal(again.weights[name], checkpoint.weights[name])


def test_product_of_rows_that_no_product_gets_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = Head(name="mood", title="", task=None, reads=Reads.MASKS, width=3)
    monkeypatch.setattr("models.heads.HEADS", (*HEADS, masks, PARTS))
    with pytest.raises(ValueError, match="mood is a product of rows of masks"):
        build_graph(checkpoint, tmp_path / "graph")
