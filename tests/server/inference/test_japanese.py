"""Japanese words and characters against BertJapaneseTokenizer, with MeCab and its dictionaries."""

from __future__ import annotations

import importlib
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from export.read.tokenizer import read_tokenizer
from export.write.model_folder import export_model
from models.manifest import TOKENIZER_FILE, ManifestError
from server.inference.pipeline import Pipeline
from server.inference.tasks.fill_mask import FILL_MASK, FillMaskOptions
from server.inference.tasks.tokenization import TOKENIZATION, TokenizationOptions
from server.inference.tokenizer import Tokenizer
from tests.odd_texts import ODD_TEXTS
from tests.server.inference.conftest import resources, value_of

TEXTS = (
    "東京大学で自然言語処理を研究しています。",
    "吾輩は[MASK]である。名前はまだ無い。",
    "今日は　いい天気ですね！明日は雨[MASK][MASK]らしい…",  # noqa: RUF001
    "ｶﾀｶﾅとｱﾙﾌｧﾍﾞｯﾄABCｄｅｆ、①②③㌔㍿",  # noqa: RUF001
    "か\u3099き\u3099く\u3099 は\u309aひ\u309a",
    "スーパーコンピューターは約3.14倍速い(株)。",
    "iPhone 15を$999で買った\U0001f600 ＮＨＫ",  # noqa: RUF001
    "[CLS]駅から徒歩[SEP]5分[UNK]",
    *ODD_TEXTS,
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MECAB: dict[str, Any] = {
    "tokenizer_class": "BertJapaneseTokenizer",
    "word_tokenizer_type": "mecab",
    "do_lower_case": False,
    "mecab_kwargs": {"mecab_dic": "unidic_lite"},
}
DICTIONARIES = ("ipadic", "unidic_lite")


def write(folder: Path, **options: Any) -> Path:
    """A vocabulary of the texts' characters, some words of them, and the options of a class."""
    characters = sorted({c for text in TEXTS[:8] for c in text if not c.isspace()})
    words = ["東京", "大学", "自然", "言語", "処理", "研究", "吾輩", "名前", "天気", "スーパー"]
    words += ["##大学", "##ンピューター", "コ", "##C", "iPhone", "15", "\u3000"]
    pieces = [*SPECIAL, *characters, *words, *("##" + c for c in characters)]
    lines = list(dict.fromkeys(pieces))
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "tokenizer_config.json").write_text(json.dumps(MECAB | options))
    return folder


def load(folder: Path) -> Tokenizer:
    found = read_tokenizer(folder, rows=10_000, needs_mask=True)
    (folder / "own").mkdir()
    (folder / "own" / TOKENIZER_FILE).write_text(found.json, encoding="utf-8")
    return Tokenizer(folder / "own" / TOKENIZER_FILE, found.spec)


