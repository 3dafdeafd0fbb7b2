"""Items of many requests in, the next batch out: which items run together, and in what order.

Order. Each request is a flow of start-time fair queueing (Goyal, Vin and Cheng 1996): an item's tag
is the virtual time at which its request's earlier items would have been served, counted in tokens.
The smallest tag goes first, so a list of 500 texts and a neighbour's single text share the machine
instead of the one waiting for all of the other. A request that queues its items in rounds goes on
from the tag at which its last round ended, and is of one class by all of them. Of those that waited
longer than `MAX_AGE_S` the oldest goes before all tags, every other time: nothing waits for ever,
and a list that is old before it is done does not hold up everybody else.

Priority classes. A request of more than some tokens is bulk work: its run takes many times as long
as that of a short text, which would wait for the whole of it if they shared a batch. So small
requests and bulk work are classes of their own and never share. They take turns by the same rule:
the class that was given fewer tokens is next, so that neither crowds the other out.

Batch mates. The first item is joined by those of its class, in order, whose marginal cost in the
batch is at most what they would cost later, in a batch of their like. Products cost the same in
both. What decides is what an item causes here and not there, padding of attention to the longest
text and the vocabulary for a first mask: that must not cost more than the run that it saves, of
which a later batch would have spared it all but the part `SAVED`. Nor may an item cost more than
the run did before it came: it can at most double the time that those before it wait, so a short
text never waits for one very long companion. Where the first item has a mask, others with masks
come before the rest: the vocabulary is read once for all of them. And a batch of several takes no
more memory than a run may, padding and logits of masks included, whatever it would save.

Knows nothing of threads: the batcher holds its lock around every call.
"""

import asyncio
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from server.inference.runtime.packing import Item, Result
from server.inference.scheduling.cost import CostModel

MAX_AGE_S = 0.5  # seconds in the queue after which an item goes first
SAVED = 0.25  # of a run's own cost: batches of a few texts are what waits under ordinary load
CANDIDATES = 128  # items looked at for one batch; bounds the time under the lock

Allows = Callable[[int, int, int, int], bool]
"""Texts, the longest one's tokens, those of all, and masks -> whether one run may take them."""


def any_shape(_texts: int, _longest: int, _tokens: int, _masks: int) -> bool:
    """Where nothing bounds a run."""
    return True


@dataclass(slots=True)
class Flow:
    """One request among others, in whatever number of rounds it queues its items."""

    tokens: int
    """Of all its rounds."""
    tag: float = 0.0
    """When what it has queued so far would have been served, in virtual time."""
    trace: object = None
    """Of a request that is traced, for whoever watches batches."""
    request_id: bytes = b""
    """By which the log names the request, if it has a name."""


class Ticket:
    """One admitted request, or a round of it: its items, and the future that its caller awaits."""

    def __init__(
        self,
        items: Sequence[Item],
        deadline: float,
        loop: asyncio.AbstractEventLoop,
        computed: Callable[[int], None] | None = None,
        flow: Flow | None = None,
    ) -> None:
        self.items = items
        self.deadline = deadline
        """In `time.monotonic()` seconds."""
        self.tokens = sum([len(item.encoding.ids) for item in items])
        self.flow = flow or Flow(self.tokens)
        """Whose round it is; without one the only one."""
        self.computed = computed
        """Told of tokens that wait no more, on the event loop's thread."""
        self.done: asyncio.Future[None] = loop.create_future()
        self.results: list[Result | None] = [None] * len(items)
        self.remaining = len(items)
        self.queue_s = 0.0
        self.compute_s = 0.0

    def delivered(self) -> list[Result]:
        """The results, once all are there, in the items' order."""
        results = [result for result in self.results if result is not None]
        if len(results) != len(self.items):
            raise RuntimeError(f"expected {len(self.items)} results, found {len(results)}")
        return results


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
    masks: int
    """Rows of the item that read the vocabulary."""
    priority: "PriorityClass"
    waiting: bool = True

    @property
    def masked(self) -> bool:
        """Whether the item reads the vocabulary."""
        return self.masks > 0


_ORDER = attrgetter("tag", "number")
_FEW = 64  # entries, which are put into place one by one


def _without_mask(entry: Entry) -> bool:
    return not entry.masked


