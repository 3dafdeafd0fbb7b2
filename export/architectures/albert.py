"""ALBERT (Lan et al. 2019, arXiv:1909.11942): layers share weights, embeddings are projected."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from export.architectures.architecture import Architecture
from export.architectures.bert import BERT
from export.architectures.electra import PROJECTION, Projected
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.documents import Fields
from models.heads import MLM, Shapes

GROUPS = "num_hidden_groups"
_INNER = "albert_layers.0"


class Albert(Projected):
    """BERT's layers in groups, each with one set of weights for all of its layers."""

    class_prefix = "Albert"
    more_classes: Mapping[str, frozenset[str]] = {"ForPreTraining": frozenset({MLM.name})}
    weight_names = replace(
        BERT.weight_names,
        prefix="albert.",
        modules={
            **BERT.weight_names.modules,
            PROJECTION: "encoder.embedding_hidden_mapping_in",
            "mlm.transform": "predictions.dense",
            "mlm.norm": "predictions.LayerNorm",
            "mlm.decoder": "predictions.decoder",
            "pooler": "pooler",
        },
        layer="encoder.albert_layer_groups.",
        layer_modules={
            "attention.query": f"{_INNER}.attention.query",
            "attention.key": f"{_INNER}.attention.key",
            "attention.value": f"{_INNER}.attention.value",
            "attention.output": f"{_INNER}.attention.dense",
            "attention.norm": f"{_INNER}.attention.LayerNorm",
            "intermediate": f"{_INNER}.ffn",
            "output": f"{_INNER}.ffn_output",
            "output.norm": f"{_INNER}.full_layer_layer_norm",
        },
        parameters={**BERT.weight_names.parameters, "mlm.decoder.bias": "predictions.bias"},
    )

    def read_config(self, fields: Fields) -> EncoderConfig:
        """BERT's sizes, and the number of groups; several layers within one are refused."""
        inner = fields.integer("inner_group_num", 1)
        if inner > 1:
            raise ExportError(f"inner_group_num in {fields.file} is {inner}; Cloze serves 1.")
        config, groups = super().read_config(fields), fields.integer(GROUPS, 1)
        if groups > config.num_hidden_layers:
            raise ExportError(
                f"{GROUPS} in {fields.file} is {groups}, more than its "
                f"{config.num_hidden_layers} layers."
            )
        return replace(config, stored_layers=groups)

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """They are called as in BERT."""
        return super().config_fields(config) | {GROUPS: config.stored_layers}

    def ignored(self, config: EncoderConfig) -> Mapping[str, str]:
        """BERT's, and what tells the order of two texts."""
        order = {r"sop_classifier\..*": "it tells the order of two texts, which no task asks for"}
        return {**super().ignored(config), **order}

    def is_projected(self, config: EncoderConfig) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def layer_shapes(self, config: EncoderConfig, layer: str) -> Shapes:
        """BERT's, for the first of a group's layers; the others have none of their own."""
        own = {self.layer_name(config, index) for index in range(config.num_hidden_layers)}
        return super().layer_shapes(config, layer) if layer in own else {}

    def layer_name(self, config: EncoderConfig, index: int) -> str:
        """That of its group."""
        return f"layers.{index * (config.stored_layers or 1) // config.num_hidden_layers}"


ALBERT: Final[Architecture] = Albert()