@pytest.mark.parametrize("dictionary", DICTIONARIES)
@pytest.mark.parametrize("subwords", ["wordpiece", "character"])
def test_words_and_pieces_are_those_of_transformers(
    tmp_path: Path, dictionary: str, subwords: str
) -> None:
    options: dict[str, Any] = {"mecab_kwargs": {"mecab_dic": dictionary}}
    if subwords == "wordpiece":
        options["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    write(tmp_path, subword_tokenizer_type=subwords, **options)
    ours, theirs = load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        if ids:
            found = ours.pieces(text, 512, truncate=False, param="p").ids
            assert found == ids, text
            assert ours.assemble(found).ids.tolist() == theirs(text)["input_ids"]
            pair = ours.assemble(found, found)
            expected = theirs(text, text)
            assert pair.ids.tolist() == expected["input_ids"]
            segments = expected.get("token_type_ids", [0] * len(pair.ids))
            assert pair.type_ids.tolist() == segments
        for skip in (True, False):
            wanted = theirs.decode(ids, skip_special_tokens=skip)
            assert ours.decode(ids, skip_special=skip) == wanted


def test_another_dictionary_finds_other_words(tmp_path: Path) -> None:
    """Else the manifest would not have to name it."""
    found = []
    for dictionary in DICTIONARIES:
        folder = tmp_path / dictionary
        folder.mkdir()
        ours = load(write(folder, mecab_kwargs={"mecab_dic": dictionary}))
        found.append([ours.pieces(text, 512, truncate=False, param="p").ids for text in TEXTS[:8]])
    assert found[0] != found[1]


def test_a_server_without_the_dictionary_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    write(tmp_path)
    said = "fugashi is not installed: `make japanese` adds them, or pip install fugashi unidic-lite"
    with pytest.raises(ManifestError, match=said):
        load(tmp_path)


def test_the_manifest_names_the_words(tmp_path: Path) -> None:
    write(tmp_path, subword_tokenizer_type="character", mecab_kwargs={"mecab_dic": "ipadic"})
    spec = read_tokenizer(tmp_path, rows=10_000, needs_mask=True).spec
    assert (spec.words, spec.characters) == ("ipadic", True)
    write(tmp_path)
    spec = read_tokenizer(tmp_path, rows=10_000, needs_mask=True).spec
    assert (spec.words, spec.characters) == ("unidic_lite", False)


@pytest.mark.parametrize("options", [None, {}, {"normalize_text": True}])
def test_a_dictionary_is_not_guessed(tmp_path: Path, options: dict[str, object] | None) -> None:
    """Version 4 of transformers took ipadic for most of its life, version 5 takes unidic_lite."""
    write(tmp_path, mecab_kwargs=options)
    with pytest.raises(ExportError, match="does not name MeCab's dictionary, and versions of"):
        read_tokenizer(tmp_path, rows=10_000, needs_mask=True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("word_tokenizer_type", "basic"),
        ("word_tokenizer_type", "sudachi"),
        ("word_tokenizer_type", "jumanpp"),
        ("subword_tokenizer_type", "sentencepiece"),
        ("do_lower_case", True),
        ("do_word_tokenize", False),
        ("do_subword_tokenize", False),
    ],
)
def test_other_ways_to_find_words_are_refused_by_name(
    tmp_path: Path, option: str, value: object
) -> None:
    write(tmp_path, **{option: value})
    with pytest.raises(ExportError, match=f"sets {option} to {value!a}; of BertJapaneseTokenizer"):
        read_tokenizer(tmp_path, rows=10_000, needs_mask=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mecab_dic": "mine"}, "sets mecab_dic to 'mine'"),
        ({"mecab_dic": None}, "sets mecab_dic to None"),
        ({"mecab_dic": "ipadic", "mecab_option": "-d /usr"}, "sets mecab_kwargs"),
        ({"mecab_dic": "ipadic", "normalize_text": False}, "sets mecab_kwargs"),
        ({"mecab_dic": "ipadic", "more": 1}, "sets mecab_kwargs to 'more'"),
    ],
)
def test_other_options_of_mecab_are_refused(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    write(tmp_path, mecab_kwargs=options)
    with pytest.raises(ExportError, match=said):
        read_tokenizer(tmp_path, rows=10_000, needs_mask=True)


def test_lower_case_before_mecab_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    with pytest.raises(ExportError, match="lower-cases texts before MeCab"):
        read_tokenizer(tmp_path, rows=10_000, needs_mask=True)


def test_masks_in_japanese_are_filled_as_transformers_fills_them(tmp_path: Path) -> None:
    folder = write(tmp_path)
    torch.manual_seed(2)
    rows = len((folder / "vocab.txt").read_text(encoding="utf-8").split("\n")) - 1
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.BertConfig(vocab_size=rows, intermediate_size=48, **sizes)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    checkpoint = replace(read_checkpoint(folder), name="japanese")
    out = tmp_path / "out"
    export_model(checkpoint, out, precision="fp32", progress=lambda _: None)
    reference: Any = transformers.pipeline("fill-mask", str(folder), device="cpu")
    with closing(Pipeline(out, resources(threads=1))) as pipeline:
        pipeline.start()
        for text in TEXTS[1:2]:
            ((found,),) = value_of(pipeline, FILL_MASK, [text], FillMaskOptions(top_k=5))
            wanted = reference(text, top_k=5)
            for name in ("token", "token_str", "sequence"):
                assert [getattr(one, name) for one in found] == [one[name] for one in wanted]
            scores = [one["score"] for one in wanted]
            assert [one.score for one in found] == pytest.approx(scores, abs=1e-5)
        (shown,) = value_of(pipeline, TOKENIZATION, [(TEXTS[0], None)], TokenizationOptions())
        assert set(shown.tokens.offsets) == {None}
        assert list(shown.tokens.ids) == reference.tokenizer(TEXTS[0])["input_ids"]


def test_heads_that_need_places_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.BertConfig(vocab_size=400, intermediate_size=48, **sizes)
    transformers.BertForTokenClassification(config).save_pretrained(folder)
    with pytest.raises(ExportError, match="MeCab's words have no places"):
        read_checkpoint(folder)
