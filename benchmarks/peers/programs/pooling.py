"""Token vectors of a padded batch -> one vector for each text: what the exports leave to do."""

import numpy as np
from numpy.typing import NDArray

LARGEST_BATCH = 32


def pooled(states: NDArray[np.float32], seen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Average the vectors (batch, seq, hidden) of tokens that are seen, scaled to length 1.

    >>> pooled(np.ones((1, 3, 4), np.float32), np.array([[1, 1, 0]])).tolist()
    [[0.5, 0.5, 0.5, 0.5]]
    """
    sums = np.einsum("bsh,bs->bh", states, seen.astype(np.float32))
    vectors: NDArray[np.float32] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return vectors
