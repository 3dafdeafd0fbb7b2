"""A verified model folder in, an ONNX Runtime session that runs batches out.

Knows nothing of queues: `Session.run` is one call on the caller's thread, and several threads may
call it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort

from models.manifest import GRAPH_FILE, ModelManifest
from models.processor import precision_entries
from server.inference.runtime.devices import Device, confirm_device, cpu_device
from server.inference.runtime.packing import Batch, Encoding, Item, OutputSpec, Result

# What the optimiser would put in is slower on the CPU provider than the operators apart.
# On a GPU the first would normalise in float16, unlike the graph that was checked.
DISABLED_OPTIMIZERS = ["SkipLayerNormFusion", "BiasGeluFusion"]
# Threads of one run wait awake for its next product, which for a short text comes sooner than they
# wake up. Between runs they would take the cores from the event loop and the other workers.
SPINNING = {"session.intra_op.allow_spinning": "1", "session.force_spinning_stop": "1"}
ERRORS_ONLY = 3


@dataclass(frozen=True)
class SessionOptions:
    """Threads of one run, and where it runs."""

    intra_op: int = 1
    device: Device = field(default_factory=cpu_device)


class Session:
    """One ONNX Runtime session."""

    def __init__(self, folder: Path, manifest: ModelManifest, options: SessionOptions) -> None:
        """Open the graph. Raises `DeviceError` when it does not run where it must."""
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.intra_op
        settings.inter_op_num_threads = 1
        settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        settings.log_severity_level = ERRORS_ONLY
        for key, value in (SPINNING | precision_entries()).items():
            settings.add_session_config_entry(key, value)
        self._session = ort.InferenceSession(
            str(folder / GRAPH_FILE),
            settings,
            providers=list(options.device.providers),
            disabled_optimizers=DISABLED_OPTIMIZERS,
        )
        self.device = confirm_device(options.device, self._session.get_providers())
        self._inputs = frozenset(node.name for node in self._session.get_inputs())
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._layers = manifest.layers
        self._max_tokens = manifest.max_tokens

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Run one batch: a result per item, in order.

        Heads that the model lacks have no inputs in the graph; their empty feeds are left out.
        """
        batch = Batch(items, self._layers)
        feeds = {name: feed for name, feed in batch.feeds().items() if name in self._inputs}
        outputs = self._session.run(self._outputs, feeds)
        return batch.split(dict(zip(self._outputs, outputs, strict=True)))

    def warm(self, outputs: Sequence[OutputSpec], tokens: int) -> None:
        """Run a batch of about `tokens` once that reads `outputs`, so that memory is in place."""
        length = min(max(2, tokens // len(outputs)), self._max_tokens)
        encoding = Encoding(np.ones(length, np.int64), np.zeros(length, np.int64))
        self.run([Item(encoding, output) for output in outputs])
