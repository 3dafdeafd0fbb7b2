"""A tokenizer.json in, what pre-training must know of its word pieces out.

Knows which ids are special and which pieces continue a word; knows nothing of text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError

_UNUSED = re.compile(r"\[unused\d+\]")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The pieces of a WordPiece tokenizer, by id."""

    size: int  # one more than the largest id
    cls: int
    sep: int
    mask: int
    pad: int
    unk: int
    special: NDArray[np.bool_]  # bool (size,): no piece of text: [CLS], [unused7], ids without one
    continuation: NDArray[np.bool_]  # bool (size,): ## pieces, which continue a word

    @cached_property
    def ordinary(self) -> NDArray[np.int64]:
        """The ids of all pieces that are not special: int64 (pieces,)."""
        return np.flatnonzero(~self.special)

    @classmethod
    def read(cls, tokenizer_json: Path) -> Vocabulary:
        """Read the vocabulary of a tokenizer.json of the tokenizers library.

        Raises:
            TrainingError: it is not a WordPiece tokenizer with BERT's special tokens.
        """
        try:
            document = json.loads(tokenizer_json.read_bytes())
            prefix = document["model"]["continuing_subword_prefix"]
            return cls._of(document["model"]["vocab"], document["added_tokens"], prefix)
        except OSError as error:
            raise TrainingError(f"Cannot read {tokenizer_json}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError):
            raise TrainingError(f"{tokenizer_json} is not a WordPiece tokenizer.json.") from None

    @classmethod
    def _of(cls, vocab: dict[str, int], added: list[dict[str, Any]], prefix: str) -> Vocabulary:
        ids = vocab | {token["content"]: token["id"] for token in added}
        names = {"cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]", "pad": "[PAD]", "unk": "[UNK]"}
        if missing := [name for name in names.values() if name not in ids]:
            raise TrainingError(f"The tokenizer lacks {', '.join(missing)}.")
        size = max(ids.values()) + 1
        special = np.ones(size, dtype=np.bool_)
        continuation = np.zeros(size, dtype=np.bool_)
        for piece, index in vocab.items():
            special[index] = _UNUSED.fullmatch(piece) is not None
            continuation[index] = piece.startswith(prefix) and piece != prefix
        special[[token["id"] for token in added]] = True
        special[[ids[name] for name in names.values()]] = True
        return cls(
            size=size,
            special=special,
            continuation=continuation,
            **{field: ids[name] for field, name in names.items()},
        )
