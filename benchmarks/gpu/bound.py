"""A session and feeds of one shape -> a run on buffers that stay where they are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.gpu.lab import Feeds, Outputs

ON_HOST = frozenset({"top_k"})  # which CUDA's TopK reads there


class Bound:
    """Inputs, and where their shapes are given outputs too, in fixed buffers of the device."""

    def __init__(
        self,
        session: ort.InferenceSession,
        feeds: Feeds,
        device: str,
        outputs: Mapping[str, NDArray[Any]] | None = None,
        entries: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._options = ort.RunOptions()
        for key, value in (entries or {}).items():
            self._options.add_run_config_entry(key, value)
        self._names = [node.name for node in session.get_outputs()]
        self._binding = session.io_binding()
        self._inputs: dict[str, Any] = {}
        for node in session.get_inputs():
            feed = np.ascontiguousarray(feeds[node.name])
            place = "cpu" if node.name in ON_HOST or not feed.size else device
            self._inputs[node.name] = ort.OrtValue.ortvalue_from_numpy(feed, place, 0)
            self._binding.bind_ortvalue_input(node.name, self._inputs[node.name])
        for name in self._names:
            wanted = None if outputs is None else outputs[name]
            if wanted is None or not wanted.size:
                self._binding.bind_output(name, device)
                continue
            value = ort.OrtValue.ortvalue_from_shape_and_type(
                list(wanted.shape), wanted.dtype, device, 0
            )
            self._binding.bind_ortvalue_output(name, value)

    def fill(self, feeds: Feeds) -> None:
        """Copy other feeds of the same shape into the buffers."""
        for name, value in self._inputs.items():
            if name not in ON_HOST and feeds[name].size:
                value.update_inplace(np.ascontiguousarray(feeds[name]))

    def run(self) -> None:
        """Run on what is in the buffers; the device has finished when this returns."""
        self._session.run_with_iobinding(self._binding, self._options)

    def outputs(self) -> Outputs:
        """Copy the outputs to the host."""
        values = self._binding.get_outputs()
        return {name: value.numpy() for name, value in zip(self._names, values, strict=True)}
