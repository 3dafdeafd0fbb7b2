"""Settings of sentence-transformers: obeyed, harmless, or refused by name."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sentence_transformers
import transformers
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    LayerNorm,
    Normalize,
    Pooling,
)

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint

Edit = Callable[..., None]


@pytest.mark.parametrize(("length", "most"), [(17, 17), (1000, 29), (10**30, 29)])
def test_plain_bert_is_embedded_as_far_as_its_tokenizer_reads(
    bert: Path, length: int, most: int
) -> None:
    (bert / "tokenizer_config.json").write_text(json.dumps({"model_max_length": length}))
    checkpoint = read_checkpoint(bert)
    assert (checkpoint.pooling.max_tokens, checkpoint.max_tokens) == (most, 29)
    model = sentence_transformers.SentenceTransformer(str(bert), device="cpu")
    assert model.max_seq_length == most


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
        (
            MODEL_FILE,
            {"model_type": "SparseEncoder"},
            "model_type SparseEncoder, and .* SpladePooling",
        ),
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


ODD: tuple[object, ...] = (
    *(None, 0, -1, 10**30, 0.5, True, "x", ""),
    *([], ["cls"], [[]], {}, {"text": 1}, {"x": None}),
)
FIELDS = {
    "modules.json": ("type", "path", "name", "idx", "kwargs"),
    POOLING_FILE: (
        "pooling_mode",
        "include_prompt",
        "embedding_dimension",
        "pooling_mode_lasttoken",
    ),
    DENSE_FILE: ("in_features", "out_features", "bias", "activation_function", "use_residual"),
    "3_LayerNorm/config.json": ("dimension", "eps"),
    "4_Normalize/config.json": ("module_input_name", "module_output_name"),
    MODEL_FILE: (
        *("prompts", "default_prompt_name", "truncate_dim", "similarity_fn_name"),
        *("model_type", "activation_fn", "__version__"),
    ),
    TEXT_FILE: (
        *("max_seq_length", "transformer_task", "modality_config", "module_output_name"),
        *("model_args", "processor_kwargs", "config_args", "query_length"),
    ),
    "tokenizer_config.json": ("model_max_length", "max_len", "truncation_side"),
}


@pytest.mark.parametrize("file", FIELDS)
def test_whatever_a_setting_holds_it_is_read_or_refused_in_a_sentence(
    sentence_bert: Callable[..., Path], file: str
) -> None:
    norm = LayerNorm(5)
    folder = sentence_bert(Pooling(12), Dense(12, 5), norm, Normalize(), prompts={"query": "q: "})
    path = folder / file
    right = json.loads(path.read_text()) if path.is_file() else {}
    told: list[str] = []
    for name, value in itertools.product(FIELDS[file], ODD):
        odd = {name: value}
        listed = isinstance(right, list)
        path.write_text(json.dumps([right[0], right[1] | odd] if listed else right | odd))
        try:
            read_checkpoint(folder)
        except ExportError as error:
            told.append(str(error))
    assert 0 < len(told) < len(FIELDS[file]) * len(ODD)
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in told)
