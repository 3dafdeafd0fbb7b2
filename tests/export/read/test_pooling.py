"""Pooling as sentence-transformers itself writes it, today and in older files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sentence_transformers
from sentence_transformers.sentence_transformer.modules import (
    Normalize,
    Pooling,
)

from export.read.checkpoint import read_checkpoint
from models.pooling import POOLING_MODES, PoolingSpec

Save = Callable[..., Path]


@pytest.mark.parametrize("mode", POOLING_MODES)
def test_pooling_modes_are_read(sentence_bert: Callable[..., Path], mode: str) -> None:
    pooling = read_checkpoint(sentence_bert(Pooling(12, pooling_mode=mode))).pooling
    assert (pooling.mode, pooling.normalize) == (mode, False)
    assert pooling.max_tokens == 23
    assert pooling.default_prompt is None


def test_normalize_module_and_prompts_are_read(sentence_bert: Callable[..., Path]) -> None:
    prompts = {"query": "query: ", "passage": "passage: "}
    folder = sentence_bert(
        Pooling(12), Normalize(), prompts=prompts, default_prompt_name="passage", max_tokens=17
    )
    pooling = read_checkpoint(folder).pooling
    assert (pooling.normalize, pooling.max_tokens) == (True, 17)
    assert pooling.prompts.items() >= prompts.items()
    assert pooling.default_prompt == "passage"


def test_plain_bert_has_a_default(bert: Path) -> None:
    assert read_checkpoint(bert).pooling == PoolingSpec("mean", normalize=True, max_tokens=29)


def test_cross_encoder_has_no_pooling_of_its_own(save: Save, tmp_path: Path) -> None:
    folder = save("BertForSequenceClassification", num_labels=1)
    encoder = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    encoder.save_pretrained(str(tmp_path / "cross"), create_model_card=False)
    checkpoint = read_checkpoint(tmp_path / "cross")
    assert checkpoint.heads == ("pooler", "sequence")
    assert checkpoint.pooling == PoolingSpec("mean", normalize=True, max_tokens=29)


def test_flags_of_older_files_are_read(old: Callable[..., Path]) -> None:
    folder = old(
        "Transformer", "Pooling", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False
    )
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    pooling = read_checkpoint(folder).pooling
    assert pooling.mode == "cls"
    assert pooling.max_tokens == 29  # positions are all that the model has


def test_several_modes_are_read_in_their_order(
    sentence_bert: Callable[..., Path], old: Callable[..., Path]
) -> None:
    folder = sentence_bert(Pooling(12, pooling_mode=("weightedmean", "cls", "mean")))
    assert read_checkpoint(folder).pooling.mode == "weightedmean+cls+mean"
    flags = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    folder = old("Transformer", "Pooling", **flags)
    assert read_checkpoint(folder).pooling.mode == "cls+mean"  # as the library lays them


def test_as_many_dimensions_as_there_are_is_all_of_them(sentence_bert: Callable[..., Path]) -> None:
    for most in (12, 4096):
        folder = sentence_bert(Pooling(12), truncate_dim=most)
        assert read_checkpoint(folder).pooling.dimensions is None
