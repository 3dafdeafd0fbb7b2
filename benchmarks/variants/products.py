"""Matrix products alone, through ONNX Runtime and through PyTorch -> the machine's matrix peak.

The shapes are those of the default model's feed-forward block with 512 tokens, and a square. Of a
product nothing is needed but the product: int8 gives int32, float32 has no bias.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.variants.opened import Opening, open_session
from export.graph.builder import IR_VERSION, OPSET

Shape = tuple[int, int, int]
"""(M, K, N): an M×K matrix by a K×N one."""
SHAPES: tuple[Shape, ...] = ((512, 1536, 384), (512, 384, 1536), (1024, 1024, 1024))
ZERO_POINT = 128

Product = Callable[[], object]
"""Computes it once."""


def products(precision: str) -> Mapping[tuple[str, Shape], Product]:
    """Return every product by library and shape; PyTorch's on one thread each."""
    found: dict[tuple[str, Shape], Product] = {}
    for shape in SHAPES:
        found["onnxruntime", shape] = of_onnxruntime(shape, precision)
        found["torch", shape] = of_torch(shape, precision)
    return found


def operations(shape: Shape) -> int:
    """Count a multiplication and an addition for each term.

    >>> operations((2, 3, 5))
    60
    """
    rows, inner, columns = shape
    return 2 * rows * inner * columns


def factors(shape: Shape, precision: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw both matrices: float32, or uint8 and int8 as activations and weights are."""
    rng = np.random.default_rng(0)
    rows, inner, columns = shape
    if precision == "fp32":
        return (
            rng.standard_normal((rows, inner), np.float32),
            rng.standard_normal((inner, columns), np.float32),
        )
    return (
        rng.integers(0, 256, (rows, inner), np.uint8),
        rng.integers(-127, 128, (inner, columns), np.int8),
    )


def of_onnxruntime(shape: Shape, precision: str) -> Product:
    """Prepare one node, with the second matrix packed beforehand as a session's weights are."""
    first, second = factors(shape, precision)
    weight = numpy_helper.from_array(second, "weight")
    if precision == "fp32":
        node, initializers = helper.make_node("MatMul", ["x", "weight"], ["y"]), [weight]
        types = TensorProto.FLOAT, TensorProto.FLOAT
    else:
        zero = numpy_helper.from_array(np.array(ZERO_POINT, np.uint8), "zero")
        node = helper.make_node("MatMulInteger", ["x", "weight", "zero"], ["y"])
        initializers = [weight, zero]
        types = TensorProto.UINT8, TensorProto.INT32
    x, y = (
        helper.make_tensor_value_info(name, dtype, size)
        for name, dtype, size in zip("xy", types, (first.shape, (shape[0], shape[2])), strict=True)
    )
    graph = helper.make_graph([node], "product", [x], [y], initializers)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opset)
    session = open_session(model.SerializeToString(), Opening())
    return lambda: session.run(["y"], {"x": first})


def of_torch(shape: Shape, precision: str) -> Product:
    """Prepare the same product in PyTorch (MKL or oneDNN), which takes both matrices as signed."""
    # Read when it is imported, and by every thread; `set_num_threads` is for the calling one alone.
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    import torch  # noqa: PLC0415

    first, second = factors(shape, precision)
    a, b = torch.from_numpy(first), torch.from_numpy(second)
    if precision == "fp32":
        return lambda: torch.mm(a, b)
    signed = (a.to(torch.int16) - ZERO_POINT).to(torch.int8)
    return lambda: torch._int_mm(signed, b)  # noqa: SLF001 - the only int8 product that it has
