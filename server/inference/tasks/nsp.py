"""Pairs of texts in, the probability that the second follows the first out.

BERT's label 0 is IsNext (Devlin et al. 2018, section 3.1); the probability given is that one's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.errors import TooLong
from server.inference.runtime.packing import Item, MaskResult, PairWant, Result
from server.inference.tasks.plan import Limits, Plan
from server.inference.tokenizer import Tokenizer

SPECIAL_TOKENS = 3  # [CLS] a [SEP] b [SEP]
IS_NEXT = 0


def plan_nsp(
    tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], truncate: bool, limits: Limits
) -> Plan[list[float]]:
    """One item per pair; the answer is P(IsNext) per pair."""
    items, truncated = [], []
    room = limits.max_tokens - SPECIAL_TOKENS
    for index, (first, second) in enumerate(pairs):
        param = f"inputs[{index}]"
        a, b = (
            tokenizer.pieces(text, limits.max_tokens, truncate=truncate, param=param)
            for text in (first, second)
        )
        over = len(a.ids) + len(b.ids) > room
        if over and not truncate:
            raise TooLong(
                f"The pair is longer than {limits.max_tokens} tokens; shorten it, "
                "or set `truncate` to true.",
                param=param,
            )
        left, right = longest_first(len(a.ids), len(b.ids), room)
        items.append(Item(tokenizer.assemble(a.ids[:left], b.ids[:right]), PairWant()))
        truncated.append(over or a.cut or b.cut)
    return Plan(items, _probabilities, tuple(truncated))


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths after dropping tokens from the longer text until both fit into `room`.

    >>> longest_first(10, 4, 12), longest_first(10, 9, 12)
    ((8, 4), (6, 6))
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second, room // 2)
    if first >= second:
        return room - shorter, shorter
    return shorter, room - shorter


def _probabilities(results: list[Result]) -> list[float]:
    """Softmax over (IsNext, NotNext), of which IsNext is kept."""
    rows = [result for result in results if not isinstance(result, MaskResult)]
    logits = np.stack(rows).astype(np.float64)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: list[float] = (scores[:, IS_NEXT] / scores.sum(axis=1)).tolist()
    return probabilities
