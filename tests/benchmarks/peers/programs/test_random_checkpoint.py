"""Random weights are a whole checkpoint, as transformers reads it."""

from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers")


def test_checkpoint_has_the_sizes_and_the_heads_that_were_asked_for(
    tmp_path: Path, default_model: Path
) -> None:
    from benchmarks.peers.programs.random_checkpoint import write  # noqa: PLC0415 - needs torch

    write(2, 64, 4, default_model / "tokenizer.json", tmp_path)
    model = transformers.BertForPreTraining.from_pretrained(tmp_path)
    sizes = (model.config.num_hidden_layers, model.config.hidden_size)
    assert (*sizes, model.config.num_attention_heads) == (2, 64, 4)
    # Larger than those that a training begins with.
    assert model.bert.pooler.dense.weight.std() > 0.1
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).mask_token == "[MASK]"
