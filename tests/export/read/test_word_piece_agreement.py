"""Word pieces in every configuration that a checkpoint may have, against transformers' own."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from export.errors import ExportError
from export.read.tokenizer import read_tokenizer
from tests.odd_texts import ODD_TEXTS
from tests.tokenizer_agreement import ROWS, differences, read, write_json

Vocabulary = Callable[..., Path]
LOWER = {"do_lower_case": True}
AS_IT_IS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
}
FLAGS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
MORE = [
    *string.ascii_lowercase,
    *("##" + letter for letter in string.ascii_lowercase),
    *".,'!?-()[]<>/#@",
    *"éÉıßσςё東",
    *("Paris", "The", "Straße", "[E1]", "<extra>"),
]


@pytest.fixture
def vocabulary(tmp_path: Path, pieces: list[str]) -> Vocabulary:
    """`vocabulary(config, special_tokens_map=...)`: a folder with a vocab.txt and these files."""

    def write(config: dict[str, Any] | None = None, *, end: str = "", **files: Any) -> Path:
        every = list(dict.fromkeys([*pieces, *MORE]))
        text = "\n".join(every) + "\n" + end
        (tmp_path / "vocab.txt").write_text(text, encoding="utf-8")
        write_json(tmp_path / "config.json", {"model_type": "bert"})
        for name, document in ({"tokenizer_config": config} | files).items():
            if document is not None:
                write_json(tmp_path / f"{name}.json", document)
        return tmp_path

    return write


def save(folder: Path) -> None:
    """Leave what transformers saves of the tokenizer in `folder`, in its place."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    tokenizer.save_pretrained(folder)


def size(folder: Path) -> int:
    return len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())


def test_there_are_more_than_a_hundred_odd_texts() -> None:
    assert len(set(ODD_TEXTS)) > 100


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        LOWER,
        {"do_lower_case": False},
        {"do_lower_case": False, "strip_accents": True},
        LOWER | {"strip_accents": False},
        LOWER | {"tokenize_chinese_chars": False},
        LOWER | {"additional_special_tokens": ["[E1]", "<extra>", "new york"]},
        LOWER | {"extra_special_tokens": ["[E1]", "<extra>"]},
        LOWER | {"extra_special_tokens": {"x_token": "<extra>"}},
        LOWER | {"cls_token": "[E1]", "sep_token": "<extra>"},
        LOWER | {"bos_token": "<extra>", "eos_token": "<new>"},
        LOWER | {"tokenizer_class": "DistilBertTokenizer"},
        LOWER | {"tokenizer_class": "ElectraTokenizerFast"},
        LOWER | {"do_basic_tokenize": True, "never_split": None, "truncation_side": "right"},
    ],
    ids=json.dumps,
)
def test_every_option_is_read_as_transformers_does(
    vocabulary: Vocabulary, options: dict[str, Any], *, saved: bool
) -> None:
    folder = vocabulary(options)
    if saved:
        save(folder)
    assert differences(folder) == []


@pytest.mark.parametrize("blank_lines", [0, 1, 3])
@pytest.mark.parametrize(
    "files",
    [
        {"special_tokens_map": {"additional_special_tokens": ["[E1]", "new york"]}},
        {"special_tokens_map": {"mask_token": FLAGS | {"content": "[MASK]", "lstrip": True}}},
        {"special_tokens_map": {"mask_token": FLAGS | {"content": "[MASK]", "normalized": True}}},
        {"added_tokens": {"New York": ..., "<extra>": 132}},
        {
            "added_tokens": {"<|im_start|>": ...},
            "special_tokens_map": {"additional_special_tokens": ["<|im_start|>"]},
        },
    ],
    ids=str,
)
def test_tokens_declared_beside_a_vocabulary_are_kept_whole(
    vocabulary: Vocabulary, files: dict[str, Any], blank_lines: int
) -> None:
    folder = vocabulary(LOWER, end="\n" * blank_lines)
    free = size(folder) - max(0, blank_lines - 1)  # blank lines are one piece, the empty one
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    for name, tokens in files.items():
        new = {token: free for token, index in tokens.items() if index is ...}
        old = {token: lines.index(token) for token in tokens if token in lines}
        write_json(folder / f"{name}.json", new | old if name == "added_tokens" else tokens)
    assert differences(folder) == []


