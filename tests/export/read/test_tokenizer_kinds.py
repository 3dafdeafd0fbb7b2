"""SentencePiece's Unigram, byte-level BPE and MPNet's word pieces, against transformers' own."""

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.errors import ExportError
from export.read.tokenizer import read_tokenizer
from models.charsmap import is_sound
from models.tokenizer_spec import TokenizerSpec
from tests.small_tokenizers import (
    charsmap,
    save_albert,
    save_camembert,
    save_deberta,
    save_modern_bert,
    save_mpnet,
    save_multilingual,
    save_roberta,
    save_xlm_roberta,
    word_pieces,
    write_roberta,
)
from tests.tokenizer_agreement import ROWS, differences, read, write_json

Save = Callable[..., Path]
ROBERTA = TokenizerSpec("<s>", "</s>", "<unk>", "<pad>", "<mask>", 2, segments=False)
ALBERT = TokenizerSpec(unk="<unk>", pad="<pad>", segments=False)
SAVES: list[tuple[Save, str, dict[str, Any], TokenizerSpec]] = [
    (save_xlm_roberta, "xlm-roberta", {}, ROBERTA),
    (save_xlm_roberta, "bert", {}, ROBERTA),
    (save_xlm_roberta, "bert", {"additional_special_tokens": ["<extra>"]}, ROBERTA),
    (save_camembert, "camembert", {}, ROBERTA),
    (save_roberta, "roberta", {}, ROBERTA),
    (save_roberta, "roberta", {"add_prefix_space": True}, ROBERTA),
    (save_roberta, "roberta", {"trim_offsets": False, "cls_token": "the"}, ROBERTA),
    (save_mpnet, "mpnet", {}, TokenizerSpec("<s>", "</s>", "[UNK]", "<pad>", "<mask>", 2, False)),
    (save_mpnet, "mpnet", {"do_lower_case": False}, ROBERTA),
    (save_modern_bert, "modernbert", {}, TokenizerSpec(segments=False)),
    (save_albert, "albert", {}, ALBERT),
    (save_albert, "albert", {"table": False, "do_lower_case": False}, ALBERT),
    (save_albert, "bert", {"keep_accents": True, "additional_special_tokens": ["new"]}, ALBERT),
    (save_albert, "albert", {"keep_accents": True, "do_lower_case": False}, ALBERT),
    (save_albert, "albert", {"add_prefix_space": False, "bos_token": "the"}, ALBERT),
    (save_albert, "albert", {"model_input_names": ["input_ids", "token_type_ids"]}, ALBERT),
    (save_deberta, "deberta-v2", {}, TokenizerSpec()),
    (save_deberta, "deberta-v2", {"do_lower_case": True}, TokenizerSpec()),
    (save_deberta, "deberta-v2", {"split_by_punct": True}, TokenizerSpec()),
    (save_deberta, "bert", {"add_prefix_space": False, "split_by_punct": True}, TokenizerSpec()),
    (save_deberta, "deberta-v2", {"unknown": -1.0, "unk_id": 3}, TokenizerSpec()),
]


def name_of(value: object) -> str | None:
    return getattr(value, "__name__", None) or (str(value) if isinstance(value, dict) else None)


