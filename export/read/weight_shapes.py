"""A `BertConfig` and heads in, the canonical weights and their shapes out.

This is the one list of what a BERT consists of: the key map checks a checkpoint against it and
the parameter count adds it up. Letters: V vocabulary, P positions, T token types, H hidden,
I intermediate, C labels.
"""

from collections.abc import Collection

from export.read.config import BertConfig

# In the order in which they are listed everywhere.
HEADS = ("mlm", "nsp", "pooler", "sequence", "token", "qa")
# A head that reads the pooled [CLS] row is worth nothing without the pooler.
NEEDS_POOLER = ("nsp", "sequence")
UNTIED_DECODER = "mlm.decoder.weight"

Shapes = dict[str, tuple[int, ...]]


def canonical_shapes(
    config: BertConfig, heads: Collection[str], *, labels: int, tied: bool = True
) -> Shapes:
    """The shape of every weight of a BERT with these heads, by canonical name.

    `labels` counts the rows of a "sequence" or "token" head. A decoder that is `tied` is the word
    embeddings themselves and has no weight of its own.
    """
    shapes = _embeddings(config)
    for index in range(config.num_hidden_layers):
        shapes |= _layer(config, f"layers.{index}")
    for head in heads:
        shapes |= head_shapes(config, head, labels=labels)
    if "mlm" in heads and not tied:
        shapes[UNTIED_DECODER] = (config.vocab_size, config.hidden_size)
    return shapes


def head_shapes(config: BertConfig, head: str, *, labels: int) -> Shapes:
    """The shapes of one head's own weights."""
    H = config.hidden_size
    match head:
        case "mlm":
            transform = _linear("mlm.transform", H, H) | _norm("mlm.norm", H)
            return transform | {"mlm.decoder.bias": (config.vocab_size,)}
        case "pooler":
            return _linear("pooler", H, H)
        case "nsp" | "qa":
            return _linear(head, 2, H)
        case "sequence" | "token":
            return _linear(head, labels, H)
    raise ValueError(f"head {head!r} is not one of {HEADS}")


def _embeddings(config: BertConfig) -> Shapes:
    H = config.hidden_size
    return {
        "embeddings.word": (config.vocab_size, H),
        "embeddings.position": (config.max_position_embeddings, H),
        "embeddings.token_type": (config.type_vocab_size, H),
    } | _norm("embeddings.norm", H)


def _layer(config: BertConfig, prefix: str) -> Shapes:
    H, I = config.hidden_size, config.intermediate_size  # noqa: E741
    shapes: Shapes = {}
    for part in ("query", "key", "value", "output"):
        shapes |= _linear(f"{prefix}.attention.{part}", H, H)
    shapes |= _norm(f"{prefix}.attention.norm", H)
    shapes |= _linear(f"{prefix}.intermediate", I, H)
    shapes |= _linear(f"{prefix}.output", H, I)
    return shapes | _norm(f"{prefix}.output.norm", H)


def _linear(name: str, out: int, in_: int) -> Shapes:
    return {f"{name}.weight": (out, in_), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
