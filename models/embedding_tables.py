"""A checked graph in, rows of its embedding tables out: what the encoder adds up for a token.

ONNX Runtime gives no weights back, so they are read where they lie. Tables are mapped: nothing of
one is in memory until a row is asked for. Knows nothing of tokenizers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.graph_file import read_tensors
from models.manifest import GRAPH_FILE, ManifestError, ModelManifest

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

WORD: Final = "embeddings.word"
SEGMENT: Final = "embeddings.token_type"
POSITION: Final = "embeddings.position"
PADDING: Final = "pad_token_id"
"""Of an architecture's choices, where positions are counted from behind the padding token's."""
_FORMS: Final = ("", ".float16", ".int8")
_SCALE: Final = ".scale"  # of each row, in int8


class Embedded(NamedTuple):
    """The first numbers of what is added up for each of t tokens: float32 (t, numbers)."""

    token: Float32
    segment: Float32 | None
    """None where the encoder reads none, as the next."""
    position: Float32 | None


@dataclass(frozen=True)
class Table:
    """One table as it is stored: float32 or float16 (rows, E), or int8 and float32 (rows,)."""

    values: NDArray[Any]
    scales: Float32 | None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.values)

    def read(self, rows: Int64, numbers: int) -> Float32:
        """The first `numbers` of these rows: int64 (t,) -> float32 (t, numbers)."""
        found = np.asarray(self.values[rows, :numbers], np.float32, order="C")
        return found if self.scales is None else found * self.scales[rows, None]


@dataclass(frozen=True)
class EmbeddingTables:
    """The tables of one model."""

    word: Table
    segment: Table | None
    position: Table | None
    padding: int | None
    """The number behind which positions are counted; None where they are from 0."""
    segments: bool
    """Token types tell texts apart; otherwise all have the first."""

    @classmethod
    def of(cls, folder: Path, manifest: ModelManifest) -> Self:
        """Those of a folder whose graph was found to be what its manifest says.

        Raises:
            ManifestError: there is no such table, or too few positions for the longest text.
        """
        sizes = manifest.architecture
        tables, ends = (WORD, SEGMENT, POSITION), (*_FORMS, _SCALE)
        names = {table + end for table in tables for end in ends}
        tensors = read_tensors(folder / GRAPH_FILE, manifest.files, names)

        def table(name: str) -> Table | None:
            found = next((tensors[name + form] for form in _FORMS if name + form in tensors), None)
            return None if found is None else Table(found, tensors.get(name + _SCALE))

        word, position, padding = table(WORD), table(POSITION), sizes.choices.get(PADDING)
        if word is None:
            raise ManifestError(f"{folder.name}/{GRAPH_FILE} has no {WORD}.")
        number = padding if type(padding) is int else None
        skipped = 0 if padding is None else -1 if number is None else number + 1
        if position is not None and not 0 <= skipped <= len(position) - manifest.max_tokens:
            raise ManifestError(
                f"{folder.name}/{GRAPH_FILE} has {len(position)} positions, which does not fit "
                f"the manifest's max_tokens of {manifest.max_tokens} with an architecture.choices."
                f"{PADDING} of {ascii(padding)[:40]}."
            )
        return cls(word, table(SEGMENT), position, number, sizes.segments)

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return int(self.word.values.shape[1])

    def tell_apart(self, types: Int64) -> bool:
        """Whether there is a row for each of these token types: int64 (t,)."""
        if self.segment is None or not self.segments:
            return True
        return bool(types.max(initial=0) < len(self.segment))

    def read(self, ids: Int64, types: Int64, numbers: int) -> Embedded:
        """The first `numbers` of each embedding of a text's tokens, before they are normalised.

        Args:
            ids: int64 (t,), at most as many as the model reads.
            types: int64 (t,), which it tells apart.
            numbers: no more than `width` are there.
        """
        segment, position = self.segment, self.position
        return Embedded(
            self.word.read(ids, numbers),
            None if segment is None else segment.read(types * self.segments, numbers),
            None if position is None else position.read(self._places(ids), numbers),
        )

    def _places(self, ids: Int64) -> Int64:
        """The row of the position table for each token: int64 (t,)."""
        if self.padding is None:
            return np.arange(len(ids))
        counted = ids != self.padding  # a text may spell the padding token
        places: Int64 = np.cumsum(counted) * counted + self.padding
        return places
