"""The sizes and choices of a config.json, and what of them cannot be served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.errors import ExportError
from export.read.config import EncoderConfig, read_sizes
from export.read.documents import Fields

Save = Callable[..., Path]
GOOGLE = {
    "vocab_size": 67,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 29,
    "type_vocab_size": 3,
    "hidden_act": "gelu",
}


def fields(**changes: Any) -> Fields:
    return Fields(GOOGLE | changes, "config.json")


def test_googles_configuration_is_complete_with_the_defaults_of_the_format() -> None:
    assert read_sizes(fields()) == EncoderConfig(
        vocab_size=67,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=20,
        hidden_act="gelu",
        max_position_embeddings=29,
        type_vocab_size=3,
        layer_norm_eps=1e-12,
    )


def test_configuration_that_transformers_saves_is_read(save: Save) -> None:
    config = read_sizes(Fields.of(save(layer_norm_eps=1e-5, hidden_act="relu") / "config.json"))
    assert (config.layer_norm_eps, config.hidden_act) == (1e-5, "relu")
    assert (config.num_hidden_layers, config.intermediate_size) == (3, 20)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_act": "selu"}, "activation selu"),
        ({"hidden_size": 13}, "13 .* does not divide into 2"),
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"hidden_size": "12"}, "hidden_size .* must be a whole number"),
        ({"hidden_size": True}, "hidden_size .* must be a whole number"),
        ({"num_hidden_layers": 0}, "num_hidden_layers .* at least 1"),
        ({"layer_norm_eps": -1e-12}, "layer_norm_eps .* above 0"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps .* above 0"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers .* at most 1000"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ExportError, match=sentence) as caught:
        read_sizes(fields(**changes))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("gelu", "gelu"),
        ("gelu_python", "gelu"),
        ("gelu_new", "gelu_new"),
        ("gelu_fast", "gelu_new"),
        ("gelu_accurate", "gelu_new"),
        ("gelu_python_tanh", "gelu_new"),
        ("gelu_pytorch_tanh", "gelu_pytorch_tanh"),
        ("relu", "relu"),
    ],
)
def test_activations_have_one_name_each(name: str, function: str) -> None:
    assert read_sizes(fields(hidden_act=name)).hidden_act == function


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"vocab_size": 67', r"not valid JSON \(line 1, column 18\); it may have been cut short"),
        (b'{"hidden_act": "ge', "not valid JSON .*; it may have been cut short"),
        (b"{\"vocab_size\": 67,\n'a': 1}", r"not valid JSON \(line 2, column 1\)\."),
        (b"[" * 100_000, "not valid JSON: its lists or objects nest"),
        (b"[" + b"9" * 5000 + b"]", "a number of thousands of digits"),
        (b'{"id2label": {"0": "\\ud83d"}}', "half a character"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "is empty"),
        (b"[]", "must hold a JSON object, not a list"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=rf"config\.json.* {sentence}"):
        Fields.of(path)


def test_text_that_an_editor_marked_as_utf8_is_json_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"hidden_act": "\\ud83d\\ude00"}', encoding="utf-8-sig")
    assert Fields.of(path).text("hidden_act") == "\N{GRINNING FACE}"


def test_missing_and_huge_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(ExportError, match=r"config\.json cannot be read"):
        Fields.of(path)
    path.write_text(json.dumps(GOOGLE))
    monkeypatch.setattr("export.read.documents.MAX_BYTES", 10)
    with pytest.raises(ExportError, match=r"config\.json is larger"):
        Fields.of(path)
