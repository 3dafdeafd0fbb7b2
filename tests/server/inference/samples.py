"""Random encodings and items, and texts of every kind, that the tests of inference share."""

from __future__ import annotations

import numpy as np

from models.heads import NSP, QA, SEQUENCE, TOKEN
from models.pooling import POOLING_MODES
from server.inference.runtime.packing import (
    Encoding,
    Item,
    MaskScores,
    PooledLogits,
    SentenceVector,
    TokenLogits,
)

CLS, SEP, MASK = 101, 102, 103
FIRST_WORD, VOCABULARY = 1000, 30522
ORDINARY_LENGTH = 3.2  # mean of the logarithm of a text's tokens: a median of 25
SPREAD = 0.9
SHORTEST, LONGEST = 3, 380

TEXTS = (
    "a",
    "The man went to the store.",
    "Don't stop: it's 3.50 (or \u20ac4,20)!?",
    "na\u00efve caf\u00e9 \u00c5ngstr\u00f6m stra\u00dfe \u0130stanbul",
    "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059",
    "\u041c\u043e\u0441\u043a\u0432\u0430 \u2014 \u0433\u043e\u0440\u043e\u0434",
    "emoji \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 and a family",
    "antidisestablishmentarianism unbelievably pneumonoultramicroscopic",
    "tabs\tand\nnew\r\nlines \u00a0 and \u200b zero width",
    "control \x00 characters \x07 inside",
    "a" * 120,
    "we do not, I 'm, they 've, you 're, he 's, can n't",
    " ".join(f"word{n} and number {n * 7}," for n in range(90)),
)


# Each alone, and some laid end to end.
MODES = (*POOLING_MODES, "lasttoken+cls", "max+cls+weightedmean")


def encoding(rng: np.random.Generator, length: int, *, pair: bool = False) -> Encoding:
    """[CLS] words [SEP], or two such texts, of `length` random tokens."""
    ids = rng.integers(FIRST_WORD, VOCABULARY, length)
    type_ids = np.zeros(length, np.int64)
    ids[0], ids[-1] = CLS, SEP
    if pair and length > 4:
        middle = int(rng.integers(2, length - 2))
        ids[middle] = SEP
        type_ids[middle + 1 :] = 1
    return Encoding(ids, type_ids)


def pooled(length: int, mode: str = "mean", seed: int = 0) -> Item:
    """A text of `length` random tokens to be pooled."""
    return Item(encoding(np.random.default_rng([seed, length]), length), SentenceVector(mode))


def random_length(rng: np.random.Generator) -> int:
    """Mostly short, now and then the longest."""
    if rng.random() < 0.07:
        return LONGEST
    return int(np.clip(np.exp(rng.normal(ORDINARY_LENGTH, SPREAD)), SHORTEST, LONGEST))


def random_item(rng: np.random.Generator, *, heads: bool = True) -> Item:
    """A text or pair of random length with any output; masks and pairs only with `heads`."""
    length = random_length(rng)
    tokens = encoding(rng, length, pair=bool(rng.random() < 0.3))
    if heads and rng.random() < 0.5:
        output = _mask_scores(rng, tokens) if rng.random() < 0.6 else PooledLogits(NSP)
        return Item(tokens, output)
    mode = MODES[rng.integers(len(MODES))]
    skip = int(rng.choice((0, 0, 2, LONGEST)))
    return Item(tokens, SentenceVector(mode, int(rng.choice((-1, -2))), skip))


def classified(rng: np.random.Generator) -> Item:
    """A text or pair of which the logits of one of the classifiers are read."""
    length = random_length(rng)
    tokens = encoding(rng, length, pair=bool(rng.random() < 0.3))
    rows = np.flatnonzero(rng.random(length) < 0.6)
    if rng.random() < 0.3 or not len(rows):
        return Item(tokens, PooledLogits(SEQUENCE))
    return Item(tokens, TokenLogits(TOKEN if rng.random() < 0.5 else QA, rows))


def _mask_scores(rng: np.random.Generator, tokens: Encoding) -> MaskScores:
    """Up to three rows in order, masked in `tokens`, with up to four targets."""
    count = int(rng.integers(1, 4))
    rows = sorted({int(row) for row in rng.integers(1, len(tokens) - 1, count)})
    tokens.ids[rows] = MASK
    targets = tuple(
        (int(rng.integers(len(rows))), int(rng.integers(VOCABULARY)))
        for _ in range(rng.integers(5))
    )
    return MaskScores(tuple(rows), int(rng.integers(1, 8)), targets)
