"""The modules behind a Pooling in, what they compute and their weights by canonical name out.

Dense is a product with an activation, LayerNorm a norm, Normalize scales to length 1, and Dropout
does nothing outside of training. Knows nothing of where a folder's weights are stored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from export.errors import ExportError
from export.read.documents import Fields
from export.read.files import MODULES
from export.read.modules import (
    DENSE,
    DROPOUT,
    LAYER_NORM,
    NORMALIZE,
    Module,
    require_known,
)
from export.read.tensors import TensorSource
from export.read.torch_classes import of_torch
from export.read.weights import CheckpointWeights, JoinedWeights, Weights
from models import pooling
from models.pooling import MOST_MODULES, WIDEST, PoolingModule, module_name, module_shapes

OpenModule = Callable[[Module], TensorSource]

# Classes of torch.nn, which a Dense names by their whole paths.
ACTIVATIONS: Final[Mapping[str, str]] = {
    "Identity": "identity",
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
}
# What a Dense and a LayerNorm call their weights.
PARTS: Final[Mapping[str, str]] = {DENSE: "linear", LAYER_NORM: "norm"}
VECTOR: Final = "sentence_embedding"  # what a module behind the pooling reads and writes
_PLACES: Final = ("module_input_name", "module_output_name")


@dataclass(frozen=True)
class BehindPooling:
    """What pooled rows go through."""

    modules: tuple[PoolingModule, ...]
    normalize: bool
    """Whether the last step is to scale to length 1."""
    weights: Weights


def read_pooling_modules(
    modules: Sequence[Module], width: int, open_module: OpenModule
) -> BehindPooling:
    """Read the modules behind a pooling that gives `width` numbers.

    Raises:
        ExportError: one has a setting or a weight that Cloze does not serve, or lacks one.
    """
    found: list[PoolingModule] = []
    stored: list[tuple[Module, str]] = []  # those with weights, and the name of their weights
    last = width
    for module in modules:
        if module.kind == DROPOUT:
            continue
        read = _READ[module.kind](module, last)
        if module.kind in PARTS:
            stored.append((module, module_name(len(found))))
        found.append(read)
        last = read.width
    shapes = module_shapes(found, width)
    weights = [_weights(module, name, shapes, open_module) for module, name in stored]
    normalize = bool(found) and found[-1].kind == pooling.NORMALIZE
    while found and found[-1].kind == pooling.NORMALIZE:
        found.pop()
    if len(found) > MOST_MODULES:
        raise ExportError(f"{MODULES} lists {len(found)} modules; Cloze serves {MOST_MODULES}.")
    return BehindPooling(tuple(found), normalize, JoinedWeights(tuple(weights)))


def _dense(module: Module, width: int) -> PoolingModule:
    fields = module.config()
    require_known(fields, ("in_features", "out_features", "bias", "activation_function", *_PLACES))
    _require_vector(fields)
    inner, outer = fields.integer("in_features"), fields.integer("out_features")
    if inner != width or outer > WIDEST:
        raise ExportError(
            f"{fields.file} turns {inner} numbers into {outer}; what comes before it gives {width}."
        )
    # Without one it is a Tanh to sentence-transformers, too.
    activation = of_torch(fields.text("activation_function", ""), ACTIVATIONS, fields.file)
    bias = fields.flag("bias", default=True)
    return PoolingModule(pooling.DENSE, outer, activation or "tanh", bias)


def _layer_norm(module: Module, width: int) -> PoolingModule:
    fields = module.config()
    require_known(fields, ("dimension",))
    if fields.integer("dimension") != width:
        raise ExportError(
            f"dimension in {fields.file} is {fields.integer('dimension')}; "
            f"what comes before it gives {width} numbers."
        )
    return PoolingModule(pooling.LAYER_NORM, width)


def _normalize(module: Module, width: int) -> PoolingModule:
    fields = module.config(optional=True)  # an empty folder in all but the newest checkpoints
    require_known(fields, _PLACES)
    _require_vector(fields)
    return PoolingModule(pooling.NORMALIZE, width)


_READ: Final[Mapping[str, Callable[[Module, int], PoolingModule]]] = {
    DENSE: _dense,
    LAYER_NORM: _layer_norm,
    NORMALIZE: _normalize,
}


def _require_vector(fields: Fields) -> None:
    for name in _PLACES:
        place = fields.text(name, VECTOR)
        if place != VECTOR:
            raise ExportError(f"{fields.file} sets {name} to {place}; Cloze serves {VECTOR} alone.")


def _weights(
    module: Module, name: str, shapes: Mapping[str, tuple[int, ...]], open_module: OpenModule
) -> Weights:
    """The weights of one module, each used once."""
    source = open_module(module)
    keys = {
        own: own.replace(name, PARTS[module.kind], 1)
        for own in shapes
        if own.rpartition(".")[0] == name
    }
    for own, key in keys.items():
        if key not in source.shapes:
            raise ExportError(f"The weights in {module.path} lack {key}.")
        if source.shapes[key] != shapes[own]:
            raise ExportError(
                f"{key} in {module.path} has shape {source.shapes[key]}; "
                f"its configuration asks for {shapes[own]}."
            )
    if odd := sorted(source.shapes.keys() - keys.values()):
        raise ExportError(f"A {module.kind} has no place for {odd[0]} in {module.path}.")
    return CheckpointWeights(source, keys)
