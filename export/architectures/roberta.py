"""RoBERTa (Liu et al. 2019, arXiv:1907.11692), XLM-RoBERTa and CamemBERT: one encoder, three names.

BERT's layers. A text's positions begin behind the number of the padding token, no token types tell
the texts of a pair apart, and the classifier has a dense layer of its own in the pooler's place.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from export.architectures.architecture import Architecture, HeadLayer
from export.architectures.bert import BERT, Bert
from export.check.layers import Int64, Text
from export.read.config import EncoderConfig
from export.read.documents import Fields
from models.heads import MLM, NSP

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder

PADDING = "pad_token_id"


class Roberta(Bert):
    """The encoder that transformers has under several names."""

    lacks = frozenset({NSP.name})
    weight_names = replace(
        BERT.weight_names,
        prefix="roberta.",
        modules={
            **BERT.weight_names.modules,
            "mlm.transform": "lm_head.dense",
            "mlm.norm": "lm_head.layer_norm",
            "mlm.decoder": "lm_head.decoder",
            "pooler": "classifier.dense",
            "sequence": "classifier.out_proj",
        },
        parameters={**BERT.weight_names.parameters, "mlm.decoder.bias": "lm_head.bias"},
        pooler_in_encoder=False,
    )

    def __init__(self, class_prefix: str) -> None:
        self.class_prefix = class_prefix

    def read_config(self, fields: Fields) -> EncoderConfig:
        """BERT's sizes, and the padding token, whose number positions begin behind."""
        padding = fields.integer(PADDING, 1, least=0)
        config = super().read_config(fields)
        return replace(config, segments=False, choices={**config.choices, PADDING: padding})

    def ignored(self, config: EncoderConfig) -> Mapping[str, str]:
        """BERT's, and the encoder's own pooler."""
        pooler = {r"pooler\.dense\.(weight|bias)": "the encoder's own pooler, which no head reads"}
        return {**super().ignored(config), **pooler}

    def max_tokens(self, config: EncoderConfig) -> int:
        """P, but for the positions of padding and those before it."""
        return config.max_position_embeddings - self.padding(config) - 1

    def head_layers(self, config: EncoderConfig) -> Mapping[str, HeadLayer]:
        """Masked words have GELU whatever the layers have."""
        return {**super().head_layers(config), MLM.name: HeadLayer("gelu", norm=True)}

    def padding(self, config: EncoderConfig) -> int:
        """The number of the padding token, and of its position."""
        return Fields(dict(config.choices), "config.json").integer(PADDING, least=0)

    def positions(self, encoder: "PackedEncoder") -> str:
        """They begin behind the number of the padding token: int64 (T,)."""
        return encoder.places.positions_behind(self.padding(encoder.config))

    def reference_positions(self, config: EncoderConfig, text: Text) -> Int64:
        """The same for one text: (n,)."""
        counted = text.ids != self.padding(config)
        rows: Int64 = np.cumsum(counted) * counted + self.padding(config)
        return rows


ROBERTA: Final[Architecture] = Roberta("Roberta")
XLM_ROBERTA: Final[Architecture] = Roberta("XLMRoberta")
CAMEMBERT: Final[Architecture] = Roberta("Camembert")
