"""`model.onnx` in, whether it is the graph that the manifest says, before a session opens it.

The server has no onnx package, and ONNX Runtime opens whatever it can read: any operator, weights
from any file. So the bytes are read here, by the numbers of the fields in onnx.proto. What the
exporter never writes is refused, and tensors are compared with the sizes, heads and labels.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.heads import MAXIMA, MLM, NSP, POOLER, QA, SEQUENCE, heads_named
from models.manifest import GRAPH_FILE, FileRecord, ManifestError, ModelManifest
from models.pooling import SENTENCE_VECTORS, WEIGHTS_PREFIX

MAX_BYTES = 4 << 20  # large weights are in a file of their own; BERT-Large has 0.2 MB beside them
DOMAINS: Final = {"", "com.microsoft"}
# Tensors' types by their number in onnx.proto.
DTYPES: Final[Mapping[Any, type[np.generic]]] = {
    1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16,
}  # fmt: skip
PRECISION_OF: Final = {np.int8: "int8", np.float16: "fp16"}
# The heads that read pairs of texts.
PAIRED: Final = {NSP.name, SEQUENCE.name, QA.name}

# Numbers of fields in onnx.proto; left out are functions, subgraphs and what only training needs.
_MODEL_FIELDS: Final = set(range(1, 9))
_GRAPH_FIELDS: Final = {1, 2, 5, 10, 11, 12, 13}
_ATTRIBUTE_FIELDS: Final = {1, 2, 3, 4, 7, 8, 9, 13, 20}
_TENSOR_FIELDS: Final = {1, 2, 8, 9, 13, 14}
_TABLE: Final = re.compile(r"(.+?)(\.int8|\.float16)?")
_LAYER: Final = re.compile(r"layers\.(\d+)\.")

Shape = tuple[int, ...]


@dataclass
class GraphFile:
    """What a graph is made of."""

    opset: int = 0
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    shapes: dict[str, Shape] = field(default_factory=dict)
    """Of the tensors, by name without the type that they were rounded to."""
    precision: str = "fp32"
    attentions: list[int] = field(default_factory=list)
    """Heads of every node that attends, one in each layer."""


def require_graph(folder: Path, manifest: ModelManifest) -> None:
    """Refuse a model folder whose graph is not what its manifest says.

    Raises:
        ManifestError: it is not, or it is no graph that the exporter writes.
    """
    path = folder / GRAPH_FILE
    label = f"{folder.name}/{GRAPH_FILE}"
    try:
        graph = read_graph(path, manifest.files)
    except (LookupError, OverflowError, TypeError, ValueError) as error:
        raise ManifestError(f"{label} is not a graph that the exporter writes: {error}.") from None
    for said, stated, found in _claims(manifest, graph):
        if stated != found:
            raise ManifestError(f"{label} has {found} where the manifest's {said} say {stated}.")


def _claims(manifest: ModelManifest, graph: GraphFile) -> Iterator[tuple[str, object, object]]:
    """Fields of the manifest, what they say, and what the graph has."""
    sizes, shapes, labels = manifest.architecture, graph.shapes, len(manifest.labels)
    hidden, width = sizes.hidden_size, sizes.embedding_width
    yield "precision", manifest.precision, graph.precision
    yield "opset", manifest.opset, graph.opset
    depth = {int(found[1]) for name in shapes if (found := _LAYER.match(name))}
    yield "architecture.num_hidden_layers", sizes.num_hidden_layers, len(graph.attentions)
    attending = max(graph.attentions, key=lambda heads: heads != sizes.num_attention_heads)
    yield "architecture.num_attention_heads", sizes.num_attention_heads, attending
    stored = "num_hidden_layers" if sizes.stored_layers is None else "stored_layers"
    yield f"architecture.{stored}", getattr(sizes, stored), len(depth)
    tables = {"embeddings.word": ("vocab_size", sizes.vocab_size)}
    tables["embeddings.position"] = ("max_position_embeddings", sizes.max_position_embeddings)
    tables["embeddings.token_type"] = ("type_vocab_size", sizes.type_vocab_size)
    for name, (size, rows) in tables.items():
        if name in shapes or size == "vocab_size":
            columns = "hidden_size" if sizes.embedding_size is None else "embedding_size"
            yield f"architecture.{size} and {columns}", (rows, width), shapes.get(name)
    forms = (f"layers.0.intermediate.{form}" for form in ("weight", "scale"))  # the latter of int8
    inner = next((shapes[name][:1] for name in forms if name in shapes), None)
    yield "architecture.intermediate_size", (sizes.intermediate_size,), inner
    for head in heads_named(manifest.heads):
        wanted = head.shapes(
            vocabulary=sizes.vocab_size, embedding=width, hidden=hidden, labels=labels
        )
        for name, shape in wanted.items():
            # Some families have products and norms without a bias.
            missing = shape if name.endswith(".bias") else None
            yield f"heads and labels, for {name},", shape, shapes.get(name, missing)
        output = head.output if head.is_product else "mlm_ids" if head is MLM else "pooled"
        yield f"heads, for {output},", True, output in graph.outputs
    yield "sparse", manifest.sparse, MAXIMA in graph.outputs
    yield "architecture.segments", sizes.segments, "token_type_ids" in graph.inputs
    modules = manifest.pooling.shapes(hidden)
    for name, shape in modules.items():
        yield f"pooling.modules, for {name},", shape, shapes.get(name)
    behind = [name for name in shapes if name.startswith(WEIGHTS_PREFIX)]
    yield "pooling.modules, for their weights,", len(modules), len(behind)
    through = bool(manifest.pooling.modules)
    yield f"pooling.modules, for {SENTENCE_VECTORS},", through, SENTENCE_VECTORS in graph.outputs
    paired = sizes.segments and not PAIRED.isdisjoint(manifest.heads)
    yield "heads, for a second segment,", True, sizes.type_vocab_size > 1 or not paired
    if POOLER.name in manifest.heads:
        mean = "pooler_weights" in graph.inputs
        yield "architecture.classifier_pooling", sizes.classifier_pooling == "mean", mean
    taps = {f"layer_{layer}_index" for layer in manifest.layers}
    yield "layers", taps, {name for name in graph.inputs if name.startswith("layer_")}


def read_graph(path: Path, files: Mapping[str, FileRecord]) -> GraphFile:
    """What the graph at `path` is made of; its weights may be in `files` beside it.

    Raises:
        ValueError, LookupError, TypeError, OverflowError: it has what no graph of ours has.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
    graph = GraphFile()
    for number, value in _fields(path.read_bytes(), _MODEL_FIELDS):
        if number == 8:
            imported = dict(_fields(value))
            domain = bytes(imported.get(1, b"")).decode()
            _require_domain(domain)
            graph.opset = graph.opset if domain else imported[2]
        elif number == 7:
            _read_graph(value, path.parent, files, graph)
    return graph