def change(path: Path, **changes: Any) -> None:
    """Set options of a JSON file, which may be absent."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, old | changes)


@pytest.mark.parametrize(("save", "family", "options", "spec"), SAVES, ids=name_of)
def test_every_kind_finds_the_tokens_of_transformers(
    tmp_path: Path, save: Save, family: str, options: dict[str, Any], spec: TokenizerSpec
) -> None:
    save(tmp_path, **options)
    write_json(tmp_path / "config.json", {"model_type": family})
    assert differences(tmp_path) == []
    if not options:
        assert read_tokenizer(tmp_path, rows=ROWS, needs_mask=True).spec == spec


@pytest.mark.parametrize("normalizer", ["table", "replace", "strip"])
@pytest.mark.parametrize("words", ["parted", "joined"])
@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "XLMRobertaTokenizerFast"])
def test_every_way_in_which_xlm_roberta_was_written_is_read(
    tmp_path: Path, normalizer: str, words: str, name: str
) -> None:
    save_multilingual(tmp_path, normalizer, words)
    change(tmp_path / "tokenizer_config.json", tokenizer_class=name, do_lower_case=True)
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    assert differences(tmp_path) == []


def test_marks_of_words_may_be_written_as_they_were_at_first(tmp_path: Path) -> None:
    save_multilingual(tmp_path, "table", "parted")
    old = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
    words = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, old]}
    change(tmp_path / "tokenizer.json", pre_tokenizer=words, decoder=old)
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    assert differences(tmp_path) == []


@pytest.mark.parametrize(
    "options", [{}, {"add_prefix_space": True}, {"trim_offsets": False}], ids=str
)
@pytest.mark.parametrize("strips", [True, False])
def test_a_vocabulary_with_merges_is_read(
    tmp_path: Path, options: dict[str, Any], *, strips: bool
) -> None:
    write_roberta(tmp_path)
    flags = {"lstrip": strips, "rstrip": False, "single_word": False, "normalized": False}
    write_json(tmp_path / "tokenizer_config.json", options)
    write_json(tmp_path / "special_tokens_map.json", {"mask_token": {"content": "<mask>"} | flags})
    write_json(tmp_path / "config.json", {"model_type": "roberta"})
    assert differences(tmp_path, needs_mask=True) == []


def test_whether_a_mask_takes_its_blank_is_not_guessed(tmp_path: Path) -> None:
    write_roberta(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "roberta"})
    assert differences(tmp_path) == []
    with pytest.raises(ExportError, match="whether <mask> takes the blank before it"):
        read(tmp_path, needs_mask=True)


def test_texts_of_words_alone_are_cleaned_up(tmp_path: Path) -> None:
    for save, cleans in ((save_roberta, False), (save_xlm_roberta, True), (save_mpnet, True)):
        folder = tmp_path / save.__name__
        folder.mkdir()
        save(folder, clean_up_tokenization_spaces=True)
        found = read_tokenizer(folder, rows=ROWS, needs_mask=True)
        assert found.spec.clean_up == cleans


@pytest.mark.parametrize("file", ["sentencepiece.bpe.model", "spiece.model"])
def test_a_sentencepiece_model_alone_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_bytes(b"\n\x0e\n\x05")
    write_json(tmp_path / "config.json", {"model_type": "xlm-roberta"})
    with pytest.raises(ExportError, match=f"no tokenizer.json, only {file}: load it"):
        read(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    with pytest.raises(ExportError, match=f"no tokenizer.json, only {file}: load it"):
        read(tmp_path)


EVIL = {"Regex": "(a+)+$"}
META = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}


def joined(*first: object) -> dict[str, object]:
    """A pre-tokenizer that ends in SentencePiece's marks."""
    return {"type": "Sequence", "pretokenizers": [*first, META]}


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("normalizer", {"type": "Replace", "pattern": EVIL, "content": ""}, "is Replace, which"),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "x"}, "is Re"),
        ("normalizer", {"type": "Replace", "pattern": {"String": "``"}, "content": "x"}, "is Re"),
        ("normalizer", {"type": "Replace", "pattern": {"String": "a"}, "content": '"'}, "is Repla"),
        ("pre_tokenizer", joined({"type": "Punctuation", "behavior": "Removed"}), "is Sequence"),
        ("pre_tokenizer", joined(joined({"type": "Punctuation"})), "is Sequence"),
        ("normalizer", {"type": "BertNormalizer"}, "is BERT's, and its model is Unigram"),
        ("normalizer", {"type": "NFC"}, "the normalizer NFC, where one version"),
        ("pre_tokenizer", {"type": "BertPreTokenizer"}, "with a Unigram model it must be"),
        ("pre_tokenizer", {"type": "ByteLevel"}, "with a Unigram model it must be"),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "_"}, "other than SentencePiece's"),
        ("pre_tokenizer", {"type": "Metaspace", "split": False}, "other than SentencePiece's"),
        ("pre_tokenizer", {"type": "Metaspace", "prepend_scheme": "x"}, "other than SentencePiece"),
        ("pre_tokenizer", {"type": "Metaspace", "prepend_scheme": "first"}, "a mark before each"),
        ("decoder", {"type": "WordPiece"}, "with a Unigram model it must be Metaspace"),
        ("decoder", None, "The decoder of tokenizer.json is None"),
        (
            "post_processor",
            {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
            "puts",
        ),
        (
            "post_processor",
            {"type": "TemplateProcessing", "single": [], "pair": []},
            "single template",
        ),
    ],
)
def test_other_components_are_refused_by_name(
    tmp_path: Path, part: str, value: object, said: str
) -> None:
    save_xlm_roberta(tmp_path)
    change(tmp_path / "tokenizer.json", **{part: value})
    with pytest.raises(ExportError, match=said):
        read(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("vocab", [], "no pieces, or one of them twice"),
        ("vocab", [["<s>", 0.0], ["<s>", 0.0]], "no pieces, or one of them twice"),
        ("vocab", [["", 0.0]], "not 1 to 256 characters"),
        ("vocab", [["a" * 257, 0.0]], "not 1 to 256 characters"),
        ("vocab", [["a", "b"]], "not 1 to 256 characters"),
        ("vocab", [["a", True]], "not 1 to 256 characters"),
        ("vocab", {"a": 1}, "no pieces"),
        ("unk_id", None, "lacks unk_id"),
        ("unk_id", 10**6, "no piece of the number that unk_id says"),
        ("unk_id", 2, "the unknown piece </s>"),
        ("byte_fallback", True, "falls back to bytes"),
    ],
)
def test_a_unigram_model_is_bounded(tmp_path: Path, field: str, value: object, said: str) -> None:
    save_xlm_roberta(tmp_path)
    model = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    change(tmp_path / "tokenizer.json", model=model | {field: value})
    with pytest.raises(ExportError, match=said):
        read(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dropout", 0.1, "has a dropout"),
        ("byte_fallback", True, "has a byte_fallback"),
        ("end_of_word_suffix", "</w>", "has a end_of_word_suffix"),
        ("merges", None, "lacks a list of merges"),
        ("merges", ["a b c"], "a merge that is no pair"),
        ("merges", [["a", 1]], "a merge that is no pair"),
        ("merges", [["a", "\u6771"]], "is not usable"),
        ("ignore_merges", True, "ignore_merges True, where one version"),
        ("vocab", {"a": 0}, "is not usable|lacks"),
    ],
)
def test_a_byte_level_model_is_bounded(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    save_roberta(tmp_path)
    model = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    change(tmp_path / "tokenizer.json", model=model | {field: value})
    with pytest.raises(ExportError, match=said):
        read(tmp_path)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("normalizer", {"type": "NFC"}, "the normalizer NFC, where one version"),
        ("pre_tokenizer", {"type": "ByteLevel", "use_regex": False}, "use_regex False, where"),
        ("pre_tokenizer", {"type": "Split", "pattern": EVIL}, "is Split"),
    ],
)
def test_what_robertas_class_would_drop_is_refused(
    tmp_path: Path, part: str, value: object, said: str
) -> None:
    save_roberta(tmp_path)
    change(tmp_path / "tokenizer.json", **{part: value})
    with pytest.raises(ExportError, match=said):
        read(tmp_path)


