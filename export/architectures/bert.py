"""BERT (Devlin et al. 2018, arXiv:1810.04805): its embeddings, its block, its weights and config.

Other families are this one with parts of it changed, in files of their own. Knows nothing of
packing, or of precision. Letters: V vocabulary, P positions, T token types, E columns of tables,
H hidden, I intermediate, n tokens of a text, N of all texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.architectures import relative_key
from export.architectures.architecture import Architecture, HeadLayer, WeightNames
from export.check.layers import Int64, NumpyEncoder, Text
from export.errors import ExportError
from export.read.config import SIZES, EncoderConfig, read_sizes
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import MLM, POOLER, Shapes, norm_shapes, product_shapes

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder


class Bert:
    """The original: absolute positions, two segments, each block normalised after its residual."""

    class_prefix = "Bert"
    lacks: frozenset[str] = frozenset()
    more_classes: Mapping[str, frozenset[str]] = MappingProxyType({})
    weight_names = WeightNames(
        prefix="bert.",
        modules={"embeddings.norm": "embeddings.LayerNorm"},
        layer="encoder.layer.",
        layer_modules={
            "attention.query": "attention.self.query",
            "attention.key": "attention.self.key",
            "attention.value": "attention.self.value",
            "attention.output": "attention.output.dense",
            "attention.norm": "attention.output.LayerNorm",
            relative_key.TABLE: "attention.self.distance_embedding",
            "intermediate": "intermediate.dense",
            "output": "output.dense",
            "output.norm": "output.LayerNorm",
        },
        parameters={
            "embeddings.word": "embeddings.word_embeddings.weight",
            "embeddings.position": "embeddings.position_embeddings.weight",
            "embeddings.token_type": "embeddings.token_type_embeddings.weight",
            "mlm.decoder.bias": "cls.predictions.bias",
        },
    )

    def read_config(self, fields: Fields) -> EncoderConfig:
        """The sizes, and what positions are told by."""
        positions = fields.text(relative_key.CHOICE, relative_key.ABSOLUTE)
        if positions not in relative_key.TYPES:
            known = ", ".join(relative_key.TYPES)
            raise ExportError(
                f"{fields.file} asks for {positions} position embeddings; Cloze serves {known}."
            )
        config = read_sizes(fields)
        if positions == relative_key.ABSOLUTE:
            return config
        return replace(config, choices={relative_key.CHOICE: positions})

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """They are called as `EncoderConfig` calls them."""
        return {name: getattr(config, name) for name in SIZES} | dict(config.choices)

    def ignored(self, config: EncoderConfig) -> Mapping[str, str]:
        """The table of positions, where distances take its place."""
        if not relative_key.is_relative(config):
            return {}
        return {r"embeddings\.position_embeddings\.weight": "not read: positions are relative"}

    def max_tokens(self, config: EncoderConfig) -> int:
        """P."""
        return config.max_position_embeddings

    def pair_bytes(self, config: EncoderConfig) -> int | None:
        """The scores, and where positions are relative, what is added to them."""
        return relative_key.pair_bytes(config) if relative_key.is_relative(config) else None

    def head_layers(self, config: EncoderConfig) -> Mapping[str, HeadLayer]:
        """Masked words have the activation of the layers, the pooler has tanh."""
        return {
            MLM.name: HeadLayer(config.hidden_act, norm=True),
            POOLER.name: HeadLayer("tanh"),
        }

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """Three tables and a norm."""
        E = config.embedding_width
        shapes = {
            "embeddings.word": (config.vocab_size, E),
            "embeddings.position": (config.max_position_embeddings, E),
            "embeddings.token_type": (config.type_vocab_size, E),
        } | norm_shapes("embeddings.norm", E)
        if relative_key.is_relative(config):
            del shapes["embeddings.position"]
        return shapes

    def layer_shapes(self, config: EncoderConfig, layer: str) -> Shapes:
        """Six products and two norms, and where positions are relative, the vectors for them."""
        H, I = config.hidden_size, config.intermediate_size  # noqa: E741
        shapes: Shapes = {}
        for part in ("query", "key", "value", "output"):
            shapes |= product_shapes(f"{layer}.attention.{part}", H, H)
        shapes |= norm_shapes(f"{layer}.attention.norm", H)
        shapes |= product_shapes(f"{layer}.intermediate", I, H)
        shapes |= product_shapes(f"{layer}.output", H, I)
        if relative_key.is_relative(config):
            shapes[f"{layer}.{relative_key.TABLE}.weight"] = relative_key.table_shape(config)
        return shapes | norm_shapes(f"{layer}.output.norm", H)

    def embeddings(self, encoder: "PackedEncoder") -> str:
        """Word + position + segment vectors, normalised: (T, E)."""
        ids = encoder.token_input("input_ids")
        graph, linear = encoder.graph, encoder.linear
        with graph.scope("embeddings"):
            total = linear.lookup("embeddings.word", ids)
            if "embeddings.position" in linear.weights:
                positions = linear.lookup("embeddings.position", self.positions(encoder))
                total = graph.node("Add", total, positions)
            if "embeddings.token_type" in linear.weights:
                types = graph.constant(np.array(0, np.int64))
                if encoder.config.segments:
                    types = encoder.token_input("token_type_ids")
                total = graph.node("Add", total, linear.lookup("embeddings.token_type", types))
            return encoder.norm(total, "embeddings.norm")

    def positions(self, encoder: "PackedEncoder") -> str:
        """The row of the position table for each token: int64 (T,)."""
        return encoder.places.positions()

    def block(self, encoder: "PackedEncoder", index: int, rows: str) -> str:
        """Attention, then the feed-forward block, each added to its input and normalised."""
        name, graph = self.layer_name(encoder.config, index), encoder.graph
        with graph.scope(f"layers.{index}"):
            context, rows = self.attention(encoder, index, rows)
            with graph.scope("attention_output"):
                part = f"{name}.attention"
                attended = encoder.product(context, f"{part}.output", residual=rows)
                attended = encoder.norm(attended, f"{part}.norm")
            with graph.scope("feed_forward"):
                return encoder.norm(
                    self.feed_forward(encoder, name, attended), f"{name}.output.norm"
                )

    def layer_name(self, config: EncoderConfig, index: int) -> str:  # noqa: ARG002
        """In front of the names of a layer's weights."""
        return f"layers.{index}"

    def attention(self, encoder: "PackedEncoder", index: int, rows: str) -> tuple[str, str]:
        """Its context, and the rows to add it to."""
        name, is_relative = self.layer_name(encoder.config, index), relative_key.is_relative
        scores = (
            relative_key.relative_scores(encoder, name) if is_relative(encoder.config) else None
        )
        return encoder.attention(index, rows, name=name, scores=scores)

    def feed_forward(self, encoder: "PackedEncoder", name: str, rows: str) -> str:
        """The feed-forward of the layer `name`, added to its input: (T, H)."""
        inner = encoder.activated_product(rows, f"{name}.intermediate")
        return encoder.product(inner, f"{name}.output", residual=rows, activated=True)

    def reference_embeddings(self, encoder: NumpyEncoder, texts: Sequence[Text]) -> Float32:
        """The sum of the tables that the family has, normalised. Each (n,) -> all (N, E)."""
        weights = encoder.weights
        total = weights["embeddings.word"][np.concatenate([text.ids for text in texts])]
        if "embeddings.token_type" in weights:
            types = np.concatenate([text.type_ids for text in texts])
            total = total + weights["embeddings.token_type"][types * encoder.config.segments]
        if "embeddings.position" in weights:
            rows = [self.reference_positions(encoder.config, text) for text in texts]
            total = total + weights["embeddings.position"][np.concatenate(rows)]
        return encoder.norm("embeddings.norm", total)

    def reference_positions(self, config: EncoderConfig, text: Text) -> Int64:  # noqa: ARG002
        """The row of the position table for each token of a text: (n,)."""
        return np.arange(len(text.ids))

    def reference_block(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """Self-attention, then feed-forward, each added to its input and normalised. (N, H)."""
        name = self.layer_name(encoder.config, index)
        context = self.reference_attention(encoder, index, rows)
        attended = rows + encoder.product(f"{name}.attention.output", context)
        rows = encoder.norm(f"{name}.attention.norm", attended)
        out = rows + self.reference_feed_forward(encoder, name, rows)
        return encoder.norm(f"{name}.output.norm", out)

    def reference_attention(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """The context of a layer. (N, H)."""
        name, is_relative = self.layer_name(encoder.config, index), relative_key.is_relative
        scores = (
            relative_key.reference_scores(encoder, name) if is_relative(encoder.config) else None
        )
        return encoder.attention(index, rows, name=name, scores=scores)

    def reference_feed_forward(self, encoder: NumpyEncoder, name: str, rows: Float32) -> Float32:
        """The feed-forward of the layer `name`, without its input. (N, H)."""
        inner = encoder.activation(encoder.product(f"{name}.intermediate", rows))
        return encoder.product(f"{name}.output", inner)


BERT: Final[Architecture] = Bert()
