"""Every variant by name: what it does otherwise than the shipped graph and session."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from benchmarks.bare import packed
from benchmarks.variants import eight_bits, encoder
from benchmarks.variants.batches import Pack, apart, by_length
from benchmarks.variants.folding import FoldedWeights
from benchmarks.variants.joined import JoinedWeights
from benchmarks.variants.opened import Opening
from benchmarks.variants.source import Source
from export.graph.bert import BertGraph
from export.graph.builder import GraphBuilder
from export.graph.linear import FloatLinear, Linear
from export.graph.quantize import Int8Linear
from export.graph.smoothing import smoothed
from export.read.weights import Weights

SHIPPED_LINEAR: dict[str, Callable[[GraphBuilder, Weights], Linear]] = {
    "fp32": FloatLinear,
    "int8": Int8Linear,
}


def as_they_are(weights: Weights) -> Weights:
    """Change nothing."""
    return weights


@dataclass(frozen=True)
class Variant:
    """A graph, a session and batches; as shipped where nothing else is said."""

    name: str
    graph: type[BertGraph] = BertGraph
    linear: Callable[[GraphBuilder, Weights], Linear] | None = None
    """int8 only, where it is given."""
    weights: Callable[[Weights], Weights] = as_they_are
    smooth: bool = True
    """Whether norms' far columns are brought near, which is done in int8 only."""
    opening: Opening = field(default_factory=Opening)
    pack: Pack = by_length
    tokens: int | None = None
    """Most tokens of a batch; None for as many as the load says."""

    @property
    def batches_otherwise(self) -> bool:
        """Whether it says nothing where a batch is one text."""
        return self.tokens is not None or self.pack is not by_length

    def weights_of(self, precision: str, source: Source) -> Weights:
        """Return what the graph is built from."""
        shipped = source.weights
        if precision == "int8" and self.smooth:
            shipped = smoothed(shipped, source.spec.config)
        return self.weights(shipped)

    def linear_of(self, precision: str) -> Callable[[GraphBuilder, Weights], Linear]:
        """Return how products become nodes."""
        return self.linear or SHIPPED_LINEAR[precision]


def _enabled(*names: str) -> tuple[str, ...]:
    return tuple(name for name in Opening().disabled if name not in names)


def _disabled(*names: str) -> Opening:
    return Opening(disabled=(*Opening().disabled, *names))


def _entry(key: str, value: str) -> Opening:
    return Opening(entries=((key, value),))


SHIPPED = Variant("as shipped")
CONTROL = Variant("as shipped, once more")

GRAPHS = (
    CONTROL,
    Variant("com.microsoft MultiHeadAttention", encoder.MultiHeadAttention),
    Variant("SkipLayerNormalization", encoder.SkipLayerNormalization),
    Variant("no biases of keys and values", weights=FoldedWeights),
    Variant("GELU from Erf", encoder.ErfGelu, opening=_disabled("GeluFusionL1", "GeluFusionL2")),
    Variant("FastGelu (tanh, another function)", encoder.FastGelu),
    Variant("Q, K, V in one product, split", encoder.OneProductSplit, weights=JoinedWeights),
    Variant("Q, K, V in one product, by index", encoder.OneProduct, weights=JoinedWeights),
)
SESSIONS = (
    Variant("BiasGeluFusion on", opening=Opening(disabled=_enabled("BiasGeluFusion"))),
    Variant("SkipLayerNormFusion on", opening=Opening(disabled=_enabled("SkipLayerNormFusion"))),
    Variant("no prepacking", opening=_entry("session.disable_prepacking", "1")),
    Variant("no memory pattern", opening=Opening(memory_pattern=False)),
    Variant("no arena", opening=Opening(arena=False)),
    Variant("batches in order of arrival", pack=packed),
    *(Variant(f"batches of {tokens} tokens", tokens=tokens) for tokens in (128, 256, 1024)),
)
EIGHT_BITS = (
    Variant("one scale per tensor", linear=eight_bits.ScaleOfTensor),
    Variant("one scale per block of 128", linear=eight_bits.ScaleOfBlock),
    Variant("row scale by multiplication", linear=eight_bits.ScaleByMultiplication),
    Variant("row magnitude of maximum and minimum", linear=eight_bits.MagnitudeOfBothEnds),
    Variant("signed activations", linear=eight_bits.SignedActivations),
    Variant("Q, K, V float32", linear=eight_bits.FloatAttentionInput),
    Variant("attention output float32", linear=eight_bits.FloatAttentionOutput),
    Variant("feed-forward output float32", linear=eight_bits.FloatFeedForwardOutput),
    Variant("GELU's rows as all others", linear=eight_bits.SameForAll),
    Variant("norms as they are", smooth=False),
    Variant(
        "norms as they are and GELU's rows as all others",
        linear=eight_bits.SameForAll,
        smooth=False,
    ),
)
THREADS = (
    CONTROL,
    Variant("1 worker, 1 thread", opening=Opening(workers=1)),
    Variant("1 worker, 2 threads", opening=Opening(workers=1, intra_op=2)),
    Variant(
        "1 worker, 2 threads that sleep",
        opening=replace(_entry("session.intra_op.allow_spinning", "0"), workers=1, intra_op=2),
    ),
    Variant(
        "1 worker, 2 threads that spin between runs",
        opening=replace(_entry("session.force_spinning_stop", "0"), workers=1, intra_op=2),
    ),
    Variant("2 workers that share 2 threads", opening=Opening(workers=2, intra_op=2)),
    Variant("3 workers", opening=Opening(workers=3)),
)
TASKS = (CONTROL, Variant("each task by itself", pack=apart))


def of_one_thread(precision: str) -> tuple[Variant, ...]:
    """Return what can be told by one thread."""
    return (*GRAPHS, *SESSIONS, *(EIGHT_BITS if precision == "int8" else ()))