@pytest.mark.parametrize("content", ["New York", "x", "<Extra>", "[E2]"])
@pytest.mark.parametrize("flag", [*FLAGS, "special", "none"])
def test_added_tokens_have_the_flags_that_are_declared(
    vocabulary: Vocabulary, content: str, flag: str
) -> None:
    folder = vocabulary(LOWER)
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    index = lines.index(content) if content in lines else len(lines)
    flags = FLAGS | {"special": False} | ({} if flag == "none" else {flag: True})
    decoder = {str(index): {"content": content} | flags}
    write_json(folder / "tokenizer_config.json", LOWER | {"added_tokens_decoder": decoder})
    assert differences(folder) == []
    save(folder)
    assert differences(folder) == []


def test_one_token_differently_declared_would_be_seen(vocabulary: Vocabulary) -> None:
    """Guards the comparisons above."""
    folder = vocabulary(LOWER)
    text = read_tokenizer(folder, rows=ROWS, needs_mask=False).json
    write_json(folder / "tokenizer_config.json", LOWER | {"mask_token": "[E1]"})
    assert read_tokenizer(folder, rows=ROWS, needs_mask=False).json != text
    assert ("ids", "new york New York newyork [E1] [e1]") not in differences(folder)
    assert read(folder).encode("[E1]", add_special_tokens=False).tokens == ["[E1]"]


CLASSES = ["KoBertTokenizer", "HerbertTokenizerFast", "BertweetTokenizer"]
CLASSES += ["PhobertTokenizer", "PreTrainedTokenizer", "XLNetTokenizer", "Ünbekannt"]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_another_class_is_refused_by_name(vocabulary: Vocabulary, name: str, file: str) -> None:
    folder = vocabulary({})
    document = json.loads((folder / file).read_text())
    write_json(folder / file, document | {"tokenizer_class": name})
    with pytest.raises(ExportError) as caught:
        read(folder)
    assert str(caught.value).startswith(f"{file} names the tokenizer class {name!a};")


def test_the_nearer_file_names_the_class(vocabulary: Vocabulary) -> None:
    folder = vocabulary(LOWER | {"tokenizer_class": "BertTokenizer"})
    config = {"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"}
    write_json(folder / "config.json", config)
    assert differences(folder) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("do_basic_tokenize", False),
        ("never_split", ["x"]),
        ("word_tokenizer_type", "mecab"),
        ("subword_tokenizer_type", "character"),
        ("mecab_kwargs", {"mecab_dic": "unidic_lite"}),
        ("do_subword_tokenize", False),
        ("padding_side", "left"),
        ("split_special_tokens", True),
        ("tokenizer_type", "sudachi"),
    ],
)
def test_an_option_that_would_change_tokens_is_refused_by_name(
    vocabulary: Vocabulary, option: str, value: object
) -> None:
    with pytest.raises(ExportError, match=f"tokenizer_config.json sets {option} to "):
        read(vocabulary({option: value}))


@pytest.mark.parametrize("code", [["tokenization_own.Own", None], {"AutoTokenizer": ["a.B", None]}])
def test_a_tokenizer_of_its_own_code_is_refused(vocabulary: Vocabulary, code: object) -> None:
    with pytest.raises(ExportError, match=r"code \(auto_map\), never run"):
        read(vocabulary({"auto_map": code}))
    assert differences(vocabulary(LOWER | {"auto_map": {"AutoConfig": "a.B"}})) == []


