"""Pooling as sentence-transformers itself writes it, today and in older files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
import transformers
from safetensors.torch import load_file
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    Transformer,
)

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from models.pooling import POOLING_MODES, PoolingModule, PoolingSpec

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


@pytest.mark.parametrize(("length", "most"), [(17, 17), (1000, 29), (10**30, 29)])
def test_plain_bert_is_embedded_as_far_as_its_tokenizer_reads(
    bert: Path, length: int, most: int
) -> None:
    (bert / "tokenizer_config.json").write_text(json.dumps({"model_max_length": length}))
    checkpoint = read_checkpoint(bert)
    assert (checkpoint.pooling.max_tokens, checkpoint.max_tokens) == (most, 29)
    model = sentence_transformers.SentenceTransformer(str(bert), device="cpu")
    assert model.max_seq_length == most


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
        (("Transformer", "Pooling", "Asym"), "lists Transformer, Pooling, Asym"),
        (("Transformer", "WordWeights", "Pooling"), "lists Transformer, WordWeights, Pooling"),
        (("MLMTransformer", "SpladePooling"), "lists MLMTransformer, SpladePooling"),
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


def test_default_prompt_must_exist(sentence_bert: Callable[..., Path], edit: Edit) -> None:
    folder = sentence_bert(Pooling(12))
    edit(folder / "config_sentence_transformers.json", default_prompt_name="none")
    with pytest.raises(ExportError, match=r"default_prompt_name .* not among its prompts"):
        read_checkpoint(folder)


def test_default_prompt_of_the_library_needs_no_text(
    sentence_bert: Callable[..., Path], edit: Edit
) -> None:
    folder = sentence_bert(Pooling(12))
    prompts = {"passage": "text: ", "query": None}
    settings = folder / "config_sentence_transformers.json"
    edit(settings, prompts=prompts, default_prompt_name="document")
    pooling = read_checkpoint(folder).pooling
    assert pooling.prompts == {"passage": "text: ", "query": ""}
    assert pooling.default_prompt is None  # it would be empty


def test_several_modes_are_read_in_their_order(
    sentence_bert: Callable[..., Path], old: Callable[..., Path]
) -> None:
    folder = sentence_bert(Pooling(12, pooling_mode=("weightedmean", "cls", "mean")))
    assert read_checkpoint(folder).pooling.mode == "weightedmean+cls+mean"
    flags = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    folder = old("Transformer", "Pooling", **flags)
    assert read_checkpoint(folder).pooling.mode == "cls+mean"  # as the library lays them


def test_modules_behind_the_pooling_are_read_with_their_weights(
    sentence_bert: Callable[..., Path],
) -> None:
    dense = Dense(12, 5, bias=False, activation_function=torch.nn.SiLU())
    norm = LayerNorm(5)
    torch.nn.init.normal_(norm.norm.bias)
    folder = sentence_bert(Pooling(12), Dropout(0.5), dense, norm, Normalize(), truncate_dim=4)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.pooling.modules == (
        PoolingModule("dense", 5, "silu", bias=False),
        PoolingModule("layer_norm", 5),
    )
    assert (checkpoint.pooling.normalize, checkpoint.pooling.dimensions) == (True, 4)
    for name, tensor in (("0.weight", dense.linear.weight), ("1.bias", norm.norm.bias)):
        stored = checkpoint.weights[f"pooling.{name}"]
        np.testing.assert_array_equal(stored, tensor.detach().numpy())
    assert "embeddings.word" in checkpoint.weights
    assert len(checkpoint.weights) == len(set(checkpoint.weights))


def test_as_many_dimensions_as_there_are_is_all_of_them(sentence_bert: Callable[..., Path]) -> None:
    for most in (12, 4096):
        folder = sentence_bert(Pooling(12), truncate_dim=most)
        assert read_checkpoint(folder).pooling.dimensions is None


DENSE_FILE, POOLING_FILE = "2_Dense/config.json", "1_Pooling/config.json"
MODEL_FILE, TEXT_FILE = "config_sentence_transformers.json", "sentence_bert_config.json"


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        (DENSE_FILE, {"activation_function": "os.system"}, "activation os.system; .* Identity"),
        (DENSE_FILE, {"activation_function": "torch.nn.modules.activation.ELU"}, "ELU; .*GELU"),
        (DENSE_FILE, {"module_input_name": "token_embeddings"}, "input_name to token_embeddings"),
        (DENSE_FILE, {"module_output_name": "scores"}, "output_name to scores"),
        (DENSE_FILE, {"use_residual": True}, "2_Dense/config.json sets use_residual"),
        (DENSE_FILE, {"in_features": 13}, "turns 13 numbers into 5; .* gives 12"),
        (DENSE_FILE, {"out_features": 6}, r"shape \(5, 12\); .* asks for \(6, 12\)"),
        (DENSE_FILE, {"out_features": 10**9}, "into 1000000000"),
        (DENSE_FILE, {"bias": False}, "Dense has no place for linear.bias in 2_Dense"),
        (POOLING_FILE, {"pooling_mode": "median"}, "is median; Cloze pools by mean, cls"),
        (POOLING_FILE, {"pooling_mode": ["mean", 7]}, "Cloze pools by mean, cls"),
        (POOLING_FILE, {"pooling_mode": []}, "names 0 modes; expected 1 to 8"),
        (POOLING_FILE, {"pooling_mode": ["cls"] * 9}, "names 9 modes; expected 1 to 8"),
        (POOLING_FILE, {"colour": 3}, "1_Pooling/config.json sets colour, which"),
        ("3_Normalize/config.json", {"module_input_name": "token_embeddings"}, "token_embeddings"),
        (MODEL_FILE, {"model_type": "SparseEncoder"}, "model_type SparseEncoder; .* CrossEncoder"),
        (MODEL_FILE, {"model_type": "CrossEncoder"}, "lists Transformer, Pooling, .* CrossEncoder"),
        (MODEL_FILE, {"similarity_fn_name": "maxsim"}, "by maxsim; Cloze knows cosine"),
        (MODEL_FILE, {"truncate_dim": 0}, "truncate_dim .* at least 1"),
        (MODEL_FILE, {"prompts": {"query": 3}}, "prompts .* an object of strings"),
        (MODEL_FILE, {"temperature": 0.5}, "sets temperature, which Cloze does not know"),
        (TEXT_FILE, {"query_length": 32}, "sets query_length"),
        (TEXT_FILE, {"processing_kwargs": {"text": {"max_length": 5}}}, "sets processing_kwargs"),
        (TEXT_FILE, {"transformer_task": "fill-mask"}, "to fill-mask; .* feature-extraction"),
        (TEXT_FILE, {"module_output_name": "sentence_embedding"}, "to sentence_embedding; Cloze"),
        (TEXT_FILE, {"model_args": {"attention_type": "x"}}, "model_args of .* attention_type"),
        (TEXT_FILE, {"tokenizer_args": {"do_lower_case": True}}, "sets do_lower_case"),
        (TEXT_FILE, {"config_kwargs": {"hidden_act": "relu"}}, "config_kwargs of .* hidden_act"),
        (TEXT_FILE, {"max_seq_length": 2}, "reads 2 tokens at most"),
        (TEXT_FILE, {"tokenizer_args": {"truncation_side": "top"}}, "truncation_side is top"),
    ],
)
def test_settings_that_cannot_be_obeyed_are_refused_by_name(
    sentence_bert: Callable[..., Path],
    edit: Edit,
    file: str,
    changes: dict[str, object],
    sentence: str,
) -> None:
    folder = sentence_bert(Pooling(12), Dense(12, 5), Normalize())
    read_checkpoint(folder)
    edit(folder / file, **changes)
    with pytest.raises(ExportError, match=sentence) as error:
        read_checkpoint(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        (TEXT_FILE, {"unpad_inputs": False, "query_length": None, "processing_kwargs": {}}),
        (TEXT_FILE, {"model_kwargs": {"attn_implementation": "eager", "torch_dtype": "float16"}}),
        (TEXT_FILE, {"processor_kwargs": {"use_fast": True, "padding_side": "left"}}),
        (MODEL_FILE, {"requirements": ["torch>=2"], "keep_in_fp32_modules": ["2.linear"]}),
        (POOLING_FILE, {"embedding_dimension": None, "word_embedding_dimension": 12}),
    ],
)
def test_harmless_settings_change_nothing(
    sentence_bert: Callable[..., Path], edit: Edit, file: str, changes: dict[str, object]
) -> None:
    folder = sentence_bert(Pooling(12), Dense(12, 5), Normalize())
    before = read_checkpoint(folder)
    edit(folder / file, **changes)
    after = read_checkpoint(folder)
    assert (after.pooling, after.max_tokens) == (before.pooling, before.max_tokens)


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


def test_a_normalize_without_a_folder_normalises(sentence_bert: Callable[..., Path]) -> None:
    folder = sentence_bert(Pooling(12), Normalize())
    shutil.rmtree(folder / "2_Normalize")  # which git does not keep, as older versions leave it
    assert read_checkpoint(folder).pooling.normalize


def test_dense_in_a_pickle_is_read_on_request_only(sentence_bert: Callable[..., Path]) -> None:
    folder = sentence_bert(Pooling(12), Dense(12, 5))
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    (folder / "2_Dense" / "model.safetensors").unlink()
    torch.save(weights, folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ExportError, match=r"2_Dense.*only with --allow-pickle"):
        read_checkpoint(folder)
    checkpoint = read_checkpoint(folder, allow_pickle=True)
    stored = checkpoint.weights["pooling.0.bias"]
    np.testing.assert_array_equal(stored, weights["linear.bias"].numpy())


def test_former_names_of_the_transformers_file_are_read(
    sentence_bert: Callable[..., Path], edit: Edit
) -> None:
    folder = sentence_bert(Pooling(12))
    (folder / TEXT_FILE).unlink()
    (folder / "sentence_roberta_config.json").write_text('{"max_seq_length": 13}')
    assert read_checkpoint(folder).pooling.max_tokens == 13
    edit(folder / "sentence_roberta_config.json", do_lower_case=True)
    edit(folder / "tokenizer_config.json", do_lower_case=False)
    assert '"Lowercase"' in read_checkpoint(folder).tokenizer_json
    # What is handed on to the tokenizer by itself wins.
    edit(folder / "sentence_roberta_config.json", tokenizer_args={"model_max_length": 11})
    assert read_checkpoint(folder).pooling.max_tokens == 11


def test_the_end_that_is_cut_is_found_where_transformers_finds_it(
    sentence_bert: Callable[..., Path], edit: Edit
) -> None:
    folder = sentence_bert(Pooling(12))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    cut = {"direction": "Left", "max_length": 9, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"truncation": cut}))
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    assert read_checkpoint(folder).truncation_side == loaded.truncation_side == "left"
    edit(folder / "tokenizer_config.json", truncation_side="right")
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    assert read_checkpoint(folder).truncation_side == loaded.truncation_side == "right"
    edit(folder / TEXT_FILE, processor_kwargs={"truncation_side": "left"})
    assert read_checkpoint(folder).truncation_side == "left"
