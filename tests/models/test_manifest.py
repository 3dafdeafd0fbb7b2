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
    PoolingSpec,
    load_manifest,
    record_files,
    write_manifest,
)

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
        multi_label=True,
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
    assert "small-en/manifest.json lists a file outside" in message or name == ".."
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
    assert refused(folder) == "small-en/manifest.json is not JSON."


@pytest.mark.parametrize("content", [b"[]", b"null", b"1", b'"text"', b"{}"])
def test_json_that_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    assert "small-en/manifest.json is of no format" in refused(folder)


def fields() -> list[str]:
    optional = {"format", "regression"}
    return [name for name in ModelManifest.__dataclass_fields__ if name not in optional]


@pytest.mark.parametrize("field", fields())
def test_a_missing_field_is_refused(folder: Path, field: str) -> None:
    edit(folder, lambda data: data.pop(field))
    assert "small-en/manifest.json lacks a field" in refused(folder)


def test_a_missing_size_is_refused(folder: Path) -> None:
    edit(folder, lambda data: data["architecture"].pop("hidden_size"))
    assert "small-en/manifest.json lacks a field" in refused(folder)


@pytest.mark.parametrize("field", ["architecture", "pooling", "heads", "files", "layers", "name"])
def test_a_field_of_the_wrong_kind_is_refused(folder: Path, field: str) -> None:
    edit(folder, lambda data: data.update({field: 7}))
    assert "small-en/manifest.json lacks a field" in refused(folder)


def test_an_unknown_field_is_refused(folder: Path) -> None:
    edit(folder, lambda data: data.update(run="this"))
    assert "small-en/manifest.json lacks a field" in refused(folder)


@pytest.mark.parametrize("name", ["", "../up", "A", "a/b", "-a", "a" * 65, "a\n", "\u00e4"])
def test_a_name_that_would_not_fit_a_url_is_refused(folder: Path, name: str) -> None:
    write_manifest(folder, replace(manifest_of(folder), name=name))
    assert "small-en/manifest.json lacks a field or has one of the wrong kind" in refused(folder)
