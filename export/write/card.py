"""A manifest in, a model card in Markdown out: what the model is, and what was measured of it."""

from collections.abc import Mapping

from models.heads import heads_named
from models.manifest import ModelManifest


def model_card(manifest: ModelManifest, notes: str = "") -> str:
    """The `README.md` of a model folder; `notes` are Markdown sections of whoever exported it."""
    sizes = manifest.architecture
    heads = heads_named(manifest.heads)
    tasks = ["embed", *(head.task for head in heads if head.task is not None)]
    lines = [
        "---",
        f"license: {manifest.license}",
        "---",
        f"# {manifest.name}",
        "",
        f"An encoder exported from `{manifest.source}` for Cloze.",
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
        *_table("Against the checkpoint in float32", manifest.quantization_error),
        *([notes.strip(), ""] if notes else []),
        "## License",
        "",
        (
            f"License of the weights: {manifest.license}. The terms, and what the weights learnt "
            "from, are the source checkpoint's: read its own card."
        ),
    ]
    return "\n".join(lines) + "\n"


def _table(title: str, values: Mapping[str, float]) -> list[str]:
    if not values:
        return []
    rows = [f"| {name} | {value:.4g} |" for name, value in values.items()]
    return [f"| {title} | |", "|---|---|", *rows, ""]
