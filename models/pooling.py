"""How rows of tokens become a sentence vector: read by the exporter and by the server.

Rows are pooled in one way or several, laid end to end; then modules follow, such as a product with
an activation. The names are those of sentence-transformers. Knows nothing of ONNX or HTTP.
Letters: H hidden, D numbers of a vector.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from models.heads import Shapes, norm_shapes

POOLING_MODES: Final = (
    "mean",
    "cls",
    "max",
    "mean_sqrt_len_tokens",
    "weightedmean",
    "lasttoken",
)
# What people who come from bert-as-service call some of them.
OTHER_NAMES: Final[Mapping[str, str]] = {"mean_max": "mean+max", "sqrt": "mean_sqrt_len_tokens"}
AND: Final = "+"  # between modes whose vectors are laid end to end
DENSE: Final = "dense"
LAYER_NORM: Final = "layer_norm"
NORMALIZE: Final = "normalize"
MODULE_KINDS: Final = (DENSE, LAYER_NORM, NORMALIZE)
MODULE_ACTIVATIONS: Final = ("identity", "tanh", "relu", "gelu", "silu", "sigmoid")
LAYER_NORM_EPS: Final = 1e-5  # of torch.nn.LayerNorm, which the module is
SMALLEST_NORM: Final = 1e-12  # what a shorter vector is divided by, as in torch
SENTENCE_VECTORS: Final = "sentence_vectors"  # the graph's output of what the modules make
WEIGHTS_PREFIX: Final = "pooling."
SIMILARITIES: Final = ("cosine", "dot", "euclidean", "manhattan")
# More of either is no model that anybody trained, and would cost what no request is priced at.
MOST_MODES, MOST_MODULES = 8, 16
WIDEST: Final = 1 << 16  # numbers of a vector


@dataclass(frozen=True)
class PoolingModule:
    """One module between the pooled rows and the vector."""

    kind: str
    """"dense", a product with an activation; "layer_norm"; or "normalize", to length 1."""
    width: int
    """Numbers that come out."""
    activation: str = "identity"
    """Of a dense module, one of `MODULE_ACTIVATIONS`."""
    bias: bool = True
    """Whether a dense module has one."""


@dataclass(frozen=True)
class PoolingSpec:
    """How token vectors become a sentence vector when the request does not say."""

    mode: str
    """One of `POOLING_MODES`, or several joined by "+" as in "cls+mean"."""
    normalize: bool
    """Scale to length 1 at the end, before anything is cut off."""
    max_tokens: int
    """Longest embedded text in tokens, [CLS] and [SEP] included."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    include_prompt: bool = True
    """Whether the tokens of a prompt are pooled too."""
    dimensions: int | None = None
    """Numbers that are kept, the first ones; None for all."""
    similarity: str | None = None
    """How vectors are meant to be compared, one of `SIMILARITIES`; the server compares none."""
    modules: tuple[PoolingModule, ...] = ()
    """What the pooled rows go through, in order."""

    def width(self, hidden: int) -> int:
        """Numbers of a whole vector, D.

        >>> PoolingSpec("cls+max", normalize=True, max_tokens=9).width(12)
        24
        """
        return self.modules[-1].width if self.modules else hidden * len(modes_of(self.mode))

    def shapes(self, hidden: int) -> Shapes:
        """The shape of every weight of the modules, by canonical name.

        >>> dense = PoolingModule("dense", 5, "tanh")
        >>> PoolingSpec("mean", normalize=True, max_tokens=9, modules=(dense,)).shapes(12)
        {'pooling.0.weight': (5, 12), 'pooling.0.bias': (5,)}
        """
        return module_shapes(self.modules, hidden * len(modes_of(self.mode)))

    def claims(self, hidden: int) -> Iterator[tuple[bool, str]]:
        """What must hold of it, each with its sentence; later ones rely on earlier ones."""
        modes = modes_of(self.mode)
        known = f"one of {', '.join(POOLING_MODES)}, or up to {MOST_MODES} of them joined by {AND}"
        some = 0 < len(modes) <= MOST_MODES
        yield some and set(modes) <= set(POOLING_MODES), f"pooling.mode must be {known}"
        yield (
            self.default_prompt is None or self.default_prompt in self.prompts,
            "pooling.default_prompt must be among pooling.prompts",
        )
        yield (
            self.similarity is None or self.similarity in SIMILARITIES,
            f"pooling.similarity must be one of {', '.join(SIMILARITIES)}, or null",
        )
        yield len(self.modules) <= MOST_MODULES, f"pooling.modules must be {MOST_MODULES} at most"
        yield from _module_claims(self.modules, hidden * len(modes))
        width = self.width(hidden)
        yield (
            self.dimensions is None or 1 <= self.dimensions <= width,
            f"pooling.dimensions must be 1 to {width}, the numbers of a vector, or null",
        )


def _module_claims(modules: Iterable[PoolingModule], width: int) -> Iterator[tuple[bool, str]]:
    for index, module in enumerate(modules):
        place = f"pooling.modules[{index}]"
        dense = module.kind == DENSE
        yield module.kind in MODULE_KINDS, f"{place}.kind must be one of {', '.join(MODULE_KINDS)}"
        yield (
            module.activation in MODULE_ACTIVATIONS,
            f"{place}.activation must be one of {', '.join(MODULE_ACTIVATIONS)}",
        )
        plain = PoolingModule(module.kind, module.width)
        yield dense or module == plain, f"{place} must have no activation and no choice of a bias"
        yield 1 <= module.width <= WIDEST, f"{place}.width must be 1 to {WIDEST}"
        yield dense or module.width == width, f"{place}.width must be {width}, as what goes in"
        width = module.width


def module_shapes(modules: Iterable[PoolingModule], width: int) -> Shapes:
    """The shape of every weight of modules that get rows of `width` numbers.

    >>> module_shapes([PoolingModule("dense", 5, bias=False), PoolingModule("layer_norm", 5)], 12)
    {'pooling.0.weight': (5, 12), 'pooling.1.weight': (5,), 'pooling.1.bias': (5,)}
    """
    shapes: Shapes = {}
    for index, module in enumerate(modules):
        name = module_name(index)
        if module.kind == LAYER_NORM:
            shapes |= norm_shapes(name, width)
        elif module.kind == DENSE:
            shapes[f"{name}.weight"] = (module.width, width)
            shapes |= {f"{name}.bias": (module.width,)} if module.bias else {}
        width = module.width
    return shapes


@cache
def modes_of(mode: str) -> tuple[str, ...]:
    """The single modes of a `PoolingSpec.mode`, in the order of their vectors.

    >>> modes_of("cls+mean"), modes_of("max")
    (('cls', 'mean'), ('max',))
    """
    return tuple(mode.split(AND))


def module_name(index: int) -> str:
    """The first part of the names of a module's weights.

    >>> module_name(2)
    'pooling.2'
    """
    return f"{WEIGHTS_PREFIX}{index}"
