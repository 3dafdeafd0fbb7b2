"""Pooling as sentence-transformers itself writes it, today and in older files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentence_transformers
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Transformer,
)

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from models.manifest import PoolingSpec

Save = Callable[..., Path]
Edit = Callable[..., None]
OLD = "sentence_transformers.models."


@pytest.fixture
def sentence_bert(save: Save, tmp_path: Path) -> Callable[..., Path]:
    """A factory of folders saved by sentence-transformers from these modules."""

    def build(*modules: Any, max_tokens: int = 23, **options: Any) -> Path:
        transformer = Transformer(str(save("BertModel")))
        transformer.max_seq_length = max_tokens
        model = sentence_transformers.SentenceTransformer(
            modules=[transformer, *modules], device="cpu", **options
        )
        model.save(str(tmp_path / "sentence"), create_model_card=False)
        return tmp_path / "sentence"

    return build


@pytest.fixture
def old(bert: Path) -> Callable[..., Path]:
    """A factory of folders in the form of sentence-transformers 2."""

    def build(*kinds: str, **pooling: Any) -> Path:
        paths = {"Transformer": "", "Pooling": "1_Pooling"}
        modules = [{"type": OLD + kind, "path": paths.get(kind, f"2_{kind}")} for kind in kinds]
        (bert / "modules.json").write_text(json.dumps(modules))
        (bert / "1_Pooling").mkdir()
        (bert / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        return bert

    return build


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
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


def test_dense_module_is_refused_by_name(sentence_bert: Callable[..., Path]) -> None:
    folder = sentence_bert(Pooling(12), Dense(12, 5))
    with pytest.raises(ExportError, match=r"lists .*Dense"):
        read_checkpoint(folder)


@pytest.mark.parametrize("mode", ["weightedmean", "lasttoken", "mean_sqrt_len_tokens"])
def test_other_modes_are_refused_by_name(sentence_bert: Callable[..., Path], mode: str) -> None:
    with pytest.raises(ExportError, match=f"pools by {mode};"):
        read_checkpoint(sentence_bert(Pooling(12, pooling_mode=mode)))


def test_two_modes_together_are_refused(sentence_bert: Callable[..., Path]) -> None:
    with pytest.raises(ExportError, match=r"pools by cls \+ mean;"):
        read_checkpoint(sentence_bert(Pooling(12, pooling_mode=("cls", "mean"))))


def test_prompt_left_out_of_the_mean_is_refused(sentence_bert: Callable[..., Path]) -> None:
    folder = sentence_bert(Pooling(12, include_prompt=False), prompts={"query": "query: "})
    with pytest.raises(ExportError, match="leaves the prompt out"):
        read_checkpoint(folder)


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


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        (("Transformer", "Pooling", "Dense"), "lists Transformer, Pooling, Dense"),
        (("Transformer", "WeightedLayerPooling"), "lists Transformer, WeightedLayerPooling"),
        (("Transformer", "Normalize", "Pooling"), "lists Transformer, Normalize, Pooling"),
        (("Pooling",), "lists Pooling"),
        ((), "lists nothing"),
    ],
)
def test_other_chains_of_modules_are_refused(
    old: Callable[..., Path], kinds: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ExportError, match=sentence):
        read_checkpoint(old(*kinds))


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ([{"type": "custom_st.Transformer", "path": ""}], "code of its own"),
        ([{"type": f"{OLD}Transformer", "path": "../other"}], "outside the checkpoint"),
        ([{"type": f"{OLD}Transformer", "path": "/etc"}], "outside the checkpoint"),
        ([7], "must hold a JSON object"),
        ({}, "must hold a list"),
    ],
)
def test_modules_from_elsewhere_are_refused(bert: Path, modules: object, sentence: str) -> None:
    (bert / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match=sentence):
        read_checkpoint(bert)


def test_default_prompt_must_exist(sentence_bert: Callable[..., Path], edit: Edit) -> None:
    folder = sentence_bert(Pooling(12))
    edit(folder / "config_sentence_transformers.json", default_prompt_name="none")
    with pytest.raises(ExportError, match=r"default_prompt_name .* not among its prompts"):
        read_checkpoint(folder)
