"""Weights are named for what they are, and made into a checkpoint that pools sentences."""

import json
from pathlib import Path

import pytest

from benchmarks.peers import environments
from benchmarks.peers.weights import make_checkpoint, name_of


def checkpoint(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text('{"hidden_size": 12, "max_position_embeddings": 64}')
    return folder


def test_other_weights_have_another_name(tmp_path: Path) -> None:
    one, other = (checkpoint(tmp_path / n / "bert", n.encode()) for n in ("one", "other"))
    assert name_of(str(one)).startswith("bert-")
    assert name_of(str(one)) != name_of(str(other))
    assert name_of("base") == "base"


def test_checkpoint_is_copied_with_the_way_sentences_are_pooled(tmp_path: Path) -> None:
    made = tmp_path / "weights" / "checkpoint"
    make_checkpoint(str(checkpoint(tmp_path / "bert", b"weights")), made)
    assert (made / "model.safetensors").read_bytes() == b"weights"
    pooling = json.loads((made / "1_Pooling" / "config.json").read_text())
    assert pooling == {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True}
    assert json.loads((made / "sentence_bert_config.json").read_text())["max_seq_length"] == 64


def test_installation_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no such package"):
        environments.call(["python3", "-c", "import sys; sys.exit('no such package')"])
