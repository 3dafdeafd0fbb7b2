"""A verified model folder in, an ONNX Runtime session that runs batches out.

Knows nothing of queues: `Session.run` is one call on the caller's thread, and several threads may
call it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.manifest import GRAPH_FILE, ModelManifest
from models.opening import open_session
from server.inference.runtime.devices import Device, confirm_device, cpu_device
from server.inference.runtime.packing import (
    Batch,
    ClassWant,
    Encoding,
    Item,
    MaskResult,
    MaskWant,
    PairWant,
    PoolWant,
    Result,
    TokenWant,
    Want,
)


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
        self._manifest = manifest

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Run one batch: a result per item, in order.

        Heads that the model lacks have no inputs in the graph; their empty feeds are left out.
        """
        batch = Batch(items, self._layers)
        feeds = {name: feed for name, feed in batch.feeds().items() if name in self._inputs}
        outputs = self._session.run(self._outputs, feeds)
        return batch.split(dict(zip(self._outputs, outputs, strict=True)))

    def warm(self, tokens: int) -> None:
        """Run every head once on a batch of about `tokens`, so that memory is in place."""
        wants: list[Want] = [PoolWant("mean")]
        if "mlm" in self._manifest.heads:
            wants.append(MaskWant((1,), 5))
        if "nsp" in self._manifest.heads:
            wants.append(PairWant())
        if "sequence" in self._manifest.heads:
            wants.append(ClassWant())
        rows = np.arange(2)
        wants += [TokenWant(head, rows) for head in ("token", "qa") if head in self._manifest.heads]
        length = min(max(2, tokens // len(wants)), self._manifest.max_tokens)
        encoding = Encoding(np.ones(length, np.int64), np.zeros(length, np.int64))
        self.run([Item(encoding, want) for want in wants])


def is_finite(result: Result) -> bool:
    """Whether a result holds neither NaN nor infinity, which JSON could not carry."""
    if isinstance(result, MaskResult):
        arrays: tuple[NDArray[np.generic], ...] = (
            result.log_probabilities,
            result.target_log_probabilities,
        )
    else:
        arrays = (result,)
    return all(bool(np.isfinite(array).all()) for array in arrays)
