"""Token ids in, the same ids with some hidden, and the answers, out.

The masked language model of Devlin et al. 2018 (section 3.1 and appendix A.1), drawn anew each
time a sequence is seen (Liu et al. 2019, section 4.1). Knows nothing of pairs, models or losses.

THE ALGORITHM: give every token that may be chosen a random key, sort by key, choose the first
15 %. Of the chosen, replace 80 % by [MASK] and 10 % by a random piece; leave 10 % as they are.

Letters: B rows of a batch, S tokens of a row, M chosen tokens of all rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.vocabulary import Vocabulary

RATE = 0.15  # of the tokens that are not special are chosen, at least one of a row
MASK = 0.8  # of the chosen become [MASK]
RANDOM = 0.1  # of the chosen become another piece; the rest stay


@dataclass(frozen=True, eq=False)
class MaskedTokens:
    """What the model sees, and what it must find."""

    ids: NDArray[np.int64]  # int64 (B, S)
    positions: NDArray[np.int64]  # int64 (M,): of the chosen tokens, in the flat input, ascending
    originals: NDArray[np.int64]  # int64 (M,): the ids that were there


def mask_tokens(
    ids: NDArray[np.int64],
    vocabulary: Vocabulary,
    rng: np.random.Generator,
    *,
    whole: NDArray[np.bool_] | None = None,
) -> MaskedTokens:
    """Mask each row of a padded batch by itself, ids int64 (B, S), but those that stay whole.

    `whole` is bool (B,).
    """
    # The smallest of independent draws are a uniform sample; infinity is never chosen.
    keys = rng.standard_exponential(ids.shape)  # float64 (B, S)
    keys[vocabulary.special[ids]] = np.inf
    if whole is not None:
        keys[whole] = np.inf
    maskable = np.isfinite(keys).sum(axis=1)  # int64 (B,)
    wanted = np.rint(RATE * maskable).astype(np.int64)
    wanted = np.minimum(np.maximum(wanted, 1), maskable)  # a row of special tokens has none
    order = keys.argsort(axis=1)
    rows, ranks = np.nonzero(np.arange(ids.shape[1]) < wanted[:, np.newaxis])
    positions = np.sort(rows * ids.shape[1] + order[rows, ranks])  # int64 (M,)
    originals = ids.reshape(-1)[positions]
    masked = ids.copy()
    masked.reshape(-1)[positions] = _replacements(originals, vocabulary, rng)
    return MaskedTokens(masked, positions, originals)


def _replacements(
    originals: NDArray[np.int64], vocabulary: Vocabulary, rng: np.random.Generator
) -> NDArray[np.int64]:
    """What the chosen tokens become: int64 (M,) -> int64 (M,)."""
    draw = rng.random(originals.size)
    pieces = rng.choice(vocabulary.ordinary, originals.size)
    replaced = np.where(draw < MASK + RANDOM, pieces, originals)
    return np.where(draw < MASK, vocabulary.mask, replaced)