@pytest.mark.parametrize("lowercase", [True, False])
def test_lower_case_is_no_choice_without_word_pieces(tmp_path: Path, *, lowercase: bool) -> None:
    save_xlm_roberta(tmp_path)
    with pytest.raises(ExportError, match="lowercase cannot be followed with this tokenizer"):
        read(tmp_path, lowercase=lowercase)


@pytest.mark.parametrize("kind", ["WordPiece", "BPE"])
def test_a_model_of_another_kind_than_the_class_is_refused(tmp_path: Path, kind: str) -> None:
    (save_mpnet if kind == "WordPiece" else save_roberta)(tmp_path)
    change(tmp_path / "tokenizer_config.json", tokenizer_class="XLMRobertaTokenizer")
    with pytest.raises(ExportError, match=f"holds a {kind} model; its class a Unigram"):
        read(tmp_path)


# --- ALBERT and DeBERTa ----------------------------------------------------------------------

TABLE = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap()).decode()}
BLANKS = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}


def chain(*members: object) -> dict[str, object]:
    """A normalizer of several."""
    return {"type": "Sequence", "normalizers": [*members]}


def normalizers_of(folder: Path) -> list[dict[str, Any]]:
    """Those of the tokenizer.json."""
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    members: list[dict[str, Any]] = document["normalizer"]["normalizers"]
    return members


