"""Runs in, what they did not compute out, which a padded model would have: in tokens and rows."""

import threading
from dataclasses import dataclass
from typing import Self

from server.inference.runtime.packing import Batch, Feeds


@dataclass(slots=True)
class Spared:
    """Sums over runs."""

    padding_tokens: int = 0
    """By which all texts of a run are shorter than its longest one."""
    last_layer_rows: int = 0
    """Of the last layer, that nothing read."""
    vocabulary_rows: int = 0
    """Of texts with masks, that were not multiplied by the vocabulary since they are no masks."""

    @classmethod
    def of(cls, batch: Batch, feeds: Feeds) -> Self:
        """What the run of `batch` by `feeds` spares."""
        tokens, slots = len(feeds["input_ids"]), feeds["pad_index"].size
        return cls(slots - tokens, tokens - len(feeds["read_index"]), batch.unmasked_tokens)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.padding_tokens + other.padding_tokens,
            self.last_layer_rows + other.last_layer_rows,
            self.vocabulary_rows + other.vocabulary_rows,
        )


class SparedSoFar:
    """The sum over the runs of a session, whichever threads they are on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sum = Spared()

    def add(self, spared: Spared) -> None:
        """Count one run."""
        with self._lock:
            self._sum += spared

    def forget(self) -> None:
        """Begin anew, after runs that were for nobody."""
        with self._lock:
            self._sum = Spared()

    def read(self) -> Spared:
        """The sum."""
        return self._sum
