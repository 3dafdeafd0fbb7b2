"""A corpus folder in, its memory-mapped arrays out, and how they are written; knows no text.

corpus.json              format, dtype, counts and where the text came from
tokenizer.json           the tokenizer that made the ids
train/tokens.bin         ids of all sentences, one after the other: uint16 or uint32 (tokens,)
train/sentences.bin      where each sentence starts in tokens: int64 (sentences + 1,)
train/documents.bin      where each document starts in sentences: int64 (documents + 1,)
train/unordered.bin      1 for documents whose sentences have no order: uint8 (documents,); corpora
                         of before have none of them, and no such file
held-out/...             the same for the documents that are kept for evaluation
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.vocabulary import TOKENIZER_FILE, Vocabulary, read_tokenizer

VERSION = 1  # of the format above
DESCRIPTION = "corpus.json"
SPLITS = ("train", "held-out")
OFFSETS = np.dtype("<i8")
FLAGS = np.dtype("u1")

Split = Literal["train", "held-out"]
TokenArray = NDArray[np.uint16] | NDArray[np.uint32]


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id, little-endian.

    >>> str(token_dtype(30522)), str(token_dtype(119547))
    ('uint16', 'uint32')
    """
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


@dataclass(frozen=True, eq=False)
class Corpus:
    """One split of a corpus, on disk."""

    tokens: TokenArray  # uint16 or uint32 (tokens,)
    sentences: NDArray[np.int64]  # int64 (sentences + 1,): offsets in tokens
    documents: NDArray[np.int64]  # int64 (documents + 1,): offsets in sentences
    vocabulary: Vocabulary
    unordered: NDArray[np.bool_] | None = None
    """Bool (documents,): the sentences have no order, as those of a list; None where all have."""

    @classmethod
    def open(cls, folder: Path, split: Split) -> Self:
        """Map the arrays of a split; nothing is read until it is used.

        Raises:
            TrainingError: it is no corpus, is damaged, or the split has no documents.
        """
        description = _description(folder)
        counts = description["splits"][split]
        if counts["documents"] == 0:
            raise TrainingError(
                f"The {split} split of {folder} has no documents; build it with a larger --held-out"
                ", or do without measurements (--measure-batches 0)."
            )
        tokenizer = folder / TOKENIZER_FILE
        if not tokenizer.is_file() or sha256_of(tokenizer) != description["tokenizer_sha256"]:
            raise TrainingError(f"{tokenizer} is not the tokenizer the corpus was built with.")
        part = folder / split
        tokens = np.dtype(description["dtype"]).newbyteorder("<")
        corpus = cls(
            tokens=_map(part / "tokens.bin", tokens, counts["tokens"]),
            sentences=_map(part / "sentences.bin", OFFSETS, counts["sentences"] + 1),
            documents=_map(part / "documents.bin", OFFSETS, counts["documents"] + 1),
            vocabulary=Vocabulary.of(read_tokenizer(tokenizer)),
            unordered=_map(part / "unordered.bin", FLAGS, counts["documents"]).astype(np.bool_)
            if counts.get("unordered")
            else None,
        )
        if (corpus.sentences[-1], corpus.documents[-1]) != (counts["tokens"], counts["sentences"]):
            raise TrainingError(f"The arrays in {part} do not fit together; build it again.")
        return corpus


class SplitWriter:
    """Appends documents to the three arrays of a new split."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        folder.mkdir()
        self.counts = {"documents": 0, "sentences": 0, "tokens": 0, "unordered": 0}
        self._dtype = dtype
        self._files = {name: (folder / f"{name}.bin").open("wb") for name in self.counts}
        for name in ("documents", "sentences"):
            self._files[name].write(OFFSETS.type(0).tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def add(self, sentences: list[list[int]], *, ordered: bool = True) -> None:
        """Append a document, the ids of its sentences; what has no tokens is left out.

        `ordered` says whether each sentence follows the one before it.
        """
        sentences = [ids for ids in sentences if ids]
        if not sentences:
            return
        lengths = np.fromiter(map(len, sentences), OFFSETS, len(sentences))
        ids = np.concatenate([np.asarray(ids, self._dtype) for ids in sentences])
        self._files["tokens"].write(ids.tobytes())
        self._files["sentences"].write((self.counts["tokens"] + lengths.cumsum()).tobytes())
        self.counts["tokens"] += ids.size
        self.counts["sentences"] += len(sentences)
        self.counts["documents"] += 1
        self._files["documents"].write(OFFSETS.type(self.counts["sentences"]).tobytes())
        self.counts["unordered"] += not ordered
        self._files["unordered"].write(FLAGS.type(not ordered).tobytes())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; of a folder, that of its files' names and hashes."""
    if path.is_dir():
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        listed = "".join(f"{sha256_of(file)}  {file.relative_to(path)}\n" for file in files)
        return hashlib.sha256(listed.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _description(folder: Path) -> dict[str, Any]:
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_bytes())
    except (OSError, ValueError):
        raise TrainingError(
            f"{folder} is not a corpus: it has no readable {DESCRIPTION}."
        ) from None
    if description.get("version") != VERSION:
        raise TrainingError(f"{folder} is not a corpus of format {VERSION}; build it again.")
    return description


def _map(path: Path, dtype: np.dtype[Any], count: int) -> Any:
    expected = count * dtype.itemsize
    found = path.stat().st_size if path.is_file() else 0
    if found != expected:
        raise TrainingError(f"{path} has {found} bytes instead of {expected}; build it again.")
    # As a plain array: slicing a memmap takes several times as long, once for each segment.
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)
