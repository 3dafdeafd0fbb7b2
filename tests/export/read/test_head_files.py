"""BGE-M3's sparse and multi-vector heads, from files as FlagEmbedding saves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.check import quantization_error
from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from export.restore.__main__ import restore
from export.write.model_folder import export_model
from models.graph_file import require_graph
from models.heads import MULTI_VECTOR, SPARSE
from models.manifest import load_manifest
from server.inference.runtime.packing import Encoding, Item, TokenLogits
from tests import families
from tests.families import Made
from tests.server.inference.conftest import load_session

SAME = 1e-5  # absolute, of a head's numbers
HIDDEN = 32


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """An XLM-RoBERTa with both heads beside it."""
    made = families.make("xlm-roberta", "Model", tmp_path / "checkpoint")
    torch.manual_seed(3)
    for name, width in (("sparse_linear", 1), ("colbert_linear", HIDDEN)):
        torch.save(torch.nn.Linear(HIDDEN, width).state_dict(), made.folder / f"{name}.pt")
    return made


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_heads_are_exported_served_and_restored(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr(quantization_error, "OPERATIONS", 4e7)
    checkpoint = read_checkpoint(made.folder, allow_pickle=True)
    assert checkpoint.heads == ("sparse", "multi_vector")
    assert checkpoint.config.labels == ()
    out = tmp_path / "model"
    export_model(checkpoint, out, precision=precision, progress=lambda _: None)
    manifest = load_manifest(out)
    require_graph(out, manifest)
    assert manifest.parameters["multi_vector"] == HIDDEN * HIDDEN + HIDDEN
    text, rows = made.texts[1], np.arange(len(made.texts[1].ids))
    encoding = Encoding(text.ids, text.type_ids)
    items = [Item(encoding, TokenLogits(head, rows)) for head in (SPARSE, MULTI_VECTOR)]
    found = load_session(out).run(items)
    vectors = torch.from_numpy(made.wanted(text)["token_vectors"])
    for name, ours in zip(("sparse_linear", "colbert_linear"), found, strict=True):
        assert isinstance(ours, np.ndarray)
        state = torch.load(made.folder / f"{name}.pt", weights_only=True)
        theirs = (vectors @ state["weight"].T + state["bias"]).numpy()
        assert ours.shape == theirs.shape
        if precision == "fp32":
            assert np.abs(ours - theirs).max() <= SAME
    restore(out, tmp_path / "restored")
    assert read_checkpoint(tmp_path / "restored").heads == checkpoint.heads


def test_pickles_are_left_alone_until_they_are_asked_for(made: Made) -> None:
    checkpoint = read_checkpoint(made.folder)
    assert checkpoint.heads == ()
    assert {name for name in checkpoint.ignored if name.endswith(".pt")} == {
        "sparse_linear.pt",
        "colbert_linear.pt",
    }
    assert "--allow-pickle" in checkpoint.ignored["sparse_linear.pt"]


def test_head_of_another_width_is_refused(made: Made) -> None:
    torch.save(torch.nn.Linear(7, 1).state_dict(), made.folder / "sparse_linear.pt")
    with pytest.raises(
        ExportError, match=r"sparse_linear\.weight has shape \(1, 7\); .* \(1, 32\)"
    ):
        read_checkpoint(made.folder, allow_pickle=True)


def test_file_that_is_no_pickle_of_tensors_is_named(made: Made) -> None:
    (made.folder / "colbert_linear.pt").write_bytes(b"nothing")
    with pytest.raises(ExportError, match=r"colbert_linear\.pt cannot be read"):
        read_checkpoint(made.folder, allow_pickle=True)
