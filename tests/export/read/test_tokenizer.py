"""Tokenizers of every kind against transformers' own, and everything that is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer

from export.errors import ExportError
from export.read.tokenizer import read_tokenizer

Edit = Callable[..., None]
ROWS = 67
TEXTS = [
    "The cat sat on the mat.",
    "the dogs, unwanted, sat.",
    "Café NAÏVE café ÜÉ uneé",
    "北京大学 the 北cat大",
    "a\tcat\u00a0sat\u200b on\x00 the\x07 mat",
    "İstanbul x" + "a" * 120,
    "[CLS] the [MASK] sat [SEP]",
    "",
]


@pytest.fixture
def folder(tmp_path: Path, pieces: list[str]) -> Path:
    """A folder with a vocab.txt and nothing else."""
    write_vocabulary(tmp_path, pieces)
    return tmp_path


@pytest.fixture
def saved(folder: Path) -> Path:
    """A folder as transformers saves it: tokenizer.json and tokenizer_config.json."""
    transformers.BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    (folder / "vocab.txt").unlink()
    return folder


def write_vocabulary(folder: Path, pieces: list[str]) -> None:
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def read(folder: Path, *, rows: int = ROWS, needs_mask: bool = True) -> Tokenizer:
    return Tokenizer.from_str(read_tokenizer(folder, rows=rows, needs_mask=needs_mask).json)


def assert_like_transformers(tokenizer: Tokenizer, folder: Path) -> None:
    theirs = transformers.BertTokenizerFast.from_pretrained(folder)
    for text in TEXTS:
        for pair in (None, "the cat's mat"):
            ours, expected = tokenizer.encode(text, pair), theirs(text, pair)
            assert ours.ids == expected["input_ids"], text
            assert ours.type_ids == expected["token_type_ids"], text


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [None, True, False])
@pytest.mark.parametrize("chinese", [True, False])
def test_vocabulary_alone_tokenises_as_transformers_does(
    folder: Path, lowercase: bool, strip_accents: bool | None, chinese: bool
) -> None:
    options: dict[str, object] = {"do_lower_case": lowercase, "strip_accents": strip_accents}
    options |= {"tokenize_chinese_chars": chinese, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    assert_like_transformers(read(folder), folder)


def test_accents_and_chinese_reach_their_pieces(folder: Path, pieces: list[str]) -> None:
    """Guards the comparison above: a fault shared by both sides would show here."""
    ids = {piece: index for index, piece in enumerate(pieces)}
    uncased = read(folder)
    assert uncased.encode("Café", add_special_tokens=False).ids == [ids["cafe"]]
    assert uncased.encode("北京", add_special_tokens=False).ids == [ids["北"], ids["京"]]
    assert uncased.encode("dogs", add_special_tokens=False).ids == [ids["dog"], ids["##s"]]
    (folder / "tokenizer_config.json").write_text('{"strip_accents": false}')
    assert read(folder).encode("ü", add_special_tokens=False).ids == [ids["ü"]]


def test_saved_tokenizer_tokenises_as_transformers_does(saved: Path) -> None:
    assert_like_transformers(read(saved), saved)


def test_vocabulary_with_capitals_is_cased(folder: Path, pieces: list[str]) -> None:
    write_vocabulary(folder, [*pieces, "Paris"])
    tokenizer = read(folder)
    assert tokenizer.encode("Paris paris", add_special_tokens=False).tokens == ["Paris", "[UNK]"]
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert read(folder).encode("Paris", add_special_tokens=False).tokens == ["[UNK]"]


def test_options_win_over_the_saved_tokenizer_as_in_transformers(saved: Path, edit: Edit) -> None:
    edit(saved / "tokenizer_config.json", do_lower_case=False)
    assert read(saved).encode("The", add_special_tokens=False).tokens == ["[UNK]"]
    assert_like_transformers(read(saved), saved)


def test_sentence_transformers_may_lower_case_first(saved: Path, edit: Edit) -> None:
    edit(saved / "tokenizer_config.json", do_lower_case=False)
    (saved / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert read(saved).encode("The CAT", add_special_tokens=False).tokens == ["the", "cat"]


def test_truncation_and_padding_are_left_out(saved: Path, edit: Edit) -> None:
    truncation = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    edit(saved / "tokenizer.json", truncation=truncation)
    text = read_tokenizer(saved, rows=ROWS, needs_mask=True).json
    assert json.loads(text)["truncation"] is None
    assert json.loads(text)["padding"] is None
    assert len(Tokenizer.from_str(text).encode("the cat sat on the mat").ids) == 8


def test_pairs_have_segments_0_and_1(folder: Path) -> None:
    encoding = read(folder).encode("the cat", "sat")
    assert encoding.tokens == ["[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]"]
    assert encoding.type_ids == [0, 0, 0, 0, 1, 1]


def test_mask_in_a_text_is_one_token_even_where_the_file_forgot_it(saved: Path, edit: Edit) -> None:
    edit(saved / "tokenizer.json", added_tokens=[])
    encoding = read(saved).encode("the [MASK] sat")
    assert encoding.tokens == ["[CLS]", "the", "[MASK]", "sat", "[SEP]"]


def test_windows_line_ends_are_line_ends(folder: Path, pieces: list[str]) -> None:
    (folder / "vocab.txt").write_bytes("\r\n".join(pieces).encode())
    assert read(folder).get_vocab_size() == len(pieces)
    assert_like_transformers(read(folder), folder)


def test_pieces_beyond_ascii_line_breaks_stay_whole(folder: Path, pieces: list[str]) -> None:
    write_vocabulary(folder, [*pieces, "\u2028", "\x85", "end"])
    assert read(folder).token_to_id("end") == len(pieces) + 2


def test_ids_beyond_the_embeddings_are_refused(folder: Path, saved: Path, edit: Edit) -> None:
    with pytest.raises(ExportError, match="ids up to 60, they have 60 word embeddings"):
        read(folder, rows=60)
    assert read(folder, rows=61).get_vocab_size() == 61
    token = {"id": 67, "content": "new", "special": False}
    edit(saved / "tokenizer.json", added_tokens=[token])
    with pytest.raises(ExportError, match="ids up to 67, they have 67"):
        read(saved)


def test_files_that_disagree_are_refused(saved: Path, pieces: list[str]) -> None:
    write_vocabulary(saved, pieces)
    assert read(saved).get_vocab_size() == len(pieces)
    pieces[10], pieces[11] = pieces[11], pieces[10]
    write_vocabulary(saved, pieces)
    with pytest.raises(ExportError, match="disagree, first about id 10"):
        read(saved)
    write_vocabulary(saved, pieces[:-1])
    with pytest.raises(ExportError, match="disagree"):
        read(saved)


@pytest.mark.parametrize("name", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
def test_missing_special_token_is_named(folder: Path, pieces: list[str], name: str) -> None:
    write_vocabulary(folder, [piece if piece != name else "other" for piece in pieces])
    with pytest.raises(ExportError) as caught:
        read(folder)
    assert str(caught.value) == f"The tokenizer lacks {name}."


def test_mask_is_needed_only_to_fill_it(folder: Path, pieces: list[str]) -> None:
    write_vocabulary(folder, [piece if piece != "[MASK]" else "other" for piece in pieces])
    assert read(folder, rows=61, needs_mask=False).token_to_id("[MASK]") is None
    # As transformers adds one to every BERT.
    assert read(folder, rows=62, needs_mask=False).token_to_id("[MASK]") == 61


def test_no_tokenizer_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"neither tokenizer\.json nor vocab\.txt"):
        read(tmp_path)


def test_tokens_added_beside_a_vocabulary_are_kept_whole(folder: Path) -> None:
    (folder / "added_tokens.json").write_text('{"new": 61}')
    assert read(folder).encode("a new cat", add_special_tokens=False).ids[1] == 61
    (folder / "added_tokens.json").write_text('{"new": 62}')
    with pytest.raises(ExportError, match="new id 62; beside this vocabulary it has 61"):
        read(folder)


def component(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


EVIL = {"Regex": "(a+)+$"}
WORD_PIECE = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"pre_tokenizer": component("Split", pattern=EVIL, behavior="Isolated", invert=False)},
            "pre_tokenizer of tokenizer.json is Split; Cloze reads BertPreTokenizer",
        ),
        ({"pre_tokenizer": component("ByteLevel")}, "is ByteLevel; with a WordPiece model"),
        ({"pre_tokenizer": None}, "pre_tokenizer .* is None"),
        (
            {"pre_tokenizer": component("Sequence", pretokenizers=[])},
            "pre_tokenizer .* is Sequence",
        ),
        (
            {"normalizer": component("Replace", pattern=EVIL, content="")},
            "normalizer in tokenizer.json is Replace",
        ),
        (
            {"normalizer": component("Sequence", normalizers=[component("Replace", pattern=EVIL)])},
            "is Replace",
        ),
        (
            {"normalizer": component("Sequence", normalizers=[component("Sequence")])},
            "is Sequence",
        ),
        ({"normalizer": component("Sequence", normalizers=[component("NFC")] * 9)}, "at most 8"),
        ({"normalizer": component("Precompiled", precompiled_charsmap="")}, "damaged or huge"),
        ({"normalizer": component("BertNormalizer", lowercase=1)}, "lowercase .* true or false"),
        ({"normalizer": None}, "not one that word pieces have"),
        ({"decoder": component("Replace", pattern=EVIL, content="")}, "decoder .* is Replace"),
        ({"post_processor": component("RobertaProcessing")}, "cls in the post_processor"),
        ({"post_processor": component("ByteLevel")}, "post_processor .* is ByteLevel"),
        (
            {"post_processor": component("TemplateProcessing", single=[], pair=[])},
            "single template",
        ),
        ({"model": component("BPE", vocab={"a": 0}, merges=[])}, "with a BPE model"),
        ({"model": component("WordLevel", vocab={"a": 0})}, "has type WordLevel"),
        ({"model": WORD_PIECE | {"unk_token": "<unk>", "vocab": {"a": 0}}}, "token is <unk>"),
        ({"model": WORD_PIECE | {"vocab": {}}}, "no word pieces"),
        ({"model": WORD_PIECE | {"vocab": {"a": 1, "b": 1}}}, "two with the same id"),
        ({"model": WORD_PIECE | {"vocab": {"a": -1}}}, "a whole number of at least 0"),
        ({"model": WORD_PIECE | {"vocab": {"a" * 257: 1}}}, "over 256 characters"),
        ({"model": WORD_PIECE | {"max_input_chars_per_word": 9**9, "vocab": {}}}, "over 1000"),
        ({"model": None}, "must hold a JSON object"),
        ({"added_tokens": [{"id": 5, "content": "[CLS]", "special": True}]}, "is not free"),
        ({"added_tokens": [{"id": 2, "content": "[CLS]"}]}, "must be special"),
        ({"added_tokens": [{"id": 66, "content": "new"}]}, "an id that is not free"),
        ({"added_tokens": [{"id": 61, "content": ""}]}, "is empty or over"),
        ({"added_tokens": [{"id": "61", "content": "new"}]}, "id .* must be a whole number"),
        ({"added_tokens": [{"id": 61, "content": "x"}] * 10_001}, "at most 10000"),
        ({"added_tokens": {}, "extra": 1}, "should not have: extra"),
    ],
)
def test_what_is_not_berts_is_refused_by_name(
    saved: Path, changes: dict[str, Any], sentence: str
) -> None:
    path = saved / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ExportError, match=sentence):
        read(saved)


def test_pair_template_without_segments_is_refused(saved: Path) -> None:
    path = saved / "tokenizer.json"
    document = json.loads(path.read_text())
    document["post_processor"]["pair"][-1]["SpecialToken"]["type_id"] = 0
    path.write_text(json.dumps(document))
    with pytest.raises(ExportError, match="pair template"):
        read(saved)


def test_older_frame_and_harmless_normalizers_are_accepted(saved: Path, edit: Edit) -> None:
    names = ["input_ids", "token_type_ids", "attention_mask"]
    options = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": names}
    edit(saved / "tokenizer_config.json", **options)
    frame = component("BertProcessing", sep=["[SEP]", 3], cls=["[CLS]", 2])
    chain = component(
        "Sequence", normalizers=[component("NFKC"), component("BertNormalizer", lowercase=True)]
    )
    edit(saved / "tokenizer.json", post_processor=frame, normalizer=chain)
    encoding = read(saved).encode("ＴＨＥ cat", "sat")  # noqa: RUF001 (full width on purpose)
    assert encoding.tokens == ["[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]"]
    assert encoding.type_ids == [0, 0, 0, 0, 1, 1]


def test_added_tokens_keep_their_ids(saved: Path, edit: Edit) -> None:
    tokens = json.loads((saved / "tokenizer.json").read_text())["added_tokens"]
    edit(saved / "tokenizer.json", added_tokens=[*tokens, {"id": 61, "content": "<url>"}])
    tokenizer = read(saved)
    assert tokenizer.token_to_id("<url>") == 61
    assert tokenizer.encode("see <url>", add_special_tokens=False).ids[-1] == 61
