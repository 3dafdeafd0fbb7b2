"""A model folder in, a verified `ModelManifest` out; and the way back.

A model folder holds `model.onnx`, `model.onnx.data`, `tokenizer.json`, `README.md` (the model card)
and `manifest.json`, which is written last and lists every other file with its size and sha256. The
folder is refused when anything in it is missing, changed, extra, or a link, and when the manifest
itself has a value of the wrong kind or two that contradict each other. Whether it is true of the
other files, `models.graph_file` and `models.tokenizer_file` find out. Knows nothing of ONNX.
"""

import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from models import heads as declared
from models.heads import MLM, POOLER, QA, SEQUENCE, TOKEN, Reads, heads_named
from models.pooling import PoolingSpec
from models.tokenizer_spec import TokenizerSpec, spec_claims

FORMAT = 2
MANIFEST_FILE = "manifest.json"
GRAPH_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
CARD_FILE = "README.md"
CLASSIFIER_POOLINGS: Final = ("cls", "mean")
PRECISIONS: Final = ("fp32", "fp16", "int8")
SIDES: Final = ("left", "right")
FUNCTIONS: Final = ("softmax", "sigmoid", "none")  # logits -> scores
# What a quantization error may be measured on; the latter where a model cannot read the sentences.
ON_SENTENCES, ON_RANDOM_TOKENS = "sentences", "random tokens"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
SHA256_PATTERN: Final = re.compile("[0-9a-f]{64}")
SHORTEST_TEXT = 3  # tokens: one, and the special ones around it
LONGEST = 1 << 16  # tokens
MOST_SCORES = 16  # float32 a head for each pair of positions: the families take up to 9
LARGEST_NUMBER = 1 << 53  # beyond it readers of JSON disagree
# A tokenizer.json with 250,000 entries takes 10 MB; no JSON of a model comes near this.
MAX_BYTES = 64 << 20
MAX_MANIFEST_BYTES = 4 << 20
_KINDS: Final = {
    bool: "true or false",
    float: "a finite number",
    int: "a whole number that JSON carries",
    str: "Unicode text",
    tuple: "a list",
    NoneType: "null",
}


Choice = str | bool | int | float


class ManifestError(Exception):
    """The model folder must not be loaded; the message names the file and the reason."""


@dataclass(frozen=True)
class Architecture:
    """The sizes and choices of the encoder, named as in a Hugging Face `config.json`."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    hidden_act: str
    model_type: str = "bert"
    embedding_size: int | None = None
    """Columns of the embeddings' tables, where they are not `hidden_size`."""
    stored_layers: int | None = None
    """Layers with weights of their own, where others share them."""
    segments: bool = True
    """Token types tell the texts of a pair apart; where false, the encoder reads none."""
    classifier_pooling: str = "cls"
    """Which rows the pooler reads: the row of [CLS], or the "mean" of all."""
    choices: Mapping[str, Choice] = field(default_factory=dict)
    """What else `config.json` says that only this family has; the graph was built by it."""

    @property
    def embedding_width(self) -> int:
        """Columns of the embeddings' tables."""
        return self.hidden_size if self.embedding_size is None else self.embedding_size


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
    quantization_texts: str = ON_SENTENCES
    """What `quantization_error` was measured on: "sentences" in English, or "random tokens"."""
    regression: bool = False
    """The classifier gives numbers to be read as they are, not the logits of probabilities."""
    activation: str | None = None
    """What makes scores of the classifier's logits, one of `FUNCTIONS`; None for what follows from
    its labels."""
    truncation_side: str = "right"
    """The end that is cut off a text that is too long and may be cut."""
    pair_bytes: int | None = None
    """Bytes of memory that attention takes for each pair of positions; None for a float32 a head,
    as where scores depend on nothing but queries and keys."""
    sparse: bool = False
    """The graph also gives what sparse vectors are made of by the masked language model."""
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)
    format: int = FORMAT


