"""The files of a checkpoint as Hugging Face's own libraries read them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import transformers
from tokenizers import Tokenizer

from export.read.config import EncoderConfig
from export.read.cross_encoder import read_activation
from export.read.documents import Fields
from export.read.sentence_settings import ModelSettings, read_transformer_settings
from export.read.tokenizer import read_tokenizer
from export.restore.hugging_face import write_config, write_tokenizer
from models.tokenizer_spec import TokenizerSpec
from tests.export.conftest import PIECES
from tests.export.read.test_tokenizer import TEXTS

SMALL = EncoderConfig(67, 12, 3, 2, 20, 29, 2, "gelu", layer_norm_eps=3e-7)


def tokenizer_json(folder: Path, rows: int = 67, **options: object) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    return read_tokenizer(folder, rows=rows, needs_mask=True).json


def with_config(folder: Path, config: EncoderConfig, heads: tuple[str, ...]) -> dict[str, object]:
    write_config(folder, config, heads, tied=True, pad_id=PIECES.index("[PAD]"))
    return transformers.BertConfig.from_pretrained(folder).to_dict()  # type: ignore[no-any-return]


@pytest.mark.parametrize("lower", [True, False])
def test_transformers_reads_the_tokenizer_as_it_is(tmp_path: Path, *, lower: bool) -> None:
    text = tokenizer_json(tmp_path / "source", do_lower_case=lower, strip_accents=False)
    write_tokenizer(tmp_path, text, TokenizerSpec(), max_tokens=29)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_str(text)
    for first in TEXTS:
        for second in (None, "The Cat's mat"):
            expected, found = ours.encode(first, second), theirs(first, second)
            assert found["input_ids"] == expected.ids, first
            assert found["token_type_ids"] == expected.type_ids, first
    assert theirs.mask_token == "[MASK]"
    assert theirs.model_max_length == 29


def test_sizes_and_epsilon_are_what_they_were(tmp_path: Path) -> None:
    found = with_config(tmp_path, SMALL, ("mlm", "nsp", "pooler"))
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings"):
        assert found[name] == getattr(SMALL, name)
    assert found["layer_norm_eps"] == 3e-7
    assert found["pad_token_id"] == PIECES.index("[PAD]")


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({}, None),
        ({"multi_label": True}, "multi_label_classification"),
        ({"regression": True}, "regression"),
    ],
)
def test_labels_and_their_kind_are_kept(
    tmp_path: Path, choice: dict[str, bool], named: str | None
) -> None:
    values = {**SMALL.__dict__, "labels": ("bad", "so so", "good"), **choice}
    found = with_config(tmp_path, EncoderConfig(**values), ("pooler", "sequence"))
    assert found["architectures"] == ["BertForSequenceClassification"]
    assert found["id2label"] == {0: "bad", 1: "so so", 2: "good"}
    assert found["label2id"] == {"bad": 0, "so so": 1, "good": 2}
    assert found["problem_type"] == named


@pytest.mark.parametrize("function", ["none", "sigmoid", "softmax"])
def test_scores_are_made_as_they_were(tmp_path: Path, function: str) -> None:
    config = replace(SMALL, labels=("a", "b"))
    write_config(tmp_path, config, ("pooler", "sequence"), tied=True, pad_id=0, activation=function)
    found = Fields.of(tmp_path / "config.json")
    assert read_activation(ModelSettings(), found, labels=2) == function


def test_the_end_that_is_cut_is_written(tmp_path: Path) -> None:
    text = tokenizer_json(tmp_path / "source")
    write_tokenizer(tmp_path, text, TokenizerSpec(), max_tokens=29, truncation_side="left")
    assert read_transformer_settings(tmp_path, None).truncation_side == "left"
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.truncation_side, loaded.model_max_length) == ("left", 29)


@pytest.mark.parametrize("dictionary", ["ipadic", "unidic_lite"])
@pytest.mark.parametrize("subwords", ["wordpiece", "character"])
def test_japanese_words_come_back_with_their_class(
    tmp_path: Path, dictionary: str, subwords: str
) -> None:
    options: dict[str, object] = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "word_tokenizer_type": "mecab",
        "subword_tokenizer_type": subwords,
        "mecab_kwargs": {"mecab_dic": dictionary},
        "additional_special_tokens": ["<extra>"],
    }
    source = tmp_path / "source"
    tokenizer_json(source, 90, **options)
    (source / "config.json").write_text(json.dumps({"model_type": "bert"}))
    first = read_tokenizer(source, rows=90, needs_mask=True)
    again = tmp_path / "again"
    again.mkdir()
    write_tokenizer(again, first.json, first.spec, max_tokens=29)
    (again / "config.json").write_text(json.dumps({"model_type": "bert"}))
    second = read_tokenizer(again, rows=90, needs_mask=True)
    assert (second.json, second.spec) == (first.json, first.spec)
    theirs, wanted = map(transformers.AutoTokenizer.from_pretrained, (again, source))
    for text in (*TEXTS, "\u6771\u4eac\u306e<extra>\u99c5 [MASK]"):
        assert theirs(text)["input_ids"] == wanted(text)["input_ids"], text
