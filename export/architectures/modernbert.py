"""ModernBERT (Warner et al. 2024, arXiv:2412.13663): rotary positions, windows, gates, norms first.

Every third layer attends to the whole text, the others to a window around each token. The
feed-forward multiplies an activation by a gate. Rows are normalised on their way into attention and
feed-forward, and once more at the end; the first layer attends to the embeddings as they are. All
heads have the same dense layer before their product, and the classifier may read the mean.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.architectures.architecture import Architecture, HeadLayer, WeightNames
from export.architectures.bert import Bert
from export.check import layers
from export.check.layers import NumpyEncoder
from export.errors import ExportError
from export.read.config import SIZES, EncoderConfig, read_activation, read_sizes
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import MLM, NSP, POOLER, QA, TOKEN, Shapes, norm_shapes
from models.manifest import CLASSIFIER_POOLINGS

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder

NAMES = {"hidden_act": "hidden_activation", "layer_norm_eps": "norm_eps"}
EVERY, WINDOW = "global_attn_every_n_layers", "local_attention"
THETA, LOCAL_THETA = "global_rope_theta", "local_rope_theta"
# Flags for biases, and what they are where a config.json does not say.
BIASES = ("norm_bias", "attention_bias", "mlp_bias", "classifier_bias")
ACTIVATION = "classifier_activation"
WHOLE, LOCAL = "full_attention", "sliding_attention"
LAST_NORM = "encoder.norm"


class ModernBert(Bert):
    """The encoder, under its own names for nearly everything."""

    class_prefix = "ModernBert"
    lacks = frozenset({NSP.name})
    weight_names = WeightNames(
        prefix="model.",
        modules={
            "embeddings.norm": "embeddings.norm",
            LAST_NORM: "final_norm",
            "mlm.decoder": "decoder",
            "sequence": "classifier",
            "token": "classifier",
            "qa": "classifier",
            **{head.layer: "head.dense" for head in (MLM, POOLER, TOKEN, QA)},
            **{head.norm: "head.norm" for head in (MLM, POOLER, TOKEN, QA)},
        },
        layer="layers.",
        layer_modules={
            "attention.query": "attn.Wqkv/0",
            "attention.key": "attn.Wqkv/1",
            "attention.value": "attn.Wqkv/2",
            "attention.output": "attn.Wo",
            "attention.norm": "attn_norm",
            "intermediate": "mlp.Wi/0",
            "gate": "mlp.Wi/1",
            "output": "mlp.Wo",
            "output.norm": "mlp_norm",
        },
        parameters={"embeddings.word": "embeddings.tok_embeddings.weight"},
        fused={"attn.Wqkv": 3, "mlp.Wi": 2},
        pooler_in_encoder=False,
    )

    def read_config(self, fields: Fields) -> EncoderConfig:
        """Its sizes, windows and angles, in the names of transformers 4 or of 5."""
        if not fields.flag("decoder_bias", default=True):
            raise ExportError(f"{fields.file} sets decoder_bias to false; Cloze serves true.")
        pooling = fields.text("classifier_pooling", "cls")
        if pooling not in CLASSIFIER_POOLINGS:
            known = " or ".join(CLASSIFIER_POOLINGS)
            raise ExportError(f"classifier_pooling in {fields.file} must be {known}.")
        config = read_sizes(fields, NAMES)
        thetas = fields.section("rope_parameters")
        return replace(
            config,
            type_vocab_size=1,
            segments=False,
            classifier_pooling=pooling,
            choices={
                EVERY: _every(fields, config.num_hidden_layers),
                WINDOW: fields.integer(WINDOW, 128),
                THETA: _theta(thetas.section(WHOLE), fields.number(THETA, 160_000.0)),
                LOCAL_THETA: _theta(thetas.section(LOCAL), fields.number(LOCAL_THETA, 10_000.0)),
                ACTIVATION: read_activation(fields, ACTIVATION),
                **{name: fields.flag(name, default=False) for name in BIASES},
            },
        )

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """The names of transformers 4, which its successor reads too."""
        own = {NAMES.get(name, name): getattr(config, name) for name in SIZES}
        del own["type_vocab_size"]
        return own | dict(config.choices) | {"classifier_pooling": config.classifier_pooling}

    def pair_bytes(self, config: EncoderConfig) -> int | None:
        """A score a head; two int64 and a truth value for the window."""
        return 4 * config.num_attention_heads + 17

    def head_layers(self, config: EncoderConfig) -> Mapping[str, HeadLayer]:
        """The same for all."""
        layer = HeadLayer(
            _choices(config).text(ACTIVATION),
            bias=_flag(config, "classifier_bias"),
            norm=True,
            norm_bias=_flag(config, "norm_bias"),
        )
        return {head.name: layer for head in (MLM, POOLER, TOKEN, QA)}

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """A table and a norm, and the norm after the last layer."""
        H = config.hidden_size
        norms = norm_shapes("embeddings.norm", H) | norm_shapes(LAST_NORM, H)
        word: Shapes = {"embeddings.word": (config.vocab_size, H)}
        return word | _without_biases(config, norms)

    def layer_shapes(self, config: EncoderConfig, layer: str) -> Shapes:
        """Seven products and two norms, or one norm in the first layer."""
        shapes = super().layer_shapes(config, layer)
        for kind in ("weight", "bias"):
            shapes[f"{layer}.gate.{kind}"] = shapes[f"{layer}.intermediate.{kind}"]
            if layer == "layers.0":
                del shapes[f"{layer}.attention.norm.{kind}"]
        return _without_biases(config, shapes)

    def block(self, encoder: "PackedEncoder", index: int, rows: str) -> str:
        """Attention, then the feed-forward block, each of normalised rows, added to the rows."""
        name, graph = f"layers.{index}", encoder.graph
        window = _window(encoder.config, index)
        with graph.scope(name):
            normed = encoder.norm(rows, f"{name}.attention.norm") if index else rows
            context, rows = encoder.attention(
                index,
                normed,
                carried=rows,
                turned=encoder.rotary(_frequencies(encoder.config, index)),
                scores=None if window is None else encoder.places.within(window),
            )
            with graph.scope("attention_output"):
                rows = encoder.product(context, f"{name}.attention.output", residual=rows)
            with graph.scope("feed_forward"):
                normed = encoder.norm(rows, f"{name}.output.norm")
                inner = encoder.gated_product(normed, f"{name}.intermediate", f"{name}.gate")
                rows = encoder.product(inner, f"{name}.output", residual=rows)
            last = index == encoder.config.num_hidden_layers - 1
            return encoder.norm(rows, LAST_NORM) if last else rows

    def reference_block(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """The same in NumPy. (N, H)."""
        name, window = f"layers.{index}", _window(encoder.config, index)
        context = encoder.attention(
            index,
            encoder.norm(f"{name}.attention.norm", rows) if index else rows,
            turned=layers.rotary(_frequencies(encoder.config, index)),
            scores=None if window is None else layers.within(window),
        )
        rows = rows + encoder.product(f"{name}.attention.output", context)
        normed = encoder.norm(f"{name}.output.norm", rows)
        inner = encoder.activation(encoder.product(f"{name}.intermediate", normed))
        inner = inner * encoder.product(f"{name}.gate", normed)
        rows = rows + encoder.product(f"{name}.output", inner)
        last = index == encoder.config.num_hidden_layers - 1
        return encoder.norm(LAST_NORM, rows) if last else rows


def _every(fields: Fields, depth: int) -> int:
    """Every how manyth layer attends to the whole text, the first one among them."""
    named = fields.texts("layer_types")
    if not named:
        return fields.integer(EVERY, 3)
    for every in range(1, depth + 1):
        if named == tuple(LOCAL if index % every else WHOLE for index in range(depth)):
            return every
    raise ExportError(
        f"layer_types in {fields.file} must give each of {depth} layers its attention, "
        f"{WHOLE} for every nth and {LOCAL} for the others."
    )


def _theta(rotary: Fields, older: float) -> float:
    """The base of the angles, as transformers 5 or, without that, an older version keeps it."""
    kind = rotary.text("rope_type", "default")
    if kind != "default":
        raise ExportError(f"{rotary.file} asks for rotary positions of the type {kind}.")
    return rotary.number("rope_theta", older)


def _choices(config: EncoderConfig) -> Fields:
    return Fields(dict(config.choices), "config.json")


def _flag(config: EncoderConfig, name: str) -> bool:
    return _choices(config).flag(name, default=False)


def _is_whole(config: EncoderConfig, index: int) -> bool:
    return index % _choices(config).integer(EVERY) == 0


def _window(config: EncoderConfig, index: int) -> int | None:
    """How far a layer's tokens see to either side; None for the whole text."""
    return None if _is_whole(config, index) else _choices(config).integer(WINDOW) // 2


def _frequencies(config: EncoderConfig, index: int) -> Float32:
    """The frequencies of a layer's angles: (D / 2,)."""
    theta = _choices(config).number(THETA if _is_whole(config, index) else LOCAL_THETA)
    return rotary_frequencies(theta, config.hidden_size // config.num_attention_heads)


def rotary_frequencies(theta: float, size: int) -> Float32:
    """By how much each pair of a head's `size` columns turns from one position to the next.

    >>> rotary_frequencies(10000.0, 4).tolist()
    [1.0, 0.009999999776482582]
    """
    return (theta ** -(np.arange(0, size, 2) / size)).astype(np.float32)


def _without_biases(config: EncoderConfig, shapes: Shapes) -> Shapes:
    """The shapes, but for biases that this encoder has not."""
    kept = {}
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        if "norm" in module:
            flag = "norm_bias"
        else:
            flag = "attention_bias" if ".attention." in module else "mlp_bias"
        if kind != "bias" or _flag(config, flag):
            kept[name] = shape
    return kept


MODERNBERT: Final[Architecture] = ModernBert()
