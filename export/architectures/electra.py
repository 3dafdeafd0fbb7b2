"""ELECTRA (Clark et al. 2020, arXiv:2003.10555): BERT behind embeddings of a width of their own.

A product brings them to the width of the layers, where the two differ. The generator fills masks;
the discriminator, which tells replaced words, is served as an encoder and with the heads that were
fine-tuned on it. Its classifier has a dense layer of its own in the pooler's place, with GELU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from export.architectures.architecture import Architecture, HeadLayer
from export.architectures.bert import BERT, Bert
from export.check.layers import NumpyEncoder, Text
from export.read.config import EncoderConfig
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import MLM, NSP, POOLER, Shapes, product_shapes

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder

PROJECTION = "embeddings.projection"


class Projected(Bert):
    """BERT with embeddings of a width of their own."""

    lacks = frozenset({NSP.name})

    def read_config(self, fields: Fields) -> EncoderConfig:
        """BERT's sizes, and the width of the embeddings."""
        width = fields.integer("embedding_size", 128)
        return replace(super().read_config(fields), embedding_size=width)

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """They are called as in BERT."""
        return super().config_fields(config) | {"embedding_size": config.embedding_width}

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """BERT's, and the product behind them."""
        shapes = super().embedding_shapes(config)
        if self.is_projected(config):
            shapes |= product_shapes(PROJECTION, config.hidden_size, config.embedding_width)
        return shapes

    def is_projected(self, config: EncoderConfig) -> bool:
        """Whether there is a product: ELECTRA has none where the widths are the same."""
        return config.embedding_width != config.hidden_size

    def embeddings(self, encoder: "PackedEncoder") -> str:
        """BERT's, brought to the width of the layers: (T, H)."""
        rows = super().embeddings(encoder)
        if not self.is_projected(encoder.config):
            return rows
        with encoder.graph.scope("embeddings"):
            return encoder.product(rows, PROJECTION)

    def reference_embeddings(self, encoder: NumpyEncoder, texts: Sequence[Text]) -> Float32:
        """The same in NumPy: (N, H)."""
        rows = super().reference_embeddings(encoder, texts)
        return encoder.product(PROJECTION, rows) if self.is_projected(encoder.config) else rows


class Electra(Projected):
    """The generator and the discriminator."""

    class_prefix = "Electra"
    more_classes: Mapping[str, frozenset[str]] = {"ForPreTraining": frozenset()}
    weight_names = replace(
        BERT.weight_names,
        prefix="electra.",
        modules={
            **BERT.weight_names.modules,
            PROJECTION: "embeddings_project",
            "mlm.transform": "generator_predictions.dense",
            "mlm.norm": "generator_predictions.LayerNorm",
            "mlm.decoder": "generator_lm_head",
            "pooler": "classifier.dense",
            "sequence": "classifier.out_proj",
        },
        parameters={
            name: key
            for name, key in BERT.weight_names.parameters.items()
            if name != "mlm.decoder.bias"
        },
        pooler_in_encoder=False,
    )

    def ignored(self, config: EncoderConfig) -> Mapping[str, str]:
        """BERT's, and what tells replaced words."""
        told = {r"discriminator_predictions\..*": "it tells replaced words, which no task asks for"}
        return {**super().ignored(config), **told}

    def head_layers(self, config: EncoderConfig) -> Mapping[str, HeadLayer]:  # noqa: ARG002
        """Both have GELU whatever the layers have."""
        return {MLM.name: HeadLayer("gelu", norm=True), POOLER.name: HeadLayer("gelu")}


ELECTRA: Final[Architecture] = Electra()
