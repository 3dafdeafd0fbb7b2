"""Random weights are a whole checkpoint, as transformers reads it."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.random_checkpoint import SIZES, weights, write


def test_transformers_finds_every_weight(tmp_path: Path, default_model: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write("tiny", default_model / "tokenizer.json", tmp_path)
    model, loading = transformers.BertForPreTraining.from_pretrained(
        tmp_path, output_loading_info=True
    )
    missing = set(loading["missing_keys"])
    assert missing <= {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}  # tied
    assert not loading["unexpected_keys"]
    layers, hidden, heads = SIZES["tiny"]
    config = model.config
    shape = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads)
    assert shape == (layers, hidden, heads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.mask_token == "[MASK]"


def test_weights_are_the_same_every_time_and_differ_from_each_other() -> None:
    drawn, again = weights("tiny"), weights("tiny")
    parts = [f"bert.encoder.layer.1.attention.self.{part}.weight" for part in ("key", "value")]
    assert (drawn[parts[0]] == again[parts[0]]).all()
    assert not (drawn[parts[0]] == drawn[parts[1]]).any()
    assert (drawn["bert.embeddings.LayerNorm.weight"] == np.float32(1)).all()
