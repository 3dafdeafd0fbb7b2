"""A model folder that is not exactly what its manifest says is refused, by the file's name."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from models.manifest import (
    Architecture,
    FileRecord,
    ManifestError,
    ModelManifest,
    load_manifest,
    record_files,
    write_manifest,
)
from models.pooling import PoolingModule, PoolingSpec

DENSE = {"kind": "dense", "width": 5}
NORM = {"kind": "layer_norm", "width": 12}
LIMIT_S = 5.0  # within which any broken folder is refused
WEIGHTS_BYTES = 3_000_001  # more than one chunk, and not a whole number of them
FILES = ("model.onnx", "model.onnx.data", "tokenizer.json", "README.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete model folder; its files hold no model, since the manifest knows of none."""
    folder = tmp_path / "small-en"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "model.onnx.data").write_bytes(bytes(range(251)) * (WEIGHTS_BYTES // 251))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("# small-en\n")
    write_manifest(folder, manifest_of(folder))
    return folder


def manifest_of(folder: Path) -> ModelManifest:
    return ModelManifest(
        name="small-en",
        source="somewhere/bert-small",
        license="apache-2.0",
        created="2026-11-22T17:00:00+00:00",
        architecture=Architecture(67, 12, 3, 2, 20, 29, 2, "gelu"),
        heads=("mlm", "pooler"),
        pooling=PoolingSpec("cls", False, 23, {"query": "qu\u00e9ry: "}, "query"),
        labels=("no", "yes"),
        multi_label=False,
        regression=True,
        max_tokens=29,
        precision="fp32",
        opset=24,
        layers=(-2,),
        parameters={"total": 1234, "textbook": 1200},
        parity={"pooled": 1.5e-6},
        quantization_error={},
        files=record_files(folder),
    )


def refused(folder: Path) -> str:
    """The message with which the folder is refused, in time."""
    begun = time.monotonic()
    with pytest.raises(ManifestError) as error:
        load_manifest(folder)
    assert time.monotonic() - begun < LIMIT_S
    return str(error.value)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data))


def test_what_was_written_is_read_back(folder: Path) -> None:
    written = manifest_of(folder)
    assert load_manifest(folder) == written
    assert set(written.files) == set(FILES)
    assert load_manifest(folder).pooling.prompts == {"query": "qu\u00e9ry: "}


def test_a_manifest_from_before_regression_was_told_has_none(folder: Path) -> None:
    edit(folder, lambda data: data.pop("regression"))
    assert not load_manifest(folder).regression


def test_a_manifest_from_before_modules_pools_as_it_did(folder: Path) -> None:
    added = ("include_prompt", "dimensions", "similarity", "modules")

    def as_it_was(data: dict[str, Any]) -> None:
        for name in ("activation", "truncation_side"):
            del data[name]
        for name in added:
            del data["pooling"][name]

    edit(folder, as_it_was)
    assert load_manifest(folder) == manifest_of(folder)


def test_modules_behind_the_pooling_are_read_back(folder: Path) -> None:
    modules = (PoolingModule("dense", 5, "tanh", bias=False), PoolingModule("normalize", 5))
    pooling = PoolingSpec("max+cls", True, 23, dimensions=4, similarity="dot", modules=modules)
    write_manifest(folder, replace(manifest_of(folder), pooling=pooling))
    assert load_manifest(folder).pooling == pooling


def test_the_committed_model_is_what_its_manifest_says(default_model: Path) -> None:
    manifest = load_manifest(default_model)
    assert manifest.name == default_model.name
    assert {"mlm", "nsp", "pooler"} <= set(manifest.heads)
    json.dumps(asdict(manifest))


def test_files_are_recorded_without_the_manifest(folder: Path) -> None:
    records = record_files(folder)
    assert sorted(records) == sorted(FILES)
    for name in FILES:
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert records[name] == FileRecord(len(content), digest)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refused(folder) == f"small-en/{name} is missing."


