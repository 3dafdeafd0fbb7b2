"""A model folder in, a verified `ModelManifest` out; and the way back.

A model folder holds `model.onnx`, `model.onnx.data`, `tokenizer.json`, `README.md` (the model card)
and `manifest.json`, which is written last and lists every other file with its size and sha256. The
folder is refused when anything in it is missing, changed, extra, or a link. Knows nothing of ONNX.
"""

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 2
MANIFEST_FILE = "manifest.json"
GRAPH_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
CARD_FILE = "README.md"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class ManifestError(Exception):
    """The model folder must not be loaded; the message names the file and the reason."""


@dataclass(frozen=True)
class Architecture:
    """The sizes of the encoder, named as in a Hugging Face `config.json`."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    hidden_act: str
    model_type: str = "bert"


@dataclass(frozen=True)
class PoolingSpec:
    """How token vectors become a sentence vector when the request does not say."""

    mode: str
    """"mean", "cls" or "max"."""
    normalize: bool
    """Scale to length 1."""
    max_tokens: int
    """Longest embedded text in tokens, [CLS] and [SEP] included."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and sha256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class ModelManifest:
    """What a model folder holds and what was measured when it was made."""

    name: str
    source: str
    license: str
    created: str
    """UTC, ISO 8601, to the second."""
    architecture: Architecture
    heads: tuple[str, ...]
    """Names of `models.heads.HEADS`."""
    pooling: PoolingSpec
    labels: tuple[str, ...]
    multi_label: bool
    max_tokens: int
    """Longest text or pair in tokens, special tokens included."""
    precision: str
    """"fp32", "fp16" or "int8"."""
    opset: int
    layers: tuple[int, ...]
    """Hidden layers that can be pooled besides the last, as negative indices."""
    parameters: Mapping[str, int]
    """Exact counts by part, their "total", and the "textbook" estimate V·H + L·12·H²."""
    parity: Mapping[str, float]
    """Largest absolute difference from the NumPy reference, by output; empty in int8."""
    quantization_error: Mapping[str, float]
    """What int8 or float16 changed, as agreement and cosine against float32; empty in float32."""
    files: Mapping[str, FileRecord]
    regression: bool = False
    """The classifier gives numbers to be read as they are, not the logits of probabilities."""
    format: int = FORMAT


def write_manifest(folder: Path, manifest: ModelManifest) -> None:
    """Write `manifest.json` into `folder`."""
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Size and sha256 of every file of `folder` but the manifest, by name."""
    return {
        path.name: FileRecord(path.stat().st_size, _sha256(path))
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_FILE
    }


def load_manifest(folder: Path) -> ModelManifest:
    """Read the manifest of `folder` and verify every file against it.

    Raises `ManifestError`, naming the file, when the folder is not exactly what its manifest says.
    """
    manifest, label = _parse(folder), f"{folder.name}/{MANIFEST_FILE}"
    for name in manifest.files:
        if Path(name).name != name:
            raise ManifestError(f"{label} lists a file outside the folder.")
    present = {path.name for path in folder.iterdir()} - {MANIFEST_FILE}
    for extra in sorted(present - set(manifest.files)):
        raise ManifestError(f"{folder.name}/{extra} is not listed in the manifest.")
    for name, record in manifest.files.items():
        _verify(folder / name, record, present)
    for name in (GRAPH_FILE, TOKENIZER_FILE):
        if name not in manifest.files:
            raise ManifestError(f"{label} does not list {name}.")
    return manifest


def _parse(folder: Path) -> ModelManifest:
    path = folder / MANIFEST_FILE
    label = f"{folder.name}/{MANIFEST_FILE}"
    if not path.exists():
        raise ManifestError(f"{label} is missing: this is not a complete model folder.")
    _require_plain_file(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{label} is not JSON.") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        written = f"of format {found}" if isinstance(found, int) else "of no format"
        raise ManifestError(
            f"{label} is {written}, and this version reads format {FORMAT}: make the folder anew "
            "with `python -m export` from the checkpoint that it came from."
        )
    try:
        return _build(data)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ManifestError(f"{label} lacks a field or has one of the wrong kind.") from error


def _build(data: Mapping[str, Any]) -> ModelManifest:
    if not NAME_PATTERN.fullmatch(data["name"]):
        raise ValueError("a model's name is lower-case letters, digits, dots, dashes, underscores")
    return ModelManifest(
        **{
            **data,
            "architecture": Architecture(**data["architecture"]),
            "pooling": PoolingSpec(**data["pooling"]),
            **{name: tuple(data[name]) for name in ("heads", "labels", "layers")},
            "files": {name: FileRecord(**record) for name, record in data["files"].items()},
        }
    )


def _verify(path: Path, record: FileRecord, present: set[str]) -> None:
    label = f"{path.parent.name}/{path.name}"
    if path.name not in present:
        raise ManifestError(f"{label} is missing.")
    _require_plain_file(path)
    size = path.stat().st_size
    if size != record.size:
        raise ManifestError(f"{label} has {size} bytes; the manifest says {record.size}.")
    if _sha256(path) != record.sha256:
        raise ManifestError(f"{label} was changed: its sha256 is not the manifest's.")


def _require_plain_file(path: Path) -> None:
    """Refuse links of both kinds: what they lead to can change after it was verified."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise ManifestError(f"{path.parent.name}/{path.name} is not a plain file of its own.")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