def test_albert_as_version_4_converted_it_is_read(tmp_path: Path) -> None:
    save_albert(tmp_path)
    change(tmp_path / "tokenizer.json", normalizer=chain(*normalizers_of(tmp_path), BLANKS))
    change(tmp_path / "tokenizer_config.json", tokenizer_class="AlbertTokenizerFast")
    write_json(tmp_path / "config.json", {"model_type": "albert"})
    assert differences(tmp_path) == []


def as_it_is(folder: Path) -> list[tuple[str, str]]:
    """What differs where the class takes tokenizer.json as it is."""
    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    return differences(folder)


def test_deberta_with_its_table_is_refused_or_taken_as_it_is(tmp_path: Path) -> None:
    """Version 4 has the table of the model, version 5 does without."""
    save_deberta(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "deberta-v2"})
    change(tmp_path / "tokenizer.json", normalizer=chain(STRIP, TABLE, BLANKS))
    with pytest.raises(ExportError, match=r"Strip \+ Precompiled \+ Replace, where one version"):
        read(tmp_path)
    assert as_it_is(tmp_path) == []


def test_albert_without_words_first_is_refused_or_taken_as_it_is(tmp_path: Path) -> None:
    save_albert(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "albert"})
    change(tmp_path / "tokenizer.json", pre_tokenizer=META)
    with pytest.raises(ExportError, match=r"the pre_tokenizer Metaspace, where one .* Whitespace"):
        read(tmp_path)
    assert as_it_is(tmp_path) == []


@pytest.mark.parametrize(
    ("save", "option", "value"),
    [
        (save_albert, "do_lower_case", False),
        (save_albert, "do_lower_case", None),
        (save_albert, "keep_accents", True),
        (save_deberta, "do_lower_case", True),
        (save_deberta, "split_by_punct", True),
    ],
    ids=["lower", "null", "accents", "DeBERTa lower", "split"],
)
def test_an_option_that_the_file_does_not_know_is_named(
    tmp_path: Path, save: Save, option: str, value: bool | None
) -> None:
    save(tmp_path)
    change(tmp_path / "tokenizer_config.json", **{option: value})
    with pytest.raises(ExportError, match=f"set {option} in tokenizer_config.json"):
        read(tmp_path)


@pytest.mark.parametrize("save", [save_albert, save_deberta])
def test_marks_of_words_other_than_the_options_say_are_refused(tmp_path: Path, save: Save) -> None:
    save(tmp_path)
    change(tmp_path / "tokenizer_config.json", add_prefix_space=False)
    with pytest.raises(ExportError, match="Metaspace with other settings, where one version"):
        read(tmp_path)


def test_normalizers_in_another_order_or_with_other_settings_are_refused(tmp_path: Path) -> None:
    save_deberta(tmp_path)
    members = normalizers_of(tmp_path)
    for odd in ([*members[:2], STRIP], [members[1], members[0], members[2]], members[:2]):
        change(tmp_path / "tokenizer.json", normalizer=chain(*odd))
        with pytest.raises(ExportError, match="where one version of transformers takes that"):
            read(tmp_path)


def test_an_unknown_piece_that_deberta_would_not_find_is_refused(tmp_path: Path) -> None:
    save_deberta(tmp_path, unknown=-1.0, unk_id=3)
    change(tmp_path / "tokenizer_config.json", unk_id=1)
    with pytest.raises(ExportError, match=r"has unk_id 3, where one version .* another 1:"):
        read(tmp_path)


