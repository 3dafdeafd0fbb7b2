"""The value between a task and the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.inference.runtime.packing import Item, Result

T = TypeVar("T")


@dataclass(frozen=True)
class Plan(Generic[T]):
    """Items to run in any order and company, and how their results become the answer."""

    items: Sequence[Item]
    finish: Callable[[list[Result]], T]
    """Takes one result per item, in the items' order."""
    truncated: tuple[bool, ...]
    """Per input: whether something of it was cut off."""


@dataclass(frozen=True)
class Limits:
    """What one request may hold."""

    max_tokens: int
    """Longest text or pair, special tokens included."""
    max_embed_tokens: int
    """Longest text to embed, special tokens included."""
    max_items: int
    max_masks: int
    max_targets: int
    max_top_k: int
    max_chars: int
    """Longest text in characters that is tokenised at all."""