def read_tensors(
    path: Path, files: Mapping[str, FileRecord], names: Collection[str]
) -> dict[str, NDArray[Any]]:
    """Those of the tensors `names` that a graph has which was found to be ours, mapped."""
    parts = [value for number, value in _fields(path.read_bytes()) if number == 7]
    stored = (data for part in parts for number, data in _fields(part) if number == 5)
    wanted = (data for data in stored if dict(_fields(data))[8].decode() in names)
    return dict(_tensor(data, path.parent, files) for data in wanted)


def _read_graph(
    data: bytes, folder: Path, files: Mapping[str, FileRecord], graph: GraphFile
) -> None:
    for number, value in _fields(data, _GRAPH_FIELDS):
        if number == 1:
            _read_node(value, graph)
        elif number == 5:
            name, tensor = _tensor(value, folder, files)
            kind = tensor.dtype.type
            if (
                np.issubdtype(kind, np.floating)
                and not np.isfinite([tensor.min(), tensor.max()]).all()
            ):
                raise ValueError(f"{name} holds a number that is not finite")
            table = _TABLE.fullmatch(name)
            graph.shapes[table[1] if table else name] = tensor.shape
            graph.precision = PRECISION_OF.get(kind, graph.precision)
        elif number in {11, 12}:
            names = graph.inputs if number == 11 else graph.outputs
            names.add(dict(_fields(value))[1].decode())


def _read_node(data: bytes, graph: GraphFile) -> None:
    operator, options = b"", dict[bytes, Any]()
    for number, value in _fields(data):
        if number == 7:
            _require_domain(value.decode())
        elif number == 4:
            operator = value
        elif number == 5:
            attribute = dict(_fields(value, _ATTRIBUTE_FIELDS))
            options[attribute[1]] = attribute.get(3)
    if operator == b"Attention":
        graph.attentions.append(options[b"q_num_heads"])


def _tensor(data: bytes, folder: Path, files: Mapping[str, FileRecord]) -> tuple[str, NDArray[Any]]:
    """A tensor's name and its numbers, mapped where they are in a file."""
    shape = [value for number, value in _fields(data, _TENSOR_FIELDS) if number == 1]
    content = dict(_fields(data))
    name, dtype = content[8].decode(), np.dtype(DTYPES[content[2]])
    if not content.get(14):
        return name, np.frombuffer(content[9], dtype).reshape(shape)
    entries = [dict(_fields(value)) for number, value in _fields(data) if number == 13]
    place = {entry[1].decode(): entry[2].decode() for entry in entries}
    if place.keys() != {"location", "offset", "length"} or len(entries) != len(place):
        raise ValueError(f"{name} is not told by one place in one file")
    location, offset, length = place["location"], int(place["offset"]), int(place["length"])
    if location not in files or location == GRAPH_FILE:
        raise ValueError(f"{name} is in a file that the manifest does not list")
    if offset < 0 or length != prod(shape) * dtype.itemsize or not length:
        raise ValueError(f"{name} has another size than its place")
    if offset + length > files[location].size:
        raise ValueError(f"{name} is beyond the end of {location}")
    return name, np.memmap(folder / location, dtype, "r", offset, tuple(shape))


def _require_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise ValueError(f"it has operators of the domain {domain[:80]!a}")


def _fields(data: bytes, allowed: set[int] | None = None) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: numbers, and integers or bytes.

    >>> list(_fields(bytes([8, 150, 1, 18, 2, 104, 105])))
    [(1, 150), (2, b'hi')]
    """
    at = 0
    while at < len(data):
        key, at = _integer(data, at)
        number, kind = divmod(key, 8)
        if allowed is not None and number not in allowed:
            raise ValueError(f"it has a field {number} where no graph of ours has one")
        value: int | bytes
        if kind == 0:
            value, at = _integer(data, at)
        else:
            size = {1: 8, 2: -1, 5: 4}[kind]
            if size < 0:
                size, at = _integer(data, at)
            value, at = data[at : at + size], at + size
            if at > len(data):
                raise ValueError("it ends in the middle")
        yield number, value


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """The number of up to 64 bits at a place, and the place behind it."""
    value = shift = 0
    while shift < 64:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise ValueError("it has a number of more than 64 bits")