class PriorityClass:
    """Waiting entries by tag, and how many tokens they have."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.tokens = 0
        self.served = 0.0
        """Virtual time: tokens that were taken, or would have been had some been there."""

    def add(self, entries: Sequence[Entry]) -> None:
        """Put entries, which are in order, into their places."""
        if len(entries) < _FEW:
            for entry in entries:
                insort(self.entries, entry, key=_ORDER)
        else:
            self.entries += entries
            self.entries.sort(key=_ORDER)  # of two runs in order: they are merged
        self.tokens += sum([entry.tokens for entry in entries])

    def drop(self, entries: list[Entry]) -> None:
        """Take entries of this class out."""
        for entry in entries:
            entry.waiting = False
            self.tokens -= entry.tokens
        if entries:
            # All but an over-aged first one stand near the front: rebuild no more than that.
            last = max(entries, key=_ORDER)
            end = bisect_right(self.entries, _ORDER(last), key=_ORDER)
            self.entries[:end] = [entry for entry in self.entries[:end] if entry.waiting]


class ItemQueue:
    """The waiting items of one model."""

    def __init__(self, cost: CostModel, bulk_tokens: int, allows: Allows = any_shape) -> None:
        self.cost = cost
        self._allows = allows
        self.small, self.bulk = PriorityClass(), PriorityClass()
        self._bulk_tokens = bulk_tokens
        """Requests of more tokens are bulk work."""
        self._by_age: deque[Entry] = deque()
        """In order of arrival; entries that left the queue stay until they reach the front."""
        self._age_led = False
        self._virtual_time = 0.0  # of requests, within a class
        self._served = 0.0  # and of classes
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self.small.entries) + len(self.bulk.entries)

    @property
    def tokens(self) -> int:
        """Tokens that wait."""
        return self.small.tokens + self.bulk.tokens

    def add(self, ticket: Ticket, now: float) -> None:
        """Queue all items of a request or of its round; `now` in `time.monotonic()` seconds."""
        flow = ticket.flow
        tag = max(self._virtual_time, flow.tag)
        priority = self.bulk if flow.tokens > self._bulk_tokens else self.small
        if not priority.entries:
            priority.served = max(priority.served, self._served)
        entries = []
        for index, item in enumerate(ticket.items):
            masks = item.output.masks
            length = len(item.encoding.ids)
            number = self._arrivals + index
            entries.append(Entry(tag, number, item, ticket, index, now, length, masks, priority))
            tag += length
        flow.tag = tag
        self._arrivals += len(entries)
        self._by_age += entries
        priority.add(entries)

    def remove(self, ticket: Ticket) -> int:
        """Take a request's waiting items out and return how many there were."""
        leaving = 0
        for priority in (self.small, self.bulk):
            theirs = [entry for entry in priority.entries if entry.ticket is ticket]
            priority.drop(theirs)
            leaving += len(theirs)
        return leaving

    def first(self, now: float, *, bulk: bool = True) -> Entry:
        """The entry to lead the next batch; not of bulk work, unless that is welcome."""
        if not bulk:
            return self.small.entries[0]
        while not self._by_age[0].waiting:
            self._by_age.popleft()
        oldest = self._by_age[0]
        self._age_led = not self._age_led and now - oldest.queued_at > MAX_AGE_S
        if self._age_led:
            return oldest
        return (self.small if self.small_is_due else self.bulk).entries[0]

    @property
    def small_is_due(self) -> bool:
        """Whether small requests are next; bulk work is once it has been given less by one more."""
        if not self.small.entries or not self.bulk.entries:
            return bool(self.small.entries)
        return self.small.served <= self.bulk.served + self._bulk_tokens

    def take(self, first: Entry, budget: int) -> list[Entry]:
        """Remove and return `first` and its batch mates, of `budget` tokens unless it has more."""
        cost = self.cost
        token, area, worth = cost.token, cost.area, SAVED * cost.run
        chosen, masks = [first], first.masks
        room, longest = budget - first.tokens, first.tokens
        spent = cost.cost(1, longest, longest, masked=first.masked)
        candidates = first.priority.entries[:CANDIDATES]
        if masks:
            candidates.sort(key=_without_mask)  # and each kind in its order
        for entry in candidates:
            length = entry.tokens
            if length > room or entry is first:
                continue
            positions = longest * longest
            if length > longest:
                positions = (len(chosen) + 1) * length * length - len(chosen) * positions
            head = cost.vocabulary if entry.masks and not masks else 0.0
            caused = area * (positions - length * length) + head
            added = token * length + area * positions + head
            if caused > worth or added > spent:
                continue
            most, tokens = max(longest, length), budget - room + length
            if self._allows(len(chosen) + 1, most, tokens, masks + entry.masks):
                chosen.append(entry)
                room, longest, masks = room - length, most, masks + entry.masks
                spent += added
        self._virtual_time = max(self._virtual_time, first.tag)
        self._served = max(self._served, first.priority.served)
        first.priority.served += sum([entry.tokens for entry in chosen])
        first.priority.drop(chosen)
        return chosen
