"""A tokenizer.json that the exporter would not have written is refused, and the part named."""

from __future__ import annotations

import dataclasses
import gc
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.manifest import Architecture, ManifestError, load_manifest
from models.tokenizer_file import require_tokenizer

LIMIT_S = 5.0
EVIL = {"Regex": "(a+)+$"}
SPLIT = {"type": "Split", "pattern": EVIL, "behavior": "Isolated", "invert": False}
TRUNCATION = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
PADDING = {
    "strategy": "BatchLongest",
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "[PAD]",
}


@pytest.fixture
def folder(default_model: Path, tmp_path: Path) -> Path:
    """A folder with a tokenizer.json alone."""
    (tmp_path / "en").mkdir()
    shutil.copy(default_model / "tokenizer.json", tmp_path / "en")
    return tmp_path / "en"


@pytest.fixture(autouse=True)
def only_its_own_objects() -> Iterator[None]:
    """What other tests have left behind is not walked through by the collector meanwhile."""
    gc.freeze()
    yield
    gc.unfreeze()


def refused(folder: Path, default_model: Path, **sizes: int) -> str:
    manifest = load_manifest(default_model)
    architecture = Architecture(**{**dataclasses.asdict(manifest.architecture), **sizes})
    begun = time.monotonic()
    with pytest.raises(ManifestError) as error:
        require_tokenizer(folder, dataclasses.replace(manifest, architecture=architecture))
    assert time.monotonic() - begun < LIMIT_S
    return str(error.value)


def edit(folder: Path, place: str, value: object) -> None:
    path = folder / "tokenizer.json"
    whole: dict[str, Any] = json.loads(path.read_text())
    data: Any = whole
    *way, last = place.split("/")
    for step in way:
        data = data[int(step) if isinstance(data, list) else step]
    data[last] = value
    path.write_text(json.dumps(whole))


def test_what_the_exporter_writes_is_taken(default_model: Path) -> None:
    require_tokenizer(default_model, load_manifest(default_model))


def test_white_space_and_order_do_not_matter(folder: Path, default_model: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1, sort_keys=True))
    require_tokenizer(folder, load_manifest(default_model))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("pre_tokenizer", SPLIT, "pre_tokenizer of en/tokenizer.json is Split"),
        ("pre_tokenizer", {"type": "ByteLevel"}, "pre_tokenizer of en/tokenizer.json is ByteLevel"),
        ("pre_tokenizer", None, "pre_tokenizer of en/tokenizer.json is None"),
        ("pre_tokenizer", {"type": "WhitespaceSplit"}, "not one that word pieces have"),
        ("pre_tokenizer/more", 1, "pre_tokenizer is not what the exporter writes"),
        ("normalizer", {"type": "Replace", "pattern": EVIL, "content": ""}, "is Replace"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "damaged or huge"),
        ("normalizer", None, "not one that word pieces have"),
        ("normalizer/lowercase", 1, "must be true or false"),
        ("decoder", {"type": "ByteLevel"}, "decoder of en/tokenizer.json is ByteLevel"),
        ("decoder", None, "decoder is not what the exporter writes"),
        ("decoder/cleanup", 1, "must be true or false"),
        ("decoder/more", False, "decoder is not what the exporter writes"),
        ("truncation", TRUNCATION, "truncation is not what the exporter writes"),
        ("padding", PADDING, "padding is not what the exporter writes"),
        ("post_processor", None, "post_processor is not what the exporter writes"),
        ("post_processor/single", [], "single template"),
        ("post_processor/special_tokens/[CLS]/ids", [5], "post_processor is not what"),
        ("version", "2.0", "version is not what the exporter writes"),
        ("model/type", "BPE", "has a continuing_subword_prefix"),
        ("model/type", "Unigram", "has no pieces"),
        ("model/type", "WordLevel", "has type WordLevel"),
        ("model", [], "must hold a JSON object"),
        ("model/vocab", {}, "no word pieces"),
        ("model/vocab", {"a": 0}, "an id that is not free"),
        ("model/vocab/paris", 30522, "has ids up to 30522"),
        ("model/vocab/paris", -1, "at least 0"),
        ("model/vocab/paris", 1 << 40, "has ids up to"),
        ("model/vocab/paris", 7.0, "must be a whole number"),
        ("model/vocab/paris", 7, "two with the same id"),
        ("model/max_input_chars_per_word", 10**9, "over 1000 characters"),
        ("model/extra", 1, "model is not what the exporter writes"),
        ("added_tokens", [], "added_tokens is not what the exporter writes"),
        ("added_tokens/0/id", 9, "id that is not free"),
        ("added_tokens/0/special", False, "must be special"),
        ("added_tokens/0/content", "", "is empty"),
        ("added_tokens", {"a": 1}, "at most 10000"),
        ("more", 1, "should not have: more"),
    ],
)
def test_every_other_part_is_named(
    folder: Path, default_model: Path, place: str, value: object, said: str
) -> None:
    edit(folder, place, value)
    assert said in refused(folder, default_model)


def test_a_vocabulary_beyond_the_weights_is_refused(folder: Path, default_model: Path) -> None:
    assert "they have 30521 word embeddings" in refused(folder, default_model, vocab_size=30521)


def test_no_mask_is_needed_without_its_head(folder: Path, default_model: Path) -> None:
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    document["model"]["vocab"]["[other]"] = document["model"]["vocab"].pop("[MASK]")
    document["added_tokens"] = [
        token for token in document["added_tokens"] if token["content"] != "[MASK]"
    ]
    path.write_text(json.dumps(document))
    assert "lacks [MASK]" in refused(folder, default_model)
    require_tokenizer(folder, dataclasses.replace(load_manifest(default_model), heads=("pooler",)))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a": 1, "a": 2}', b'{"a": NaN}'],
    ids=["empty", "brace", "latin", "deep", "twice", "nan"],
)
def test_what_is_no_json_is_refused(folder: Path, default_model: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    assert "en/tokenizer.json is not JSON" in refused(folder, default_model)


def test_a_huge_file_is_not_read(folder: Path, default_model: Path) -> None:
    with (folder / "tokenizer.json").open("ab") as stream:
        stream.truncate((64 << 20) + 1)
    assert refused(folder, default_model) == "en/tokenizer.json is larger than 64 MiB."


def test_a_vocabulary_of_millions_is_refused_in_time(folder: Path, default_model: Path) -> None:
    edit(folder, "model/vocab", {f"w{n}": n for n in range(2_000_000)})
    assert "has ids up to 1999999" in refused(folder, default_model)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mask": "<mask>"}, "lacks <mask>"),
        ({"pad": "<pad>"}, "lacks <pad>"),
        ({"unk": "<unk>"}, "unknown token is [UNK]; it must be <unk>"),
        ({"cls": "the"}, "puts [CLS] and [SEP] around a text"),
        ({"pair_separators": 2}, "it must be [CLS], [SEP], 2 and 1"),
        (
            {"words": "ipadic"},
            "must be WhitespaceSplit where words are found with a dictionary (ip",
        ),
        ({"segments": False}, "post_processor is not what the exporter writes"),
    ],
)
def test_a_manifest_that_spells_tokens_otherwise_is_refused(
    default_model: Path, changes: dict[str, Any], said: str
) -> None:
    manifest = load_manifest(default_model)
    spec = dataclasses.replace(manifest.tokenizer, **changes)
    with pytest.raises(ManifestError) as error:
        require_tokenizer(default_model, dataclasses.replace(manifest, tokenizer=spec))
    assert said in str(error.value)
