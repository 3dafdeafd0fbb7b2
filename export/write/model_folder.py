"""The exporter: a `Checkpoint` in, a verified model folder out, all or nothing.

checkpoint -> graph -> parity and quantization error -> card -> manifest -> rename into place
"""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

import numpy as np

from export.architectures.registry import architecture_of, count_parameters
from export.check import parity
from export.check.quantization_error import measure_quantization_error, texts_for
from export.errors import ExportError
from export.graph.builder import OPSET, GraphBuilder
from export.graph.encoder import build_encoder
from export.graph.linear import HalfLinear, Linear
from export.graph.packed import GraphSpec
from export.graph.quantize import Int8Linear
from export.graph.smoothing import smoothed
from export.read.checkpoint import Checkpoint
from export.read.weights import UNTIED_DECODER
from models.heads import SPARSE, heads_named
from models.manifest import (
    CARD_FILE,
    ON_RANDOM_TOKENS,
    ON_SENTENCES,
    TOKENIZER_FILE,
    Architecture,
    ManifestError,
    ModelManifest,
    record_files,
    write_manifest,
)
from models.pooling import DENSE, PoolingSpec, modes_of

LINEARS: dict[str, type[Linear]] = {"fp32": Linear, "fp16": HalfLinear, "int8": Int8Linear}
EXTRA_LAYERS = (-2,)  # bert-as-service pooled this one, and its users have missed it since
Progress = Callable[[str], None]


def export_model(
    checkpoint: Checkpoint,
    out: Path,
    *,
    precision: str,
    progress: Progress,
    notes: str = "",
    replace: bool = False,
) -> ModelManifest:
    """Write the model folder `out`, with `notes` in its model card, and return its manifest.

    Everything is made in a hidden folder beside `out` and renamed at the end, so `out` is complete
    or not there; with `replace`, an old one stays until then.

    Raises:
        ExportError: the graph does not compute what the reference does.
        OSError: `out` cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        # What overflows comes out as a difference that is no finite number, which ends the export.
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            manifest = _fill(folder, checkpoint, precision, progress, notes)
        if replace and out.exists():
            out.rename(Path(scratch) / "old")
        folder.rename(out)
    return manifest


def _fill(
    folder: Path, checkpoint: Checkpoint, precision: str, progress: Progress, notes: str
) -> ModelManifest:
    config = checkpoint.config
    spec = graph_spec(checkpoint, EXTRA_LAYERS if config.num_hidden_layers > 1 else ())
    for note in checkpoint.notes:
        progress(note)
    progress(f"building the {precision} graph")
    weights = checkpoint.weights
    if precision == "int8":
        weights = smoothed(weights, config)
    with GraphBuilder(folder) as graph:
        build_encoder(graph, spec, LINEARS[precision](graph, weights))
        graph.write()
    found, lost = _measure(folder, checkpoint, spec, precision, progress)
    (folder / TOKENIZER_FILE).write_text(checkpoint.tokenizer_json, encoding="utf-8")
    manifest = _manifest(checkpoint, spec, precision, found, lost)
    (folder / CARD_FILE).write_text(model_card(manifest, notes), encoding="utf-8")
    progress("writing the manifest")
    manifest = dataclasses.replace(manifest, files=record_files(folder))
    try:
        write_manifest(folder, manifest)
    except ManifestError as error:
        raise ExportError(f"The model would be refused by the server: {error}") from None
    return manifest


def graph_spec(checkpoint: Checkpoint, layers: tuple[int, ...]) -> GraphSpec:
    """The graph of a checkpoint, of which `layers` can be pooled besides the last."""
    pooling = checkpoint.pooling
    return GraphSpec(
        config=checkpoint.config,
        heads=checkpoint.heads,
        layers=layers,
        poolings=len(modes_of(pooling.mode)),
        modules=pooling.modules,
        sparse=checkpoint.sparse,
    )


def _measure(
    folder: Path, checkpoint: Checkpoint, spec: GraphSpec, precision: str, progress: Progress
) -> tuple[dict[str, float], dict[str, float]]:
    """Parity with the reference, required where the precision has a tolerance; quantization error.

    int8 has no tolerance: what its rounding changes depends on the weights, so there all of it is
    quantization error, which float32 has none of.
    """
    progress("comparing it with the reference")
    session = parity.open_graph(folder)
    differences = parity.compare(session, checkpoint.weights, spec)
    if precision in parity.TOLERANCES:
        _require_parity(differences, precision)
    found = {name: difference.largest for name, difference in differences.items()}
    if precision == "fp32":
        return found, {}
    progress(f"measuring what {precision} changed")
    lost = measure_quantization_error(
        session,
        checkpoint.weights,
        spec,
        checkpoint.tokenizer_json,
        checkpoint.tokenizer.mask,
    )
    if precision not in parity.TOLERANCES:
        lost |= {f"{name}_max_abs": difference for name, difference in found.items()}
        found = {}
    for name, value in lost.items():
        if not isfinite(value):
            raise ExportError(f"In {precision} the {name} is not finite; export in fp32 instead.")
    return found, lost


def _require_parity(differences: Mapping[str, parity.Difference], precision: str) -> None:
    """Stop where an output is further from the reference than rounding can explain."""
    for name, difference in differences.items():
        if not isfinite(difference.scaled):
            instead = "" if precision == "fp32" else "export in fp32 instead; "
            raise ExportError(
                f"In {precision} the {name} are not finite; {instead}nothing was written."
            )
        if not difference.explained(precision):
            raise ExportError(
                f"The graph's {name} differ from the reference by {difference.scaled:.2g}, counted "
                f"in proportion where numbers are beyond {parity.MAGNITUDE}, which is more than "
                f"{parity.TOLERANCES[precision]:g}; nothing was written."
            )


def _manifest(
    checkpoint: Checkpoint,
    spec: GraphSpec,
    precision: str,
    found: dict[str, float],
    lost: dict[str, float],
) -> ModelManifest:
    """Everything but the files' checksums."""
    tied = UNTIED_DECODER not in checkpoint.weights
    sizes = {name: getattr(spec.config, name) for name in Architecture.__dataclass_fields__}
    return ModelManifest(
        name=checkpoint.name,
        source=checkpoint.source,
        license=checkpoint.license,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        architecture=Architecture(**sizes),
        heads=spec.heads,
        pooling=checkpoint.pooling,
        labels=spec.config.labels,
        multi_label=spec.config.multi_label,
        regression=spec.config.regression,
        activation=checkpoint.activation,
        truncation_side=checkpoint.truncation_side,
        sparse=checkpoint.sparse,
        max_tokens=checkpoint.max_tokens,
        pair_bytes=architecture_of(spec.config).pair_bytes(spec.config),
        tokenizer=checkpoint.tokenizer,
        precision=precision,
        opset=OPSET,
        layers=spec.layers,
        parameters=count_parameters(
            spec.config,
            spec.heads,
            tied=tied,
            further=checkpoint.pooling.shapes(spec.config.hidden_size),
        ),
        parity=found,
        quantization_error=lost,
        quantization_texts=texts_for(checkpoint.tokenizer_json) if lost else ON_SENTENCES,
        files={},
    )