def write_manifest(folder: Path, manifest: ModelManifest) -> None:
    """Write `manifest.json` into `folder`.

    Raises:
        ManifestError: it is one that would be refused.
    """
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
    _parse(folder)


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
    data = read_json(path, MAX_MANIFEST_BYTES)
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        written = f"of format {str(found)[:20]}" if isinstance(found, int) else "of no format"
        raise ManifestError(
            f"{label} is {written}, and this version reads format {FORMAT}: make the folder anew "
            "with `python -m export` from the checkpoint that it came from."
        )
    try:
        manifest: ModelManifest = _typed(ModelManifest, data, "")
    except ValueError as error:
        raise ManifestError(f"{label}: {error}.") from None
    for holds, expected in _claims(manifest):
        if not holds:
            raise ManifestError(f"{label}: {expected}.")
    return manifest


def read_json(path: Path, most: int = MAX_BYTES) -> Any:
    """What a JSON file of a model folder holds, of at most `most` bytes.

    Raises:
        ManifestError: it is no JSON, or huge, or readers might differ over it.
    """
    label = f"{path.parent.name}/{path.name}"
    if path.stat().st_size > most:
        raise ManifestError(f"{label} is larger than {most >> 20} MiB.")
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ManifestError(
            f"{label} is not JSON with finite numbers and every key once."
        ) from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _typed(kind: Any, value: Any, place: str) -> Any:
    """A JSON value as the annotation `kind` of a field has it; `place` names it for messages."""
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        hints = get_type_hints(kind)
        required = {f.name for f in fields(kind) if f.default is f.default_factory is MISSING}
        for name in sorted(required - value.keys()):
            raise ValueError(f"{_inside(place, name)} is missing")
        for name in value.keys() - hints:
            raise ValueError(f"{_inside(place, name)} is not a field of a manifest")
        return kind(**{n: _typed(hints[n], each, _inside(place, n)) for n, each in value.items()})
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(inner[0], each, f"{place}[{n}]") for n, each in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {
            _typed(str, n, place): _typed(inner[1], each, _inside(place, n))
            for n, each in value.items()
        }
    kinds = {UnionType: inner, None: (int, float) if kind is float else (kind,)}.get(origin, ())
    if type(value) not in kinds or not _can_be_written(value):
        raise ValueError(f"{place or 'all of it'} must be {_wanted(kind)}")
    return value


def _wanted(kind: Any) -> str:
    """What a value of a kind is, for messages.

    >>> _wanted(str | None), _wanted(int)
    ('Unicode text or null', 'a whole number that JSON carries')
    """
    if isinstance(kind, UnionType):
        return " or ".join(map(_wanted, get_args(kind)))
    return _KINDS.get(get_origin(kind) or kind, "an object")


def _inside(place: str, name: str) -> str:
    """Where a field is, in ASCII and short, whatever the file calls it."""
    return f"{place}.{ascii(name)[1:-1][:80]}".removeprefix(".")


def _can_be_written(value: Any) -> bool:
    """Whether a value can stand in an answer: `/info` shows them."""
    if isinstance(value, str):
        return not re.search("[\ud800-\udfff]", value)
    return not isinstance(value, int | float) or abs(value) <= LARGEST_NUMBER


