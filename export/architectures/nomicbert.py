"""NomicBERT (Nussbaum et al. 2024, arXiv:2402.01613): BERT with rotary positions and a gate.

There is no table of positions, and products of the layers have no bias. Weights are called as
Nomic's own code calls them, which transformers keeps in files.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from export.architectures.architecture import Architecture
from export.architectures.bert import BERT, Bert
from export.architectures.modernbert import rotary_frequencies
from export.check import layers
from export.check.layers import NumpyEncoder
from export.errors import ExportError
from export.read.config import SIZES, EncoderConfig, read_sizes
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import NSP, QA, Shapes

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder

THETA: Final = "rope_theta"
# What Nomic's own code calls the sizes. Its activation, "swiglu", is silu times a gate.
OLDER_NAMES: Final = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
}
# Choices of that code, each at the value that transformers computes with.
OLDER_CHOICES: Final[Mapping[str, object]] = MappingProxyType(
    {
        "activation_function": "swiglu",
        "causal": False,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "parallel_block": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "rotary_emb_fraction": 1,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None,
        "use_rms_norm": False,
    }
)


class NomicBert(Bert):
    """BERT's blocks with other products within."""

    class_prefix = "NomicBert"
    lacks = frozenset({NSP.name, QA.name})
    weight_names = replace(
        BERT.weight_names,
        prefix="nomic_bert.",
        modules={
            "embeddings.norm": "emb_ln",
            "mlm.norm": "cls.predictions.transform.layer_norm",
        },
        layer="encoder.layers.",
        layer_modules={
            "attention.query": "attn.Wqkv/0",
            "attention.key": "attn.Wqkv/1",
            "attention.value": "attn.Wqkv/2",
            "attention.output": "attn.out_proj",
            "attention.norm": "norm1",
            "intermediate": "mlp.fc12",
            "gate": "mlp.fc11",
            "output": "mlp.fc2",
            "output.norm": "norm2",
        },
        fused={"attn.Wqkv": 3},
    )

    def read_config(self, fields: Fields) -> EncoderConfig:
        """Its sizes and angles, in the names of transformers or of Nomic's own code."""
        if OLDER_NAMES["hidden_size"] in fields.values:
            for name, wanted in OLDER_CHOICES.items():
                if fields.values.get(name, wanted) != wanted:
                    raise ExportError(f"{name} in {fields.file} must be {wanted} or left out.")
            activation = {"hidden_act": "silu"}
            config = read_sizes(Fields(fields.values | activation, fields.file), OLDER_NAMES)
            return replace(config, choices={THETA: fields.number("rotary_emb_base", 1000.0)})
        rotary = fields.section("rope_parameters")
        kind = rotary.text("rope_type", "default")
        if kind != "default":
            raise ExportError(f"{fields.file} asks for rotary positions of the type {kind}.")
        config = read_sizes(Fields({"hidden_act": "silu"} | fields.values, fields.file))
        size = config.hidden_size // config.num_attention_heads
        if fields.integer("head_dim", size) != size:
            raise ExportError(f"head_dim in {fields.file} must be {size}, its share of the width.")
        return replace(config, choices={THETA: rotary.number(THETA, 1000.0)})

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """The names of transformers."""
        sizes = {name: getattr(config, name) for name in SIZES}
        return sizes | {"rope_parameters": {"rope_type": "default", **config.choices}}

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """Two tables and a norm."""
        shapes = super().embedding_shapes(config)
        del shapes["embeddings.position"]
        return shapes

    def layer_shapes(self, config: EncoderConfig, layer: str) -> Shapes:
        """Seven products without a bias, and two norms."""
        shapes = super().layer_shapes(config, layer)
        shapes[f"{layer}.gate.weight"] = shapes[f"{layer}.intermediate.weight"]
        return {
            name: shape
            for name, shape in shapes.items()
            if name.endswith((".weight", ".norm.bias"))
        }

    def attention(self, encoder: "PackedEncoder", index: int, rows: str) -> tuple[str, str]:
        """Queries and keys turn by their positions."""
        return encoder.attention(index, rows, turned=encoder.rotary(_frequencies(encoder.config)))

    def feed_forward(self, encoder: "PackedEncoder", name: str, rows: str) -> str:
        """The activation is multiplied by a gate: (T, H)."""
        inner = encoder.gated_product(rows, f"{name}.intermediate", f"{name}.gate")
        return encoder.product(inner, f"{name}.output", residual=rows)

    def reference_attention(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """The same in NumPy."""
        turned = layers.rotary(_frequencies(encoder.config))
        return encoder.attention(index, rows, turned=turned)

    def reference_feed_forward(self, encoder: NumpyEncoder, name: str, rows: Float32) -> Float32:
        """The same in NumPy."""
        inner = encoder.activation(encoder.product(f"{name}.intermediate", rows))
        return encoder.product(f"{name}.output", inner * encoder.product(f"{name}.gate", rows))


def _frequencies(config: EncoderConfig) -> Float32:
    theta = Fields(dict(config.choices), "config.json").number(THETA)
    return rotary_frequencies(theta, config.hidden_size // config.num_attention_heads)


NOMICBERT: Final[Architecture] = NomicBert()
