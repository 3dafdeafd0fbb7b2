"""A model folder's graph in, its weights by canonical name in float32 out.

Each precision stores a weight in its own way (`linear`, `half`, `quantize`); the names of the
stored tensors say which, and each is used once or ends the reading.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.errors import ExportError
from export.graph.builder import DATA_FILE, GRAPH_FILE
from export.graph.smoothing import factor_name
from export.read.weights import UNTIED_DECODER

Array = NDArray[Any]
# Constants of the graph itself, which no checkpoint has.
_CONSTANTS = ("constant/", "int8/")
_POOLING = "pooling/"


@dataclass(frozen=True)
class StoredModel:
    """What a graph holds of the checkpoint it was made from."""

    tensors: Mapping[str, onnx.TensorProto]  # by the name of the stored form
    folder: Path
    layer_norm_eps: float

    @property
    def tied(self) -> bool:
        """Whether the word table is the decoder of masked words too."""
        return not any(name.startswith(UNTIED_DECODER) for name in self.tensors)

    def read(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """The weights that `shapes` names, float32 and C-contiguous.

        Raises:
            ExportError: one is not there or of another shape, or a tensor is left over.
        """
        used: set[str] = set()
        weights = {name: self._weight(name, used) for name in shapes}
        if left := sorted(set(self.tensors) - used):
            raise ExportError(f"{GRAPH_FILE} holds {left[0]}, which no weight is made of.")
        for name, shape in shapes.items():
            if weights[name].shape != shape:
                raise ExportError(
                    f"{name} in {GRAPH_FILE} has shape {weights[name].shape}; "
                    f"its manifest asks for {shape}."
                )
        return weights

    def _weight(self, name: str, used: set[str]) -> NDArray[np.float32]:
        """One weight, from whichever form of it is stored; the forms read go to `used`."""
        for form in (name, f"{name}.float16"):
            if form in self.tensors:
                return self._array(form, used).astype(np.float32)
        # A table has a scale per row, a layer's weight, stored (in, out), one per column.
        table = f"{name}.int8" in self.tensors
        part = name if table else name.removesuffix(".weight")
        if f"{part}.int8" not in self.tensors:
            raise ExportError(f"{GRAPH_FILE} lacks {name}; was it written by this exporter?")
        values, scale = self._array(f"{part}.int8", used), self._array(f"{part}.scale", used)
        weight = np.ascontiguousarray((values if table else values.T) * scale[:, None])
        used.update({f"{name}.zero"} if table else ())
        factor = factor_name(name)
        return weight * self._array(factor, used) if factor in self.tensors else weight

    def _array(self, name: str, used: set[str]) -> Array:
        used.add(name)
        if name not in self.tensors:
            raise ExportError(f"{GRAPH_FILE} lacks {name}.")
        tensor = self.tensors[name]
        if any(e.key == "location" and e.value != DATA_FILE for e in tensor.external_data):
            raise ExportError(f"{GRAPH_FILE} keeps {name} in another file than {DATA_FILE}.")
        return numpy_helper.to_array(tensor, str(self.folder))


def open_stored(folder: Path) -> StoredModel:
    """What the graph of a model folder holds; no weight is read yet.

    Raises:
        ExportError: it is not a graph, or not one of this exporter's.
    """
    try:
        graph = onnx.load(folder / GRAPH_FILE, load_external_data=False).graph
    except Exception:  # noqa: BLE001 (protobuf's own, which onnx does not pass on)
        raise ExportError(f"{GRAPH_FILE} is not an ONNX graph.") from None
    tensors = {t.name: t for t in graph.initializer if not t.name.startswith(_CONSTANTS)}
    return StoredModel(tensors, folder, _layer_norm_eps(graph))


def _layer_norm_eps(graph: onnx.GraphProto) -> float:
    """The epsilon of the encoder's norms: a float32, here the shortest number that gives it.

    Norms behind the pooling have one of their own.
    """
    norms = [
        node
        for node in graph.node
        if node.op_type == "LayerNormalization" and not node.name.startswith(_POOLING)
    ]
    found = {a.f for node in norms for a in node.attribute if a.name == "epsilon"}
    if len(found) != 1:
        raise ExportError(f"{GRAPH_FILE} has {len(found)} epsilons of its norms, expected one.")
    return float(str(np.float32(found.pop())))
