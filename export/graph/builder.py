"""ONNX nodes and weights in, one `model.onnx` plus its `model.onnx.data` out.

A thin layer over `onnx.helper`: it names nodes and values, streams every large tensor straight to
the data file (so that no more than one tensor of a checkpoint is in memory at a time), and knows
nothing of BERT.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 24  # the first whose Attention takes the length of each text
CONTRIB_DOMAIN = "com.microsoft"  # ONNX Runtime's own operators
CONTRIB_OPSET = 1
IR_VERSION = 11  # the oldest that carries opset 24
DATA_FILE = "model.onnx.data"
GRAPH_FILE = "model.onnx"
ALIGNMENT = 64  # bytes; a cache line, and what a vector load of a mapped tensor wants
INLINE_BYTES = 1024  # tensors below this stay readable inside model.onnx


class GraphBuilder:
    """Collects the nodes of one graph; its tensors go to `folder/model.onnx.data` as they come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = (folder / DATA_FILE).open("wb")
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._scope: list[str] = []
        self._used: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()  # also where a weight could not be read, long before `write`

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of everything made inside: `layers.0/attention/...`."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    def input(self, name: str, dtype: int, shape: Sequence[str | int]) -> str:
        """Declare a graph input and return its name."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def output(self, value: str, name: str, dtype: int, shape: Sequence[str | int]) -> None:
        """Publish `value` as the graph output `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output/{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return that output's name."""
        return self.nodes(op, *inputs, outputs=1, domain=domain, **attributes)[0]

    def nodes(
        self, op: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs and return their names."""
        name = self._unique("/".join([*self._scope, op]))
        names = [name] if outputs == 1 else [f"{name}:{i}" for i in range(outputs)]
        self._nodes.append(
            helper.make_node(op, list(inputs), names, name=name, domain=domain, **attributes)
        )
        return names

    def constant(self, value: NDArray[Any] | np.generic, name: str | None = None) -> str:
        """A small tensor kept inside model.onnx; equal ones are shared."""
        label = name or f"constant/{value.dtype.name}{list(value.shape)}{value.tolist()}"
        if label not in self._initializers:
            self._initializers[label] = numpy_helper.from_array(np.asarray(value), label)
        return label

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """A tensor of the checkpoint, written to the data file once, however often asked for."""
        if name in self._initializers:
            return name
        if value.nbytes < INLINE_BYTES:
            return self.constant(np.ascontiguousarray(value), name)
        self._data.write(b"\0" * (-self._data.tell() % ALIGNMENT))
        tensor = TensorProto(
            name=name,
            dims=value.shape,
            data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        place = {"location": DATA_FILE, "offset": self._data.tell(), "length": value.nbytes}
        for key, entry in place.items():
            tensor.external_data.add(key=key, value=str(entry))
        # Not tofile(): where the disk is full, its error does not say so.
        self._data.write(np.ascontiguousarray(value).data)
        self._initializers[name] = tensor
        return name

    def has_weight(self, name: str) -> bool:
        """Whether `name` was written already."""
        return name in self._initializers

    def write(self) -> None:
        """Write model.onnx, close the data file and check the pair with the ONNX checker."""
        self._data.close()
        graph = helper.make_graph(
            self._nodes,
            "cloze",
            self._inputs,
            self._outputs,
            initializer=list(self._initializers.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="cloze",
            ir_version=IR_VERSION,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid(CONTRIB_DOMAIN, CONTRIB_OPSET),
            ],
        )
        path = self._folder / GRAPH_FILE
        path.write_bytes(model.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(path))

    def _unique(self, name: str) -> str:
        count = self._used.get(name, 0)
        self._used[name] = count + 1
        return name if count == 0 else f"{name}_{count}"
