"""Items -> the operations that their answers need: an addition or a multiplication is one.

Counted are the products with real tokens, in the last layer only with the rows that are read, and
attention between tokens of the same text. Not counted is what a graph may do besides: padding,
norms, activations, quantising. Letters: T tokens, R read rows, H hidden, I intermediate, V words.
"""

from collections.abc import Sequence

from export.config import BertConfig
from models.heads import NSP
from server.inference.runtime.packing import (
    Item,
    MaskScores,
    PooledLogits,
    SentenceVector,
    TokenLogits,
)


def operations(items: Sequence[Item], config: BertConfig) -> int:
    """Count the operations of one batch, or of several: nothing is shared between items."""
    return sum(_of_item(item, config) for item in items)


def _of_item(item: Item, config: BertConfig) -> int:
    T, R = len(item.encoding), rows_read(item)
    H, I = config.hidden_size, config.intermediate_size  # noqa: E741
    inner = 2 * T * (4 * H * H + 2 * H * I) + 4 * H * T * T
    keys_and_values = 2 * T * 2 * H * H
    rest = 2 * R * (2 * H * H + 2 * H * I) + 4 * H * R * T
    layers = (config.num_hidden_layers - 1) * inner + keys_and_values + rest
    return layers + _of_head(item, config)


def _of_head(item: Item, config: BertConfig) -> int:
    H, V = config.hidden_size, config.vocab_size
    match item.output:
        case MaskScores(rows=rows):
            return 2 * len(rows) * (H * H + H * V)
        case PooledLogits(head=head) if head is NSP:
            return 2 * (H * H + 2 * H)
        case SentenceVector():
            return 2 * H * rows_read(item)
        case _:
            raise ValueError(f"no operations are counted for {item.output}")


def rows_read(item: Item) -> int:
    """Rows of the last layer that the answer is computed from."""
    match item.output:
        case MaskScores(rows=rows) | TokenLogits(rows=rows):
            return len(rows)
        case SentenceVector(mode="mean" | "max", layer=-1):
            return len(item.encoding)
        case PooledLogits() | SentenceVector():
            return 1