def test_code_counts_in_config_json_only_where_no_file_names_a_class(
    vocabulary: Vocabulary,
) -> None:
    own = {"model_type": "bert", "auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}}
    folder = vocabulary(LOWER)
    write_json(folder / "config.json", own)
    with pytest.raises(ExportError, match=r"^config.json asks for a tokenizer of its own code"):
        read(folder)
    named = vocabulary(LOWER | {"tokenizer_class": "BertTokenizer"})
    write_json(named / "config.json", own)
    assert differences(named) == []


# --- lower case -------------------------------------------------------------------------------


def decided(folder: Path, lowercase: bool | None = None) -> tuple[bool, tuple[str, ...]]:
    found = read_tokenizer(folder, rows=ROWS, needs_mask=False, lowercase=lowercase)
    return json.loads(found.json)["normalizer"]["lowercase"], found.notes


def chinese(folder: Path, more: list[str]) -> Path:
    """A vocabulary like that of Google's Chinese BERT, whose only capitals are <S> and <T>."""
    words = [chr(code) for code in range(0x4E00, 0x5000)]
    latin = [f"##w{number}x" for number in range(300)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<S>", "<T>"]
    text = "\n".join([*special, *words, *latin, *more]) + "\n"
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    return folder


def test_two_capitals_make_no_cased_vocabulary(tmp_path: Path) -> None:
    lowers, (note,) = decided(chinese(tmp_path, ["##A", "B"]))
    assert lowers
    assert note.startswith("texts are lower-cased: 2 of the 302 pieces of vocab.txt with letters")
    assert "--no-lowercase" in note


def test_a_share_of_capitals_makes_one(tmp_path: Path) -> None:
    lowers, (note,) = decided(chinese(tmp_path, ["Ä", "Ж", "Paris", "##A", "B"]))
    assert not lowers
    assert note.startswith("texts are not lower-cased: 5 of the 305 pieces")


@pytest.mark.parametrize("chosen", [True, False])
def test_who_exports_may_choose_where_no_file_says(tmp_path: Path, *, chosen: bool) -> None:
    folder = chinese(tmp_path, [])
    assert decided(folder, chosen) == (chosen, ())
    write_json(folder / "tokenizer_config.json", {"do_lower_case": chosen})
    assert decided(folder, chosen) == (chosen, ())
    with pytest.raises(ExportError, match=r"cannot be followed .* sets do_lower_case to"):
        decided(folder, not chosen)


def test_one_word_against_another_asks_for_a_choice(vocabulary: Vocabulary) -> None:
    folder = vocabulary({"do_lower_case": False})
    save(folder)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    with pytest.raises(ExportError, match="choose --lowercase or --no-lowercase"):
        read(folder)
    assert decided(folder, True) == (True, ())
    assert decided(folder, False) == (False, ())
    assert differences(folder, lowercase=True) == []


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("normalizer", {"strip_accents": True}, "strip_accents True"),
        ("normalizer", {"handle_chinese_chars": False}, "handle_chinese_chars False"),
        ("normalizer", {"clean_text": False}, "clean_text False"),
        ("normalizer", {"type": "Lowercase"}, "the normalizer Lowercase"),
        ("decoder", {"cleanup": False}, "cleanup False"),
        ("model", {"max_input_chars_per_word": 50}, "max_input_chars_per_word 50"),
    ],
)
def test_what_versions_of_transformers_read_differently_is_refused(
    vocabulary: Vocabulary, part: str, change: dict[str, Any], said: str
) -> None:
    folder = vocabulary(LOWER)
    save(folder)
    write_json(folder / "tokenizer_config.json", LOWER | {"tokenizer_class": "BertTokenizer"})
    document = json.loads((folder / "tokenizer.json").read_text())
    document[part] |= change
    write_json(folder / "tokenizer.json", document)
    with pytest.raises(ExportError, match=f"tokenizer.json has .*{said}, where one version"):
        read(folder)
    write_json(folder / "tokenizer_config.json", AS_IT_IS)
    assert differences(folder) == []


def test_a_token_that_only_one_file_adds_is_refused(vocabulary: Vocabulary) -> None:
    folder = vocabulary(LOWER | {"additional_special_tokens": ["<extra>"]})
    save(folder)
    tokens = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    kept = {str(token.pop("id")): token for token in tokens if token["content"] != "<extra>"}
    write_json(folder / "tokenizer_config.json", LOWER | {"added_tokens_decoder": kept})
    with pytest.raises(ExportError, match=r"adds the token <extra>, which added_tokens_decoder"):
        read(folder)


def test_no_frame_is_refused_where_the_class_adds_none(vocabulary: Vocabulary) -> None:
    folder = vocabulary(LOWER)
    save(folder)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "TokenizersBackend"})
    document = json.loads((folder / "tokenizer.json").read_text())
    write_json(folder / "tokenizer.json", document | {"post_processor": None})
    with pytest.raises(ExportError, match="has no post_processor"):
        read(folder)


@pytest.mark.parametrize("end", ["foo \n", "bar\u00a0\n", "baz\t\n"])
def test_a_piece_that_ends_in_white_space_is_refused(vocabulary: Vocabulary, end: str) -> None:
    with pytest.raises(ExportError, match="ends in white space"):
        read(vocabulary(LOWER, end=end))
