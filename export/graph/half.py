"""float16 linear layers, for GPUs: half the memory, and what their matrix units are made for.

Weights and rows of the encoder are float16, and so is the vocabulary product. Sums inside a product
and normalisations are float32 in ONNX Runtime's kernels; the small heads, pooling, softmax and all
outputs are float32 in the graph. BERT normalises after each block, which keeps its rows far below
float16's largest number, and attention takes lengths, so there is no mask value to overflow.
"""

import numpy as np
from onnx import TensorProto

from export.errors import ExportError
from export.graph.linear import Linear

LARGEST = float(np.finfo(np.float16).max)  # 65504


class HalfLinear(Linear):
    """float16 products for the encoder and the decoder, float32 for the small heads."""

    def decode(self, values: str) -> str:
        """The vocabulary product in float16, whose table serves the lookup too; logits float32."""
        logits = super().decode(self._cast(values, TensorProto.FLOAT16))
        return self._cast(logits, TensorProto.FLOAT)

    def widen(self, values: str) -> str:
        """A Cast."""
        return self._cast(values, TensorProto.FLOAT)

    def weight(self, name: str) -> str:
        """The checkpoint's tensor, rounded to float16.

        Raises:
            ExportError: a number in it is beyond float16's range.
        """
        label = f"{name}.float16"
        if self.graph.has_weight(label):
            return label
        value = self.weights[name]
        if np.abs(value).max() > LARGEST:
            raise ExportError(
                f"{name} holds a number beyond {LARGEST:g}, float16's largest; export in fp32."
            )
        return self.graph.weight(label, value.astype(np.float16))

    def _cast(self, values: str, dtype: int) -> str:
        return self.graph.node("Cast", values, to=dtype)
