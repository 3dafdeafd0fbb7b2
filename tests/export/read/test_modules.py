"""The chain of modules in modules.json, and what each module's folder must hold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Router,
    StaticEmbedding,
    Transformer,
)
from sentence_transformers.sparse_encoder.modules import SpladePooling

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from tests.sentence_folders import base

OLD = "sentence_transformers.models."


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        (("Transformer", "Pooling", "Asym"), "lists Transformer, Pooling, Asym"),
        (("Transformer", "WordWeights", "Pooling"), "lists Transformer, WordWeights, Pooling"),
        (("MLMTransformer", "Pooling"), "lists MLMTransformer, Pooling"),
        (("Transformer", "SpladePooling", "Normalize"), "lists Transformer, SpladePooling, Norm"),
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
        ([{"type": f"{OLD}Transformer", "path": "", "kwargs": ["task"]}], "json sets kwargs"),
        ([{"type": f"{OLD}Transformer", "name": "a"}] * 2, "lists Transformer, Transformer"),
        (
            [{"type": OLD + kind, "name": "0"} for kind in ("Transformer", "Pooling")],
            "one name to two modules",
        ),
        ([7], "must hold a JSON object"),
        ({}, "must hold a list"),
    ],
)
def test_modules_from_elsewhere_are_refused(bert: Path, modules: object, sentence: str) -> None:
    (bert / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match=sentence):
        read_checkpoint(bert)


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("1_Pooling", "lists a Pooling in 1_Pooling, but 1_Pooling/config.json is missing"),
        ("2_Dense/config.json", "a Dense in 2_Dense, but 2_Dense/config.json is missing"),
        ("2_Dense/model.safetensors", "The Dense in 2_Dense has no model.safetensors"),
    ],
)
def test_what_a_module_lacks_is_named(
    sentence_bert: Callable[..., Path], gone: str, sentence: str
) -> None:
    folder = sentence_bert(Pooling(12), Dense(12, 5), Normalize())
    path = folder / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ExportError, match=sentence):
        read_checkpoint(folder)


def test_a_missing_transformer_is_named(bert: Path) -> None:
    modules = [{"type": f"{OLD}Transformer", "path": "0_Transformer"}]
    (bert / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match="a Transformer in 0_Transformer, which is missing"):
        read_checkpoint(bert)


def _sparse(folder: Path) -> None:
    transformer = Transformer(str(base("BertForMaskedLM")), transformer_task="fill-mask")
    model = SparseEncoder(modules=[transformer, SpladePooling()], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)


def _routed(folder: Path) -> None:
    queries, documents = ([Transformer(str(base("BertModel"))), Pooling(32)] for _ in range(2))
    router = Router.for_query_document(query_modules=queries, document_modules=documents)
    model = SentenceTransformer(modules=[router, Normalize()], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)


def _static(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(base("BertModel"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)


def test_a_sparse_encoder_is_exported_for_sparse_vectors(tmp_path: Path) -> None:
    _sparse(tmp_path / "model")
    checkpoint = read_checkpoint(tmp_path / "model")
    assert checkpoint.sparse
    assert checkpoint.heads == ("mlm",)
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    modules[0]["type"] = "sentence_transformers.sparse_encoder.models.MLMTransformer"
    (tmp_path / "model" / "modules.json").write_text(json.dumps(modules))
    assert read_checkpoint(tmp_path / "model").sparse


@pytest.mark.parametrize(
    "setting", [{"pooling_strategy": "sum"}, {"activation_function": "log1p_relu"}]
)
def test_other_ways_to_weigh_words_are_refused_by_name(
    tmp_path: Path, setting: dict[str, str]
) -> None:
    _sparse(tmp_path / "model")
    config = tmp_path / "model" / "1_SpladePooling" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | setting))
    ((name, value),) = setting.items()
    with pytest.raises(ExportError, match=f"{name} in .* is {value}; Cloze serves"):
        read_checkpoint(tmp_path / "model")


@pytest.mark.parametrize(
    ("write", "names"),
    [
        (_routed, "Router, Normalize"),
        (_static, "StaticEmbedding"),
    ],
)
def test_other_models_of_the_library_are_refused_by_their_modules(
    tmp_path: Path, write: Callable[[Path], None], names: str
) -> None:
    write(tmp_path / "model")
    with pytest.raises(ExportError, match=f"modules.json lists {names}; Cloze serves"):
        read_checkpoint(tmp_path / "model")
