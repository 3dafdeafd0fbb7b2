"""Items of many requests in, the next batch out: which items run together, and in what order.

Order. Each request is a flow of start-time fair queueing (Goyal, Vin and Cheng 1996): an item's tag
is the virtual time at which its request's earlier items would have been served, counted in tokens.
The smallest tag goes first, so a list of 500 texts and a neighbour's single text share the machine
instead of the one waiting for all of the other. An item that waited longer than `MAX_AGE_S` goes
before all tags, so nothing waits for ever.

Company. The first item is joined by those, in order, that cost at most `MAX_EXTRA_COST` times what
they cost alone: attention is padded to the longest text of the batch, so a short text next to a
long one would be paid for as a long one.

Knows nothing of threads: the batcher holds its lock around every call.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from server.inference.items import Item

if TYPE_CHECKING:
    from server.inference.batcher import Ticket

MAX_AGE_S = 0.5  # seconds in the queue after which an item goes first
MAX_EXTRA_COST = 1.25
CANDIDATES = 128  # items looked at for one batch; bounds the time under the lock


@dataclass(slots=True, eq=False)
class Entry:
    """One queued item."""

    tag: float
    number: int
    """Of arrival; breaks ties between tags."""
    item: Item
    ticket: Ticket
    index: int
    """Position of the item in its request."""
    queued_at: float
    """`time.monotonic()` seconds."""
    tokens: int
    """Length of the item's encoding."""
    waiting: bool = True


_ORDER = attrgetter("tag", "number")


@dataclass(frozen=True)
class CostModel:
    """Relative cost of a packed batch: products by token, attention by padded area.

    A token costs `24·H²` operations a layer in products, a pair of positions `4·H` in attention.
    """

    hidden_size: int

    def cost(self, texts: int, longest: int, tokens: int) -> float:
        """Cost in tokens' worth of products."""
        return tokens + texts * longest * longest / (6 * self.hidden_size)


class ItemQueue:
    """The waiting items of one model."""

    def __init__(self, cost: CostModel) -> None:
        self._cost = cost
        self._by_tag: list[Entry] = []
        self._by_age: deque[Entry] = deque()
        """In order of arrival; entries that left the queue stay until they reach the front."""
        self._virtual_time = 0.0
        self._arrivals = 0
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._by_tag)

    def add(self, ticket: Ticket, now: float) -> None:
        """Queue all items of a request; `now` in `time.monotonic()` seconds."""
        tag = self._virtual_time
        for index, item in enumerate(ticket.items):
            entry = Entry(tag, self._arrivals, item, ticket, index, now, len(item.encoding))
            insort(self._by_tag, entry, key=_ORDER)
            self._by_age.append(entry)
            self._arrivals += 1
            tag += entry.tokens
        self.tokens += ticket.tokens

    def remove(self, ticket: Ticket) -> int:
        """Take a request's waiting items out and return how many there were."""
        return self._drop([entry for entry in self._by_tag if entry.ticket is ticket])

    def take(self, budget: int, now: float) -> list[Entry]:
        """Remove and return the next batch: `budget` tokens at most, unless its first has more."""
        seed = self._seed(now)
        chosen, tokens, longest = [seed], seed.tokens, seed.tokens
        spent = self._cost.cost(1, longest, tokens)
        for entry in self._by_tag[:CANDIDATES]:
            if entry is seed or tokens + entry.tokens > budget:
                continue
            stretched = max(longest, entry.tokens)
            together = self._cost.cost(len(chosen) + 1, stretched, tokens + entry.tokens)
            alone = self._cost.cost(1, entry.tokens, entry.tokens)
            if together - spent <= MAX_EXTRA_COST * alone:
                chosen.append(entry)
                tokens, longest, spent = tokens + entry.tokens, stretched, together
        self._virtual_time = max(self._virtual_time, seed.tag)
        self._drop(chosen)
        return chosen

    def _seed(self, now: float) -> Entry:
        """The entry that must be in the next batch: the first by tag, or one kept too long."""
        while not self._by_age[0].waiting:
            self._by_age.popleft()
        oldest = self._by_age[0]
        return oldest if now - oldest.queued_at > MAX_AGE_S else self._by_tag[0]

    def _drop(self, entries: list[Entry]) -> int:
        for entry in entries:
            entry.waiting = False
            self.tokens -= entry.tokens
        if entries:
            # All but an over-aged seed stand near the front: rebuild no more than that.
            last = max(entries, key=_ORDER)
            end = bisect_right(self._by_tag, _ORDER(last), key=_ORDER)
            self._by_tag[:end] = [entry for entry in self._by_tag[:end] if entry.waiting]
        return len(entries)