def model_card(manifest: ModelManifest, notes: str = "") -> str:
    """The `README.md` of a model folder; `notes` are Markdown sections of whoever exported it."""
    sizes = manifest.architecture
    tasks = ["embed", *(head.task for head in heads_named(manifest.heads) if head.task is not None)]
    tasks += ["embed_sparse"] if manifest.sparse or SPARSE.name in manifest.heads else []
    measured = _table("Largest difference from the NumPy reference", manifest.parity)
    random = manifest.quantization_texts == ON_RANDOM_TOKENS
    on = ", on random tokens: most words of the exporter's sentences are unknown to it"
    title = f"Against the checkpoint in float32{on if random else ''}"
    measured += _table(title, manifest.quantization_error)
    if notes:
        measured += f"{notes.strip()}\n\n"
    return f"""\
---
license: {manifest.license}
---
# {manifest.name}

An encoder exported from `{manifest.source}` for Cloze.

- Tasks: {", ".join(tasks)}
- Encoder: {sizes.num_hidden_layers} layers × {sizes.hidden_size}, \
{sizes.num_attention_heads} attention heads, vocabulary of {sizes.vocab_size:,}
- Parameters: {manifest.parameters["total"]:,}
- Longest text: {manifest.max_tokens} tokens ({manifest.pooling.max_tokens} for embeddings)
- Sentence vectors: {_vectors(manifest.pooling)}
{_scores(manifest)}\
- Precision: {manifest.precision}

## Measured at export

{measured}## License

License of the weights: {manifest.license}. The terms, and what the weights learnt from, are the \
source checkpoint's: read its own card.
"""


def _vectors(pooling: PoolingSpec) -> str:
    """How sentence vectors come about.

    >>> from models.pooling import PoolingModule
    >>> dense = PoolingModule("dense", 64, "tanh")
    >>> _vectors(PoolingSpec("cls", normalize=True, max_tokens=9, modules=(dense,), dimensions=8))
    'cls pooling, dense to 64 (tanh), normalised, first 8 numbers'
    """
    steps = [f"{pooling.mode} pooling"]
    for module in pooling.modules:
        dense = module.kind == DENSE
        steps.append(f"dense to {module.width} ({module.activation})" if dense else module.kind)
    steps.append("normalised" if pooling.normalize else "not normalised")
    if pooling.dimensions is not None:
        steps.append(f"first {pooling.dimensions} numbers")
    if not pooling.include_prompt:
        steps.append("without the tokens of a prompt")
    return ", ".join(steps)


def _scores(manifest: ModelManifest) -> str:
    """What becomes of the classifier's logits, where the checkpoint says it."""
    if manifest.activation is None:
        return ""
    named = "logits as they are" if manifest.activation == "none" else manifest.activation
    return f"- Scores of the classifier: {named}\n"


def _table(title: str, values: Mapping[str, float]) -> str:
    rows = "".join(f"| {name} | {value:.4g} |\n" for name, value in values.items())
    return f"| {title} | |\n|---|---|\n{rows}\n" if values else ""
