"""A verified model folder in, an ONNX Runtime session that runs batches out.

Knows nothing of queues: `Session.run` is one call on the caller's thread, and several threads may
call it at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.manifest import GRAPH_FILE, ModelManifest
from models.opening import open_session
from server.inference.runtime.devices import Device, confirm_device, cpu_device
from server.inference.runtime.packing import Batch, Encoding, Item, OutputSpec, Result


@dataclass(frozen=True)
class SessionOptions:
    """Threads of one run, and where it runs."""

    intra_op: int = 1
    device: Device = field(default_factory=cpu_device)


class Session:
    """One ONNX Runtime session."""

    def __init__(self, folder: Path, manifest: ModelManifest, options: SessionOptions) -> None:
        """Open the graph. Raises `DeviceError` when it does not run where it must."""
        self._session = open_session(
            folder / GRAPH_FILE, threads=options.intra_op, providers=options.device.providers
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
