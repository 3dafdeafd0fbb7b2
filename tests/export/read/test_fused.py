"""Products that lie in one tensor are read one by one, and go back into it."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from export.errors import ExportError
from export.read.fused import Separated, fuse

RNG = np.random.default_rng(2)
TENSORS = {
    "layers.1.attn.Wqkv.weight": RNG.normal(size=(9, 4)).astype(np.float32),
    "layers.1.attn.Wqkv.bias": RNG.normal(size=9).astype(np.float32),
    "layers.1.Wo.weight": RNG.normal(size=(4, 3)).astype(np.float32),
    "otherWqkv.weight": RNG.normal(size=(5, 2)).astype(np.float32),
}


class Memory:
    """A `TensorSource` of what is given."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self.tensors = tensors
        self.shapes = {name: tensor.shape for name, tensor in tensors.items()}

    def read(self, key: str) -> NDArray[np.float32]:
        return self.tensors[key]


def test_each_product_is_a_tensor_of_its_own() -> None:
    separated = Separated(Memory(TENSORS), {"Wqkv": 3})
    assert {name: shape for name, shape in separated.shapes.items() if "1.attn" in name} == {
        **{f"layers.1.attn.Wqkv/{part}.weight": (3, 4) for part in range(3)},
        **{f"layers.1.attn.Wqkv/{part}.bias": (3,) for part in range(3)},
    }
    middle = separated.read("layers.1.attn.Wqkv/1.weight")
    np.testing.assert_array_equal(middle, TENSORS["layers.1.attn.Wqkv.weight"][3:6])
    middle[:] = 0  # the caller owns it
    assert TENSORS["layers.1.attn.Wqkv.weight"].all()
    np.testing.assert_array_equal(
        separated.read("layers.1.Wo.weight"), TENSORS["layers.1.Wo.weight"]
    )


def test_module_that_only_ends_alike_is_left_as_it_is() -> None:
    assert "otherWqkv.weight" in Separated(Memory(TENSORS), {"Wqkv": 3}).shapes


def test_what_was_separated_goes_back() -> None:
    separated = Separated(Memory(TENSORS), {"attn.Wqkv": 3})
    back = fuse({key: separated.read(key) for key in reversed(list(separated.shapes))})
    assert back.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        np.testing.assert_array_equal(back[key], tensor)


def test_rows_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ExportError, match=r"Wqkv\.weight has 9 rows, which are not 2 products\.$"):
        _ = Separated(Memory(TENSORS), {"attn.Wqkv": 2}).shapes
