"""Loading that fails in ways that nobody foresaw ends the server, with a line that says why."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.manifest import load_manifest, record_files, write_manifest
from tests.server.test_main import run

# What the tokenizers package reads as a map of characters, and runs out of when it looks one up.
BEYOND_ITS_END = base64.b64encode(b"\x04\0\0\0" + b"\xff\xff\xff\x7f" + b"abc\0").decode()
REFUSED_S = 5.0
RAISES = """
import tokenizers

class Tokenizer:
    from_str = tokenizers.Tokenizer.from_str

    @staticmethod
    def from_file(path):
        raise {error}

tokenizers.Tokenizer = Tokenizer
"""


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


def regex(tokenizer: dict[str, Any], _: dict[str, Any]) -> None:
    pattern = {"type": "Split", "pattern": {"Regex": "(a+)+$"}}
    tokenizer["pre_tokenizer"] = pattern | {"behavior": "Isolated", "invert": False}


def panic(tokenizer: dict[str, Any], _: dict[str, Any]) -> None:
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": BEYOND_ITS_END}
    tokenizer["added_tokens"][0]["normalized"] = True


def no_special_token(tokenizer: dict[str, Any], _: dict[str, Any]) -> None:
    del tokenizer["model"]["vocab"]["[CLS]"]
    tokenizer["added_tokens"] = []


def too_long(_: dict[str, Any], manifest: dict[str, Any]) -> None:
    manifest["max_tokens"] = 513


def more_positions(_: dict[str, Any], manifest: dict[str, Any]) -> None:
    manifest["architecture"]["max_position_embeddings"] = manifest["max_tokens"] = 1024


def not_a_number(_: dict[str, Any], manifest: dict[str, Any]) -> None:
    manifest["quantization_error"]["mlm_masks"] = float("nan")


def unknown_head(_: dict[str, Any], manifest: dict[str, Any]) -> None:
    manifest["heads"].append("poetry")


def other_head(_: dict[str, Any], manifest: dict[str, Any]) -> None:
    manifest["heads"].append("qa")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            regex,
            "The pre_tokenizer of broken/tokenizer.json is Split; Cloze reads BertPreTokenizer",
        ),
        (panic, "The normalizer in broken/tokenizer.json has a table that is damaged or huge."),
        (no_special_token, "broken/tokenizer.json: The tokenizer lacks [CLS]."),
        (too_long, "broken/manifest.json: max_tokens must be 5 to 512."),
        (more_positions, "broken/model.onnx has (512, 384) where the manifest's architecture.max"),
        (not_a_number, "broken/manifest.json is not JSON with finite numbers"),
        (unknown_head, "broken/manifest.json: heads must be among mlm, nsp, pooler"),
        (other_head, "broken/model.onnx has None where the manifest's heads and labels, for qa."),
    ],
)
def test_a_folder_whose_manifest_agrees_and_is_wrong_ends_the_server_in_one_sentence(
    default_model: Path,
    tmp_path: Path,
    damage: Callable[[dict[str, Any], dict[str, Any]], None],
    said: str,
) -> None:
    folder = tmp_path / "models" / "broken"
    shutil.copytree(default_model, folder)
    tokenizer, manifest = (
        json.loads((folder / name).read_text()) for name in ("tokenizer.json", "manifest.json")
    )
    damage(tokenizer, manifest)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    records = {name: dataclasses.asdict(record) for name, record in record_files(folder).items()}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": records}))
    begun = time.monotonic()
    line = failure(folder.parent)
    assert time.monotonic() - begun < REFUSED_S
    assert line["message"].startswith(f"model refused: {said}")
    assert "exception" not in line


def test_a_graph_that_is_not_one_is_told_so(default_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "broken"
    shutil.copytree(default_model, folder)
    (folder / "model.onnx").write_bytes(b"not a graph")
    intact(default_model, folder)
    line = failure(folder.parent)
    assert line["message"].startswith("model refused: broken/model.onnx is not a graph that the")
    assert "exception" not in line


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
