"""Small vocabularies, tokenizers and corpora for the tests of the data pipeline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.corpus import Corpus
from training.vocabulary import Vocabulary

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]")
WORDS = (
    *("the", "cat", "dog", "sat", "ran", "on", "a", "mat", "play", "park", "##ing", "##ed"),
    *".!?[]",
    "mask",
)


def write_tokenizer(folder: Path, *, max_length: int | None = None) -> Path:
    """A WordPiece tokenizer.json with the pieces above, and perhaps a limit of length."""
    pieces = [*SPECIAL, *WORDS]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    limit = {
        "max_length": max_length,
        "strategy": "LongestFirst",
        "stride": 0,
        "direction": "Right",
    }
    document = {
        "version": "1.0",
        "truncation": limit if max_length else None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": name, "special": True} | special
            for index, name in enumerate(SPECIAL[:-1])
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: index for index, piece in enumerate(pieces)},
        },
    }
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(document))
    return path


def vocabulary(size: int = 4000) -> Vocabulary:
    """Ids 0 to 9 are special, the rest are words."""
    special = np.arange(size) < 10
    return Vocabulary(size=size, pad=0, unk=1, cls=2, sep=3, mask=4, special=special)


def corpus_of(documents: Sequence[Sequence[int]], known: Vocabulary | None = None) -> Corpus:
    """A corpus in memory whose documents have sentences of these lengths.

    The token at place p has the id 10 + p % 3990, so that ids tell where text comes from.
    """
    lengths = [length for document in documents for length in document]
    count = sum(lengths)
    return Corpus(
        tokens=(10 + np.arange(count) % 3990).astype(np.uint16),
        sentences=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        documents=np.concatenate([[0], np.cumsum([len(d) for d in documents])]).astype(np.int64),
        vocabulary=known or vocabulary(),
    )


def random_corpus(*, documents: int = 60, sentences: int = 40, seed: int = 0) -> Corpus:
    """A corpus in memory with sentences of 1 to 40 tokens and documents of various lengths."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 2 * sentences, documents)
    return corpus_of([rng.integers(1, 41, count).tolist() for count in counts])
