"""A tokenizer.json in, the tokenizer and what training must know of its word pieces out."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from training.errors import TrainingError

TOKENIZER_FILE = "tokenizer.json"
_UNUSED = re.compile(r"\[unused\d+\]")
_NAMES = {"cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]", "pad": "[PAD]", "unk": "[UNK]"}


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

    @cached_property
    def ordinary(self) -> NDArray[np.int64]:
        """The ids of all pieces that are not special: int64 (pieces,)."""
        return np.flatnonzero(~self.special)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self:
        """The vocabulary of a tokenizer; without BERT's special tokens a `TrainingError`."""
        ids = tokenizer.get_vocab()
        if missing := [name for name in _NAMES.values() if name not in ids]:
            raise TrainingError(f"The tokenizer lacks {', '.join(missing)}.")
        special = np.ones(max(ids.values()) + 1, dtype=np.bool_)
        for piece, index in tokenizer.get_vocab(with_added_tokens=False).items():
            special[index] = _UNUSED.fullmatch(piece) is not None
        special[list(tokenizer.get_added_tokens_decoder())] = True
        special[[ids[name] for name in _NAMES.values()]] = True
        return cls(
            size=len(special),
            special=special,
            **{field: ids[name] for field, name in _NAMES.items()},
        )


def read_model_tokenizer(
    folder: Path, rows: int, *, plain: bool = False
) -> tuple[Tokenizer, Vocabulary]:
    """A checkpoint's tokenizer and pieces, which must not be more than the `rows` of its model.

    `plain` as in `read_tokenizer`.
    """
    tokenizer = read_tokenizer(folder, plain=plain)
    vocabulary = Vocabulary.of(tokenizer)
    if vocabulary.size > rows:
        raise TrainingError(
            f"The tokenizer of {folder} has {vocabulary.size} ids and the model only {rows}."
        )
    return tokenizer, vocabulary


def read_tokenizer(path: Path, *, plain: bool = False) -> Tokenizer:
    """A tokenizer that neither pads nor truncates.

    Args:
        path: a tokenizer.json, or the folder that holds it.
        plain: text that spells [MASK] stays text.

    Raises:
        TrainingError: there is none, or it is no WordPiece tokenizer.
    """
    path = path / TOKENIZER_FILE if path.is_dir() else path
    if not path.is_file():
        raise TrainingError(f"{path.parent} holds no {path.name}.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 (the library raises nothing narrower)
        raise TrainingError(f"{path} is not usable: {error}.") from None
    if not isinstance(tokenizer.model, WordPiece):
        raise TrainingError(f"{path} is not a WordPiece tokenizer.")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = plain
    return tokenizer
