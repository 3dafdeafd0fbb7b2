"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108): BERT without token types and without a pooler.

Its classifier has a dense layer of its own in the pooler's place, with ReLU.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from export.architectures.architecture import Architecture, HeadLayer, WeightNames
from export.architectures.bert import Bert
from export.read.config import SIZES, EncoderConfig, read_sizes
from export.read.documents import Fields
from models.heads import NSP, POOLER, Shapes

NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
EPSILON = 1e-12  # of every norm, whatever a config.json says


class DistilBert(Bert):
    """BERT with fewer tables, under other names."""

    class_prefix = "DistilBert"
    lacks = frozenset({NSP.name})
    weight_names = WeightNames(
        prefix="distilbert.",
        modules={
            "embeddings.norm": "embeddings.LayerNorm",
            "mlm.transform": "vocab_transform",
            "mlm.norm": "vocab_layer_norm",
            "mlm.decoder": "vocab_projector",
            "pooler": "pre_classifier",
        },
        layer="transformer.layer.",
        layer_modules={
            "attention.query": "attention.q_lin",
            "attention.key": "attention.k_lin",
            "attention.value": "attention.v_lin",
            "attention.output": "attention.out_lin",
            "attention.norm": "sa_layer_norm",
            "intermediate": "ffn.lin1",
            "output": "ffn.lin2",
            "output.norm": "output_layer_norm",
        },
        parameters={
            "embeddings.word": "embeddings.word_embeddings.weight",
            "embeddings.position": "embeddings.position_embeddings.weight",
        },
        pooler_in_encoder=False,
    )

    def read_config(self, fields: Fields) -> EncoderConfig:
        """Its sizes, under its own names."""
        config = read_sizes(fields, NAMES)
        return replace(config, type_vocab_size=1, segments=False, layer_norm_eps=EPSILON)

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """The way back to its own names."""
        own = {name for name in SIZES if name not in {"type_vocab_size", "layer_norm_eps"}}
        return {NAMES.get(name, name): getattr(config, name) for name in sorted(own)}

    def head_layers(self, config: EncoderConfig) -> Mapping[str, HeadLayer]:
        """The classifier's dense layer has ReLU."""
        return {**super().head_layers(config), POOLER.name: HeadLayer("relu")}

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """Two tables and a norm."""
        shapes = super().embedding_shapes(config)
        del shapes["embeddings.token_type"]
        return shapes


DISTILBERT: Final[Architecture] = DistilBert()
