"""The rows of a padded batch that a loss reads in, their places in a rectangle out.

The last layer computes only these rows. Letters: B batch, S sequence, H hidden, R rows that are
read, Q the most rows that are read of one sequence. A row is b * S + s.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class ReadRows:
    """Where the rows that are read lie in a padded batch of queries (B, Q).

    Attention needs a rectangle: each sequence's rows that are read take its first places.
    """

    rows: Tensor  # int64 (R,): in the flattened batch
    slots: Tensor  # int64 (R,): places in the flattened (B, Q)
    queries: int  # Q

    @classmethod
    def of(cls, rows: Tensor, batch: int, seq: int) -> Self:
        """Places for rows, int64 (R,), in any order.

        The width depends on values: on a GPU that means to wait for it, so place rows before they
        go there.
        """
        sequence = rows // seq  # (R,)
        counts = torch.bincount(sequence, minlength=batch)  # (B,)
        order = sequence.argsort(stable=True)
        first = counts.cumsum(0) - counts  # (B,)
        place = torch.empty_like(rows)
        place[order] = torch.arange(len(rows), device=rows.device) - first[sequence[order]]
        queries = int(counts.max())
        return cls(rows, sequence * queries + place, queries)

    def spread(self, rows: Tensor, batch: int) -> Tensor:
        """Float (R, H) -> float (B * Q, H), zeros where there is no row."""
        padded = rows.new_zeros(batch * self.queries, rows.shape[1])
        return padded.index_copy(0, self.slots, rows)
