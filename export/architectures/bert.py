"""BERT (Devlin et al. 2018, arXiv:1810.04805): its embeddings, its block, its weights and config.

Knows nothing of packing, of heads, or of precision. Letters: V vocabulary, P positions, T token
types, H hidden, I intermediate, n tokens of a text, N of all texts.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.architectures.architecture import Architecture, WeightNames
from export.check.layers import NumpyEncoder, Text
from export.errors import ExportError
from export.read.config import SIZES, EncoderConfig, read_sizes
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import Shapes, norm_shapes, product_shapes

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder


class Bert:
    """The original: absolute positions, two segments, each block normalised after its residual."""

    class_prefix = "Bert"
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
        """The sizes; relative positions are refused."""
        positions = fields.text("position_embedding_type", "absolute")
        if positions != "absolute":
            raise ExportError(
                f"{fields.file} asks for {positions} position embeddings; "
                "Cloze serves absolute ones."
            )
        return read_sizes(fields)

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """They are called as `EncoderConfig` calls them."""
        return {name: getattr(config, name) for name in SIZES}

    def max_tokens(self, config: EncoderConfig) -> int:
        """P."""
        return config.max_position_embeddings

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """Three tables and a norm."""
        H = config.hidden_size
        return {
            "embeddings.word": (config.vocab_size, H),
            "embeddings.position": (config.max_position_embeddings, H),
            "embeddings.token_type": (config.type_vocab_size, H),
        } | norm_shapes("embeddings.norm", H)

    def layer_shapes(self, config: EncoderConfig, layer: str) -> Shapes:
        """Six products and two norms."""
        H, I = config.hidden_size, config.intermediate_size  # noqa: E741
        shapes: Shapes = {}
        for part in ("query", "key", "value", "output"):
            shapes |= product_shapes(f"{layer}.attention.{part}", H, H)
        shapes |= norm_shapes(f"{layer}.attention.norm", H)
        shapes |= product_shapes(f"{layer}.intermediate", I, H)
        shapes |= product_shapes(f"{layer}.output", H, I)
        return shapes | norm_shapes(f"{layer}.output.norm", H)

    def embeddings(self, encoder: "PackedEncoder") -> str:
        """Word + position + segment vectors, normalised: (T, H)."""
        ids = encoder.token_input("input_ids")
        types = encoder.token_input("token_type_ids")
        positions = encoder.token_input("position_ids")
        graph, linear = encoder.graph, encoder.linear
        with graph.scope("embeddings"):
            words = linear.lookup("embeddings.word", ids)
            total = graph.node("Add", words, linear.lookup("embeddings.position", positions))
            total = graph.node("Add", total, linear.lookup("embeddings.token_type", types))
            return encoder.norm(total, "embeddings.norm")

    def block(self, encoder: "PackedEncoder", index: int, rows: str) -> str:
        """Attention, then the feed-forward block, each added to its input and normalised."""
        name, graph = f"layers.{index}", encoder.graph
        with graph.scope(name):
            context, rows = encoder.attention(index, rows)
            with graph.scope("attention_output"):
                part = f"{name}.attention"
                attended = encoder.product(context, f"{part}.output", residual=rows)
                attended = encoder.norm(attended, f"{part}.norm")
            with graph.scope("feed_forward"):
                inner = encoder.activated_product(attended, f"{name}.intermediate")
                out = encoder.product(inner, f"{name}.output", residual=attended, activated=True)
                return encoder.norm(out, f"{name}.output.norm")

    def reference_embeddings(self, encoder: NumpyEncoder, texts: Sequence[Text]) -> Float32:
        """Word + segment + position: the three things BERT adds up. Each (n,) -> all (N, H)."""
        words, types, positions = (
            encoder.weights[f"embeddings.{table}"] for table in ("word", "token_type", "position")
        )
        totals = [
            words[text.ids] + types[text.type_ids] + positions[np.arange(len(text.ids))]
            for text in texts
        ]
        return encoder.norm("embeddings.norm", np.concatenate(totals))

    def reference_block(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """Self-attention, then feed-forward, each added to its input and normalised. (N, H)."""
        name = f"layers.{index}"
        context = encoder.attention(index, rows)
        attended = rows + encoder.product(f"{name}.attention.output", context)
        rows = encoder.norm(f"{name}.attention.norm", attended)
        inner = encoder.activation(encoder.product(f"{name}.intermediate", rows))
        out = rows + encoder.product(f"{name}.output", inner)
        return encoder.norm(f"{name}.output.norm", out)


BERT: Final[Architecture] = Bert()