def _claims(manifest: ModelManifest) -> Iterator[tuple[bool, str]]:
    """What must hold of a manifest, each with its sentence; later ones rely on earlier ones."""
    sizes, pooling = manifest.architecture, manifest.pooling
    heads, layers = manifest.heads, manifest.layers
    yield (
        NAME_PATTERN.fullmatch(manifest.name) is not None,
        "name must be up to 64 lower-case letters, digits, dots, dashes and underscores",
    )
    yield _is_moment(manifest.created), "created must be a date and time in ISO 8601, with its zone"
    for name, size in asdict(sizes).items():
        yield type(size) is not int or size > 0, f"architecture.{name} must be 1 or more"
    yield (
        sizes.hidden_size % sizes.num_attention_heads == 0,
        "architecture.hidden_size must be a multiple of num_attention_heads",
    )
    yield (
        (sizes.stored_layers or 0) <= sizes.num_hidden_layers,
        "architecture.stored_layers must be at most num_hidden_layers",
    )
    modes = ", ".join(CLASSIFIER_POOLINGS)
    yield (
        sizes.classifier_pooling in CLASSIFIER_POOLINGS,
        f"architecture.classifier_pooling must be one of {modes}",
    )
    known = [head.name for head in declared.HEADS]
    yield set(heads) <= set(known), f"heads must be among {', '.join(known)}"
    found = heads_named(heads)
    yield len(found) == len(heads), "heads must not name one twice"
    pooled = any(head.reads is Reads.POOLED for head in found)
    yield not pooled or POOLER.name in heads, "heads must have the pooler that another one reads"
    classifies = any(head.by_label for head in found)
    yield bool(manifest.labels) or not classifies, "labels must not be empty with such heads"
    both = manifest.multi_label and manifest.regression
    yield not both, "multi_label and regression must not both be true"
    yield from spec_claims(manifest.tokenizer)
    placed = sorted({TOKEN.name, QA.name} & set(heads)) if manifest.tokenizer.words else []
    yield not placed, f"heads must not have {', '.join(placed)} with tokenizer.words"
    most = min(sizes.max_position_embeddings, LONGEST)
    shortest = manifest.tokenizer.pair_specials + 2
    yield shortest <= manifest.max_tokens <= most, f"max_tokens must be {shortest} to {most}"
    yield (
        SHORTEST_TEXT <= pooling.max_tokens <= manifest.max_tokens,
        f"pooling.max_tokens must be 3 to {manifest.max_tokens}, which is max_tokens",
    )
    yield from pooling.claims(sizes.hidden_size)
    yield (
        manifest.activation is None or manifest.activation in FUNCTIONS,
        f"activation must be one of {', '.join(FUNCTIONS)}, or null",
    )
    scored = manifest.activation is None or SEQUENCE.name in heads
    yield scored, f"activation must be null without the head {SEQUENCE.name}"
    spelled = not manifest.sparse or MLM.name in heads
    yield spelled, f"sparse must be false without the head {MLM.name}"
    sided = manifest.truncation_side in SIDES
    yield sided, f"truncation_side must be one of {', '.join(SIDES)}"
    scores = 4 * sizes.num_attention_heads
    yield (
        manifest.pair_bytes is None or 1 <= manifest.pair_bytes / scores <= MOST_SCORES,
        f"pair_bytes must be {scores}, what scores take alone, to {MOST_SCORES * scores}, or null",
    )
    yield manifest.precision in PRECISIONS, f"precision must be one of {', '.join(PRECISIONS)}"
    texts = (ON_SENTENCES, ON_RANDOM_TOKENS)
    yield (
        manifest.quantization_texts in texts,
        f"quantization_texts must be one of {', '.join(texts)}",
    )
    inner = all(-sizes.num_hidden_layers <= layer < -1 for layer in layers)
    yield inner, f"layers must be from -{sizes.num_hidden_layers} to -2"
    yield len(set(layers)) == len(layers), "layers must not name one twice"
    yield min(manifest.parameters.values(), default=0) >= 0, "parameters must be 0 or more"
    for name, record in manifest.files.items():
        place = _inside("files", name)
        yield Path(name).name == name, f"{place} is a file outside the folder"
        yield record.size >= 0, f"{place}.size must be 0 or more"
        yield (
            SHA256_PATTERN.fullmatch(record.sha256) is not None,
            f"{place}.sha256 must be 64 hexadecimal digits",
        )


def _is_moment(text: str) -> bool:
    """Whether a text is a point in time, as `/v1/models` shows it."""
    try:
        return datetime.fromisoformat(text).utcoffset() is not None
    except ValueError:
        return False


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