def test_whether_alberts_mask_takes_its_blank_is_not_guessed(tmp_path: Path) -> None:
    save_albert(tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    kept = [one for one in document["added_tokens"] if one["content"] != "[MASK]"]
    change(tmp_path / "tokenizer.json", added_tokens=kept)
    write_json(tmp_path / "special_tokens_map.json", {"mask_token": "[MASK]"})
    write_json(tmp_path / "config.json", {"model_type": "albert"})
    with pytest.raises(ExportError, match=r"whether \[MASK\] takes the blank before it"):
        read(tmp_path, needs_mask=True)
    flags = {"lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    change(tmp_path / "tokenizer_config.json", mask_token={"content": "[MASK]"} | flags)
    change(tmp_path / "special_tokens_map.json", mask_token={"content": "[MASK]"} | flags)
    assert differences(tmp_path, needs_mask=True) == []


def test_albert_says_whether_pairs_have_segments_if_it_reads_pairs(tmp_path: Path) -> None:
    save_albert(tmp_path)
    with pytest.raises(ExportError, match="does not say whether the second text of a pair"):
        read(tmp_path, needs_pairs=True)
    for names in (["input_ids", "token_type_ids"], ["input_ids"]):
        change(tmp_path / "tokenizer_config.json", model_input_names=names)
        found = read_tokenizer(tmp_path, rows=ROWS, needs_mask=True, needs_pairs=True)
        assert found.spec.segments == ("token_type_ids" in names)


# --- the table --------------------------------------------------------------------------------


def encoded(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


def test_the_real_table_is_sound() -> None:
    assert is_sound(encoded(charsmap()))


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x01\x02\x03",
        struct.pack("<I", 8) + bytes(4),
        struct.pack("<I", 6) + bytes(6),
        struct.pack("<I", 0),
        struct.pack("<II", 4, 0xFFFFFFFF) + b"\0",
    ],
    ids=["empty", "short", "beyond", "odd", "none", "leads out"],
)
def test_a_damaged_table_is_seen(blob: bytes) -> None:
    assert not is_sound(encoded(blob))


def test_what_is_no_base64_or_huge_is_seen() -> None:
    assert not is_sound("\u00e9")
    assert not is_sound("====")
    assert not is_sound("A" * ((2 << 20) + 4))


def test_a_table_cut_short_or_with_a_leaf_beside_its_text_is_seen() -> None:
    table = charsmap()
    (size,) = struct.unpack_from("<I", table)
    units, texts = table[4 : 4 + size], table[4 + size :]
    half = len(units) // 8 * 4
    assert not is_sound(encoded(struct.pack("<I", half) + units[:half] + texts))
    assert not is_sound(encoded(table[: 4 + size] + texts[: len(texts) // 2]))
    assert not is_sound(encoded(table[: 4 + size] + b"\xff" + texts[1:]))
    # Every leaf one byte further: some lie within a character then.
    assert not is_sound(encoded(table[: 4 + size] + texts[1:]))
    assert is_sound(encoded(table[: 4 + size] + texts + b"more"))


# --- what versions of transformers, or two files, say differently -------------------------------


@pytest.mark.parametrize("save", [save_xlm_roberta, save_camembert])
@pytest.mark.parametrize("value", [None, False])
def test_words_without_a_mark_before_them_are_refused(
    tmp_path: Path, save: Save, value: bool | None
) -> None:
    save(tmp_path)
    change(tmp_path / "tokenizer_config.json", add_prefix_space=value)
    with pytest.raises(ExportError, match="sets add_prefix_space to False"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("option", "value"), [("eos_token", "<mask>"), ("bos_token", "</s>"), ("sep_token", "the")]
)
def test_sentencepieces_ends_are_those_of_the_frame(
    tmp_path: Path, option: str, value: str
) -> None:
    save_xlm_roberta(tmp_path)
    change(tmp_path / "tokenizer_config.json", **{option: value})
    with pytest.raises(ExportError, match="puts"):
        read(tmp_path)


def test_tokens_that_only_the_class_knows_are_found_whole(tmp_path: Path) -> None:
    """CamemBERT's <unk>NOTUSED, and RoBERTa's </s> where sep_token is another."""
    save_camembert(tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    kept = [one for one in document["added_tokens"] if "NOTUSED" not in one["content"]]
    change(tmp_path / "tokenizer.json", added_tokens=kept)
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "CamembertTokenizer"})
    write_json(tmp_path / "config.json", {"model_type": "camembert"})
    assert "NOTUSED" in "".join(read(tmp_path).encode("<unk>NOTUSED").tokens)
    assert differences(tmp_path) == []


def test_another_separator_leaves_robertas_own_whole(tmp_path: Path) -> None:
    write_roberta(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"sep_token": "the", "mask_token": "<mask>"})
    write_json(tmp_path / "config.json", {"model_type": "roberta"})
    assert differences(tmp_path, rows=500) == []


def test_two_lists_of_special_tokens_must_be_one(tmp_path: Path) -> None:
    save_roberta(tmp_path, additional_special_tokens=["new york"])
    write_json(tmp_path / "config.json", {"model_type": "roberta"})
    assert differences(tmp_path) == []
    change(tmp_path / "tokenizer_config.json", additional_special_tokens=["new york", "the"])
    with pytest.raises(ExportError, match="lists special tokens twice, and not the same"):
        read(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["additional_special_tokens"] = config["extra_special_tokens"]
    write_json(tmp_path / "tokenizer_config.json", config)
    assert differences(tmp_path) == []
    write_json(tmp_path / "special_tokens_map.json", {"additional_special_tokens": ["the"]})
    with pytest.raises(ExportError, match="lists special tokens twice, and not the same"):
        read(tmp_path)


def test_two_tokens_spelled_alike_are_refused(tmp_path: Path) -> None:
    save_roberta(tmp_path)
    alike: dict[str, Any] = {"pad_token": "<mask>"}
    change(tmp_path / "tokenizer_config.json", **alike)
    with pytest.raises(ExportError, match="are spelled alike"):
        read(tmp_path)


def test_padding_on_the_left_is_refused(tmp_path: Path) -> None:
    save_roberta(tmp_path)
    change(tmp_path / "tokenizer.json", padding={"direction": "Left"})
    with pytest.raises(ExportError, match=r"The padding of tokenizer.json is on the left"):
        read(tmp_path)


@pytest.mark.parametrize("strips", [True, False])
def test_a_token_declared_twice_is_refused_unless_in_the_same_way(
    tmp_path: Path, *, strips: bool
) -> None:
    write_roberta(tmp_path)
    flags = {"lstrip": strips, "rstrip": False, "single_word": False, "normalized": False}
    listed = [{"__type": "AddedToken", "content": "the"} | flags | {"special": True}]
    write_json(tmp_path / "tokenizer_config.json", {"additional_special_tokens": listed})
    write_json(tmp_path / "special_tokens_map.json", {"bos_token": "the"})
    write_json(tmp_path / "config.json", {"model_type": "roberta"})
    if not strips:
        assert differences(tmp_path, rows=500) == []
        return
    with pytest.raises(ExportError, match="The token the is declared twice"):
        read(tmp_path)


def test_mpnets_mask_takes_the_blank_before_it(tmp_path: Path) -> None:
    vocabulary = word_pieces("<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>")
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    write_json(tmp_path / "config.json", {"model_type": "mpnet"})
    assert differences(tmp_path, lowercase=True, needs_mask=True) == []


@pytest.mark.parametrize("name", ["BertTokenizer", "RobertaTokenizerFast"])
def test_modernberts_class_is_none_of_the_others(tmp_path: Path, name: str) -> None:
    save_modern_bert(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "modernbert"})
    change(tmp_path / "tokenizer_config.json", tokenizer_class=name)
    with pytest.raises(ExportError, match=f"{name}; of a modernbert versions of transformers"):
        read(tmp_path)
