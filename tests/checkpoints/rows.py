"""The encoder checkpoints that people use most, and what each is made of.

Names and configurations are those of the models' pages on the hub in 2026, as far as they can be
known without it; the weights of all but two are out of reach of this repository, so a small
checkpoint of the same making stands for each.
"""

from __future__ import annotations

from typing import Final

from tests.checkpoints.embeddings import EMBEDDINGS
from tests.checkpoints.heads import HEADS
from tests.checkpoints.masks import MASKS
from tests.checkpoints.row import distinct

ROWS: Final = EMBEDDINGS + MASKS + HEADS
_SERVED: Final = [row for row in ROWS if not row.refused]
MADE: Final = distinct(_SERVED, lambda row: row.making)
ASKED: Final = distinct(_SERVED, lambda row: (row.making, row.language))
REFUSED: Final = distinct((row for row in ROWS if row.refused), lambda row: row.making)
TOKENIZED: Final = distinct(_SERVED, lambda row: (row.tokenizer, row.model_type))
