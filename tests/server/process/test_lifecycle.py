"""Loading that fails in ways that nobody foresaw ends the server, with a line that says why."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.manifest import load_manifest, record_files, write_manifest
from tests.server.test_main import run

# What the tokenizers package reads as a map of characters, and runs out of when it looks one up.
BEYOND_ITS_END = base64.b64encode(b"\x04\0\0\0" + b"\xff\xff\xff\x7f" + b"abc\0").decode()
RAISES = """
import tokenizers

class Tokenizer:
    @staticmethod
    def from_file(path):
        raise {error}

tokenizers.Tokenizer = Tokenizer
"""


def no_vocabulary(tokenizer: dict[str, Any]) -> None:
    del tokenizer["model"]["vocab"]


def no_special_token(tokenizer: dict[str, Any]) -> None:
    del tokenizer["model"]["vocab"]["[CLS]"]
    tokenizer["added_tokens"] = []


def panic(tokenizer: dict[str, Any]) -> None:
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": BEYOND_ITS_END}
    tokenizer["added_tokens"][0]["normalized"] = True


def intact(model: Path, folder: Path) -> None:
    """Writes a manifest that is right about the files of `folder`, whatever is in them."""
    write_manifest(folder, dataclasses.replace(load_manifest(model), files=record_files(folder)))


def failure(models: Path, **environment: str) -> dict[str, Any]:
    """The line that says why a server ended with 3."""
    finished = run("--port", 0, "--models", models, **environment)
    assert finished.returncode == 3
    assert "Traceback" not in finished.stderr
    lines = [json.loads(line) for line in finished.stderr.splitlines() if line.startswith("{")]
    errors: list[dict[str, Any]] = [line for line in lines if line["level"] == "error"]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize(
    ("damage", "error", "place"),
    [
        (no_vocabulary, "Exception: missing field `vocab`", "tokenizer.py"),
        (no_special_token, "ValueError: expected [CLS] in the vocabulary", "tokenizer.py"),
        (panic, "PanicException: index out of bounds", "tokenizer.py"),
    ],
)
def test_a_tokenizer_that_is_not_one_is_told_by_type_place_and_model(
    default_model: Path,
    tmp_path: Path,
    damage: Callable[[dict[str, Any]], None],
    error: str,
    place: str,
) -> None:
    folder = tmp_path / "models" / "broken"
    shutil.copytree(default_model, folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    intact(default_model, folder)
    line = failure(folder.parent)
    assert line["message"].startswith(f"loading failed: {error}")
    assert line["message"].endswith("while loading broken")
    assert place in line["exception"]


def test_a_graph_that_is_not_one_is_told_so(default_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "broken"
    shutil.copytree(default_model, folder)
    (folder / "model.onnx").write_bytes(b"not a graph")
    intact(default_model, folder)
    line = failure(folder.parent)
    assert "INVALID_PROTOBUF" in line["message"]
    assert "session.py" in line["exception"]


@pytest.mark.parametrize("error", ["MemoryError()", "KeyError('layers')", "SystemError('odd')"])
def test_any_error_of_a_library_ends_the_server(
    default_model: Path, tmp_path: Path, error: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(RAISES.format(error=error))
    line = failure(default_model, **dict(os.environ, PYTHONPATH=str(tmp_path)))
    assert line["message"].startswith(f"loading failed: {error.partition('(')[0]}: ")
    assert "sitecustomize.py" in line["exception"]


def test_the_same_ends_several_processes(default_model: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(RAISES.format(error="MemoryError()"))
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    finished = run("--port", 0, "--models", default_model, "--processes", 2, **environment)
    assert finished.returncode == 3
    assert "loading failed: MemoryError" in finished.stderr