def test_a_missing_manifest_is_named(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert "small-en/manifest.json is missing" in refused(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "absent/manifest.json is missing" in refused(tmp_path / "absent")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(folder: Path, name: str) -> None:
    size = (folder / name).stat().st_size
    os.truncate(folder / name, size - 1)
    assert f"small-en/{name} has {size - 1} bytes" in refused(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, -1])
def test_a_flipped_bit_is_found(folder: Path, name: str, place: int) -> None:
    content = bytearray((folder / name).read_bytes())
    content[place] ^= 1
    (folder / name).write_bytes(content)
    assert f"small-en/{name} was changed" in refused(folder)


@pytest.mark.parametrize("name", ["extra.bin", ".hidden", "model.onnx.data2", "Model.onnx"])
def test_an_extra_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    assert refused(folder) == f"small-en/{name} is not listed in the manifest."


def test_an_extra_folder_is_named(folder: Path) -> None:
    (folder / "sub").mkdir()
    assert refused(folder) == "small-en/sub is not listed in the manifest."


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_symlink_is_refused_even_to_the_same_bytes(
    folder: Path, tmp_path: Path, name: str
) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    assert f"small-en/{name} is not a plain file" in refused(folder)


def test_a_dangling_symlink_is_refused(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(folder / "nowhere")
    assert "small-en/model.onnx is not a plain file" in refused(folder)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_hard_link_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").hardlink_to(folder / name)
    assert f"small-en/{name} is not a plain file" in refused(folder)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_pipe_in_the_place_of_a_file_does_not_hang(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert f"small-en/{name} is not a plain file" in refused(folder)


def test_a_folder_in_the_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()
    assert "small-en/model.onnx is not a plain file" in refused(folder)


@pytest.mark.parametrize(
    "name", ["../other.bin", "sub/model.onnx", "/etc/passwd", "./model.onnx", "..", ".", "a/../b"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(
    folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "other.bin").write_bytes(b"outside")
    record = asdict(FileRecord(7, "0" * 64))
    edit(folder, lambda data: data["files"].update({name: record}))
    message = refused(folder)
    assert "is a file outside the folder" in message or name == ".."
    assert "small-en/" in message


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_a_name_that_cannot_be_a_listed_file_is_refused(folder: Path, name: str) -> None:
    record = asdict(FileRecord(7, "0" * 64))
    edit(folder, lambda data: data["files"].update({name: record}))
    assert "small-en" in refused(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_manifest_without_the_files_of_a_model_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    edit(folder, lambda data: data["files"].pop(name))
    assert refused(folder) == f"small-en/manifest.json does not list {name}."


@pytest.mark.parametrize(
    ("value", "said"), [(1, "of format 1"), (3, "of format 3"), ("2", "of no")]
)
def test_another_format_is_refused_with_what_to_do(folder: Path, value: object, said: str) -> None:
    edit(folder, lambda data: data.update(format=value))
    message = refused(folder)
    assert f"small-en/manifest.json is {said}" in message
    assert "this version reads format 2" in message
    assert "`python -m export`" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe{}", b"\x00", b'{"format": 2', b"[" * 100_000, b"1" * 10_000],
    ids=["empty", "brace", "latin", "nul", "cut", "deep", "huge"],
)
def test_a_manifest_that_is_not_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    assert refused(folder).startswith("small-en/manifest.json is not JSON ")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_lacks_are_refused(folder: Path, number: str) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("1.5e-06", number))
    assert "is not JSON with finite numbers" in refused(folder)


def test_a_file_listed_twice_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"files": {', '"files": {"README.md": {},'))
    assert "every key once" in refused(folder)


def test_a_huge_manifest_is_not_read(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 5 << 20)
    assert refused(folder) == "small-en/manifest.json is larger than 4 MiB."


@pytest.mark.parametrize("content", [b"[]", b"null", b"1", b'"text"', b"{}"])
def test_json_that_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    assert "small-en/manifest.json is of no format" in refused(folder)


def fields() -> list[str]:
    optional = {
        "format",
        "quantization_texts",
        "regression",
        "activation",
        "truncation_side",
        "pair_bytes",
        "sparse",
        "tokenizer",
    }
    return [name for name in ModelManifest.__dataclass_fields__ if name not in optional]


@pytest.mark.parametrize("field", fields())
def test_a_missing_field_is_named(folder: Path, field: str) -> None:
    edit(folder, lambda data: data.pop(field))
    assert refused(folder) == f"small-en/manifest.json: {field} is missing."


def test_a_missing_size_is_named(folder: Path) -> None:
    edit(folder, lambda data: data["architecture"].pop("hidden_size"))
    assert refused(folder) == "small-en/manifest.json: architecture.hidden_size is missing."


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("architecture", 7, "architecture must be an object"),
        ("architecture.hidden_size", "12", "hidden_size must be a whole number"),
        ("architecture.hidden_size", True, "hidden_size must be a whole number"),
        ("architecture.hidden_size", 12.0, "hidden_size must be a whole number"),
        ("architecture.hidden_size", 1 << 60, "hidden_size must be a whole number"),
        ("architecture.hidden_size", 13, "hidden_size must be a multiple of num_attention_heads"),
        ("architecture.num_attention_heads", 0, "num_attention_heads must be 1 or more"),
        ("architecture.hidden_act", None, "hidden_act must be Unicode text"),
        ("pair_bytes", 7, "pair_bytes must be 8, what scores take alone, to 128, or null"),
        ("pair_bytes", 129, "pair_bytes must be 8, what scores take alone, to 128, or null"),
        ("pair_bytes", 48.0, "pair_bytes must be a whole number that JSON carries or null"),
        ("quantization_texts", "poems", "must be one of sentences, random tokens"),
        ("quantization_texts", None, "quantization_texts must be Unicode text"),
        ("architecture.embedding_size", 0, "embedding_size must be 1 or more"),
        ("architecture.embedding_size", "8", "must be a whole number that JSON carries or null"),
        ("architecture.stored_layers", 4, "stored_layers must be at most num_hidden_layers"),
        ("architecture.segments", 0, "segments must be true or false"),
        ("architecture.classifier_pooling", "max", "must be one of cls, mean"),
        ("architecture.choices", [], "choices must be an object"),
        ("architecture.choices", {"x": None}, "choices.x must be Unicode text or true or false"),
        ("pooling", [], "pooling must be an object"),
        ("pooling.mode", "sum", "pooling.mode must be one of mean, cls, max"),
        ("pooling.mode", "cls+sum", "pooling.mode must be one of mean, cls, max"),
        ("pooling.mode", "cls+", "pooling.mode must be one of mean, cls, max"),
        ("pooling.mode", "+".join(["cls"] * 9), "or up to 8 of them joined by +"),
        ("pooling.include_prompt", None, "include_prompt must be true or false"),
        ("pooling.similarity", "angle", "similarity must be one of cosine, dot, euclidean"),
        ("pooling.dimensions", 0, "dimensions must be 1 to 12, the numbers of a vector"),
        ("pooling.dimensions", 13, "dimensions must be 1 to 12, the numbers of a vector"),
        (
            "pooling.dimensions",
            "all",
            "must be a whole number that JSON carries or null",
        ),
        ("pooling.modules", {}, "pooling.modules must be a list"),
        ("pooling.modules", [[]], "pooling.modules[0] must be an object"),
        ("pooling.modules", [{"kind": "dense"}], "pooling.modules[0].width is missing"),
        ("pooling.modules", [{"kind": "cnn", "width": 5}], "modules[0].kind must be one of dense"),
        ("pooling.modules", [{"kind": "dense", "width": 0}], "modules[0].width must be 1 to 65536"),
        ("pooling.modules", [DENSE | {"activation": "elu"}], "activation must be one of identity"),
        ("pooling.modules", [DENSE, NORM], "modules[1].width must be 5, as what goes in"),
        ("pooling.modules", [NORM | {"activation": "tanh"}], "must have no activation"),
        ("pooling.modules", [NORM | {"bias": False}], "must have no activation and no choice"),
        ("pooling.modules", [DENSE] * 17, "pooling.modules must be 16 at most"),
        ("pooling.normalize", 1, "pooling.normalize must be true or false"),
        ("pooling.max_tokens", 2, "pooling.max_tokens must be 3 to 29"),
        ("pooling.max_tokens", 30, "pooling.max_tokens must be 3 to 29"),
        ("pooling.prompts", {"query": 1}, "pooling.prompts.query must be Unicode text"),
        ("pooling.prompts", {"query": "\ud800"}, "pooling.prompts.query must be Unicode text"),
        ("pooling.default_prompt", "absent", "default_prompt must be among pooling.prompts"),
        ("pooling.default_prompt", 1, "default_prompt must be Unicode text or null"),
        ("activation", "tanh", "activation must be one of softmax, sigmoid, none, or null"),
        ("activation", "none", "activation must be null without the head sequence"),
        ("truncation_side", "both", "truncation_side must be one of left, right"),
        ("truncation_side", None, "truncation_side must be Unicode text"),
        ("heads", {}, "heads must be a list"),
        ("heads", ["mlm", 1], "heads[1] must be Unicode text"),
        ("heads", ["mlm", "sing"], "heads must be among mlm, nsp, pooler"),
        ("heads", ["mlm", "mlm"], "heads must not name one twice"),
        ("heads", ["nsp"], "heads must have the pooler"),
        ("labels", "no", "labels must be a list"),
        ("multi_label", True, "multi_label and regression must not both be true"),
        ("max_tokens", 30, "max_tokens must be 5 to 29"),
        ("max_tokens", 4, "max_tokens must be 5 to 29"),
        ("tokenizer", "bert", "tokenizer must be an object"),
        ("tokenizer.mask", "", "tokenizer.mask must be 1 to 64 characters without a blank"),
        ("tokenizer.cls", "a b", "tokenizer.cls must be 1 to 64 characters without a blank"),
        ("tokenizer.unk", "x" * 65, "tokenizer.unk must be 1 to 64 characters"),
        ("tokenizer.pad", None, "tokenizer.pad must be Unicode text"),
        ("tokenizer.sep", "[CLS]", "tokenizer must not spell two tokens alike"),
        ("tokenizer.pair_separators", 0, "tokenizer.pair_separators must be 1 or 2"),
        ("tokenizer.pair_separators", 3, "tokenizer.pair_separators must be 1 or 2"),
        ("tokenizer.segments", 1, "tokenizer.segments must be true or false"),
        ("tokenizer.words", "sudachi", "tokenizer.words must be empty or one of ipadic"),
        ("tokenizer.words", 1, "tokenizer.words must be Unicode text"),
        ("tokenizer.characters", True, "tokenizer.characters must have tokenizer.words"),
        ("tokenizer.bos", "<s>", "tokenizer.bos is not a field of a manifest"),
        ("precision", "fp64", "precision must be one of fp32, fp16, int8"),
        ("opset", "24", "opset must be a whole number"),
        ("layers", [-1], "layers must be from -3 to -2"),
        ("layers", [-4], "layers must be from -3 to -2"),
        ("layers", [-2, -2], "layers must not name one twice"),
        ("parameters", {"total": -1}, "parameters must be 0 or more"),
        ("parity", {"pooled": "1"}, "parity.pooled must be a finite number"),
        ("parity", {"pooled": 1e99}, "parity.pooled must be a finite number"),
        ("parity", {"\ud800": 1}, "parity must be Unicode text"),
        ("created", "yesterday", "created must be a date and time"),
        ("created", "2026-11-22T17:00:00", "created must be a date and time"),
        ("files", [], "files must be an object"),
        ("files", {"model.onnx": 1}, "files.model.onnx must be an object"),
        ("files", {"model.onnx": {"size": 5}}, "files.model.onnx.sha256 is missing"),
        ("name", 7, "name must be Unicode text"),
        ("run", "this", "run is not a field of a manifest"),
    ],
)
def test_a_field_that_cannot_be_true_is_named(
    folder: Path, place: str, value: object, said: str
) -> None:
    def change(data: dict[str, Any]) -> None:
        *way, last = place.split(".")
        for step in way:
            data = data[step]
        data[last] = value

    edit(folder, change)
    message = refused(folder)
    assert message.startswith("small-en/manifest.json: ")
    assert said in message


@pytest.mark.parametrize("digest", ["", "0" * 63, "G" * 64])
def test_a_digest_that_is_none_is_named(folder: Path, digest: str) -> None:
    edit(folder, lambda data: data["files"]["model.onnx"].update(sha256=digest))
    assert "files.model.onnx.sha256 must be 64 hexadecimal digits" in refused(folder)


def test_a_classifier_without_labels_is_refused(folder: Path) -> None:
    edit(folder, lambda data: data.update(heads=["pooler", "sequence"], labels=[]))
    assert "labels must not be empty" in refused(folder)


@pytest.mark.parametrize("name", ["", "../up", "A", "a/b", "-a", "a" * 65, "a\n", "\u00e4"])
def test_a_name_that_would_not_fit_a_url_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ManifestError, match="name must be up to 64"):
        write_manifest(folder, replace(manifest_of(folder), name=name))
    assert "small-en/manifest.json: name must be up to 64" in refused(folder)
