"""A verified model folder in, an ONNX Runtime session that runs batches out.

Knows nothing of queues: `Session.run` is one call on the caller's thread, and several threads may
call it at once.
"""

import ctypes
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from models.manifest import GRAPH_FILE, ModelManifest
from models.opening import open_session
from server.inference.runtime.devices import Device, confirm_device, cpu_device
from server.inference.runtime.low_priority import LowPriority
from server.inference.runtime.packing import (
    Batch,
    Encoding,
    Item,
    OutputSpec,
    Result,
)
from server.inference.runtime.spared import Spared, SparedSoFar

# Tokens of a text whose attention takes as much memory as a session should keep for later runs.
LONG: Final = 512


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
        self._own = threading.local()  # of each worker
        self._layers = manifest.layers
        self._classifier_pooling = manifest.architecture.classifier_pooling
        self._max_tokens = manifest.max_tokens
        self.spared = SparedSoFar()

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Run one batch: a result per item, in order."""
        return self._run(items, self._session.run)

    def run_aside(self, items: Sequence[Item]) -> list[Result]:
        """`run`, of which what takes long makes way for all other threads."""
        return self._run(items, self._compute_aside)

    def _run(self, items: Sequence[Item], compute: Callable[..., list[Any]]) -> list[Result]:
        """Heads that the model lacks have no inputs in the graph: such feeds are left out."""
        batch = Batch(items, self._layers, classifier_pooling=self._classifier_pooling)
        made = batch.feeds()
        feeds = {name: feed for name, feed in made.items() if name in self._inputs}
        longest = max([len(item.encoding) for item in items])
        is_long = longest > LONG and self.device.name == "cpu"
        outputs = compute(self._outputs, feeds, *([_giving_back()] if is_long else []))
        if is_long:
            _trim(0)
        self.spared.add(Spared.of(batch, made))
        return batch.split(dict(zip(self._outputs, outputs, strict=True)))

    def _compute_aside(self, *arguments: object) -> list[Any]:
        """The session's own run alone: what holds the interpreter's lock is not to be held up."""
        if not hasattr(self._own, "aside"):  # made by its worker, whose care for denormals it has
            self._own.aside = LowPriority[list[Any]]()
        aside: LowPriority[list[Any]] = self._own.aside
        return aside.run(lambda: self._session.run(*arguments))

    def warm(self, outputs: Sequence[OutputSpec], tokens: int) -> None:
        """Run a batch of about `tokens` once that reads `outputs`, so that memory is in place."""
        length = min(max(2, tokens // len(outputs)), self._max_tokens)
        encoding = Encoding(np.ones(length, np.int64), np.zeros(length, np.int64))
        self.run([Item(encoding, output) for output in outputs])


def _keep(_bytes: int) -> int:
    """Where the C library has nothing to trim."""
    return 0


# The session gives memory back to the C library; glibc keeps up to 64 MiB of it for each thread.
_trim = getattr(ctypes.CDLL(None), "malloc_trim", _keep)


def _giving_back() -> ort.RunOptions:
    """A run after which the session gives memory back that no run needs at the time.

    It would keep what the longest text of all has taken, and so would each of several models.
    """
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options
