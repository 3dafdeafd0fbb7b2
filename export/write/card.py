"""A manifest in, a model card in Markdown out: what the model is, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping

from models.manifest import ModelManifest

TASKS = {
    "mlm": "fill-mask",
    "nsp": "next-sentence prediction",
    "sequence": "text classification",
    "token": "token classification",
    "qa": "question answering",
}


def model_card(manifest: ModelManifest, notes: str = "") -> str:
    """The `README.md` of a model folder; `notes` are Markdown sections of whoever exported it."""
    sizes = manifest.architecture
    tasks = ["embeddings", *(TASKS[head] for head in manifest.heads if head in TASKS)]
    lines = [
        "---",
        f"license: {manifest.licence}",
        "---",
        f"# {manifest.name}",
        "",
        f"A BERT encoder exported from `{manifest.source}` for Cloze.",
        "",
        f"- Tasks: {', '.join(tasks)}",
        (
            f"- Encoder: {sizes.num_hidden_layers} layers × {sizes.hidden_size}, "
            f"{sizes.num_attention_heads} attention heads, vocabulary of {sizes.vocab_size:,}"
        ),
        f"- Parameters: {manifest.parameters['total']:,}",
        (
            f"- Longest text: {manifest.max_tokens} tokens "
            f"({manifest.pooling.max_tokens} for embeddings)"
        ),
        (
            f"- Sentence vectors: {manifest.pooling.mode} pooling, "
            f"{'normalised' if manifest.pooling.normalize else 'not normalised'}"
        ),
        f"- Precision: {manifest.precision}",
        "",
        "## Measured at export",
        "",
        *_table("Largest difference from the NumPy reference", manifest.parity),
        *_table("Against the checkpoint in float32", manifest.drift),
        *([notes.strip(), ""] if notes else []),
        "## Licence",
        "",
        (
            f"Licence of the weights: {manifest.licence}. The terms, and what the weights learnt "
            "from, are the source checkpoint's: read its own card."
        ),
    ]
    return "\n".join(lines) + "\n"


def _table(title: str, values: Mapping[str, float]) -> list[str]:
    if not values:
        return []
    rows = [f"| {name} | {value:.4g} |" for name, value in values.items()]
    return [f"| {title} | |", "|---|---|", *rows, ""]
