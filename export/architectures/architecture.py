"""What the exporter asks of a family of encoders; everything else is the same for all of them.

Packing, padding, read rows, pooling, heads, precision and parity know no family. A new one is a
file with an `Architecture` beside `bert.py`, and its line in `registry.ARCHITECTURES`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from export.check.layers import NumpyEncoder, Text
from export.read.config import EncoderConfig
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import Shapes

if TYPE_CHECKING:  # needs onnx, which whoever only reads weight names need not install
    from export.graph.packed import PackedEncoder


@dataclass(frozen=True)
class WeightNames:
    """How transformers calls the weights of a family, beside canonical names.

    The modules of heads come from `models.heads`; a family that calls one otherwise lists it among
    its `modules` too.
    """

    prefix: str
    """In front of the encoder's names where there are heads: "bert."."""
    modules: Mapping[str, str]
    """Canonical name -> module outside of the layers, with a weight and perhaps a bias."""
    layer: str
    """In front of a layer's number: "encoder.layer."."""
    layer_modules: Mapping[str, str]
    """Canonical name within a layer -> module within a layer, with a weight and perhaps a bias."""
    parameters: Mapping[str, str]
    """Canonical name -> key, where it is no module's weight or bias."""
    fused: Mapping[str, int] = field(default_factory=dict)
    """Module within a layer -> how many products it holds, one below the other.

    Each product then counts as a module of its own, called by its number: `attn.Wqkv/0`.
    """
    pooler_in_encoder: bool = True
    """The pooler is a part of the encoder, and not of the head that reads it."""


@dataclass(frozen=True)
class HeadLayer:
    """The dense layer that comes before a head's product: product, activation, perhaps a norm."""

    activation: str
    bias: bool = True
    norm: bool = False
    norm_bias: bool = True


class Architecture(Protocol):
    """One family of encoders.

    Its layers call what queries, keys and values are made by `layers.N.attention.query`, `.key` and
    `.value`: the packed encoder computes attention by these names.
    """

    @property
    def class_prefix(self) -> str:
        """What the classes of transformers begin with: "Bert"."""

    @property
    def lacks(self) -> frozenset[str]:
        """Names of heads that BERT has and this family has not."""

    @property
    def more_classes(self) -> Mapping[str, frozenset[str]]:
        """What follows the prefix in classes that BERT has not, or that mean another thing here.

        Each with the heads that it has.
        """

    @property
    def weight_names(self) -> WeightNames:
        """Its names in a checkpoint."""

    def read_config(self, fields: Fields) -> EncoderConfig:
        """The sizes and choices of a config.json.

        Raises:
            ExportError: a choice that the graph cannot express.
        """

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """The way back: the fields of config.json that `read_config` reads the sizes from."""

    def ignored(self, config: EncoderConfig) -> Mapping[str, str]:
        """Pattern of keys, without the prefix, of what is there beside the weights -> reason."""

    def max_tokens(self, config: EncoderConfig) -> int:
        """The longest text that it has positions for, special tokens included."""

    def pair_bytes(self, config: EncoderConfig) -> int | None:
        """Memory that attention takes for each pair of positions, measured: bytes, in all heads.

        None for a float32 a head, where scores depend on nothing but queries and keys.
        """

    def head_layers(self, config: EncoderConfig) -> Mapping[str, HeadLayer]:
        """The dense layers of its heads by the head's name; "mlm" and "pooler" always have one."""

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """The weights outside of the layers by canonical name; `embeddings.word` is among them."""

    def layer_shapes(self, config: EncoderConfig, layer: str) -> Shapes:
        """The weights of one layer; `layer` is the first part of their names, `layers.0`."""

    def embeddings(self, encoder: "PackedEncoder") -> str:
        """Nodes that make the first rows of packed tokens: (T, H)."""

    def block(self, encoder: "PackedEncoder", index: int, rows: str) -> str:
        """Nodes of one layer: (T, H) -> (T, H), or (R, H) where attention keeps read rows only."""

    def reference_embeddings(self, encoder: NumpyEncoder, texts: Sequence[Text]) -> Float32:
        """The same in NumPy, apart from the graph: the first rows of all texts, (N, H)."""

    def reference_block(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """One layer in NumPy: (N, H) -> (N, H)."""
