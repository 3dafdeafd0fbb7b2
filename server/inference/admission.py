"""Prices of requests in, room reserved or a refusal out: what is taken on, decided before the work.

All requests of a process share one `Admission`. Each has a `Reservation`, which grows as the
request says more of itself (its body's bytes, an estimate of its tokens, then their number) and
ends with its answer. All or nothing: what does not fit changes nothing. Of a request with more
tokens than the queue holds only a part must fit, and the others wait for room, those of all
requests in the order in which they came. Belongs to the event loop's thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from server.errors import Draining, Full, QueueFull
from server.inference.tasks.task import Price
from server.settings import Limits

# What a small request holds at most, for which a part of all room is kept.
_SMALL_TOKENS: Final = 256
_SMALL_BYTES: Final = 65_536  # of a body, and of an answer
_KEPT: Final = 8  # such a part
_PARTS: Final = 8  # of the queue, for which a request that is larger takes turns

Wait = Callable[[int], float]
"""Tokens that are ahead -> seconds until they are computed."""


def soon(_tokens: int) -> float:
    """A second, where nothing better is known."""
    return 1.0


def _fits(held: int, own: int, most: int, small: int) -> bool:
    """Whether there is room for a request's `own` beside what others have `held`, of `most`.

    One that is not small leaves a part to those that are, if it can at all. Else whoever sends much
    at a time, or reads slowly what is much, would take all room, and everybody else were refused.
    """
    kept = 0 if own <= small else min(most // _KEPT, most - own)
    return held + own <= most - kept


class Account(Protocol):
    """What one client may hold and use."""

    def hold(self, more: int) -> None:
        """Hold so many tokens more. Raises `QueueFull` where they are too many."""

    def release(self, tokens: int, *, computed: bool) -> None:
        """Hold tokens no more, which were computed or never will be."""


class _Turn(NamedTuple):
    """A part of a request that waits for room."""

    reservation: "Reservation"
    tokens: int
    come: asyncio.Future[None]


class Admission:
    """What all admitted requests of a process hold together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.body_bytes = 0
        self.tokens = 0
        self.answer_bytes = 0
        self.requests = 0
        """Admitted and not answered yet."""
        self._waiting: deque[_Turn] = deque()
        self._draining = False
        self._drained = asyncio.Event()

    def open(self, account: "Account | None" = None) -> "Reservation":
        """A reservation of nothing yet, for a client that has an account or for any."""
        return Reservation(self, account)

    @property
    def next_tokens(self) -> int:
        """Of the part whose turn it is; 0 where none waits."""
        return self._waiting[0].tokens if self._waiting else 0

    async def room(self, reservation: "Reservation", tokens: int) -> None:
        """Wait until a further part of a request has room, and hold it."""
        turn = _Turn(reservation, tokens, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        self.give_room()
        try:
            await turn.come
        finally:
            if turn in self._waiting:  # it was given up
                self._waiting.remove(turn)
                self.give_room()

    def give_room(self) -> None:
        """Let those come whose turn it is, as many as fit."""
        while self._waiting:
            turn = self._waiting[0]
            if not turn.reservation.fits_beside(turn.tokens):
                return
            self._waiting.popleft()
            turn.reservation.grow(turn.tokens)
            if not turn.come.done():
                turn.come.set_result(None)

    async def drain(self) -> None:
        """Admit nothing more, and return when every admitted request has its answer."""
        self._draining = True
        self.note()
        await self._drained.wait()

    def note(self) -> None:
        """See whether a drain is over."""
        if self._draining and not self.requests:
            self._drained.set()

    def refuse_newcomers(self) -> None:
        """Raise `Draining` while nothing more is admitted."""
        if self._draining:
            raise Draining("The server is shutting down; send the request again elsewhere.")


class Reservation:
    """What one request holds, until it is closed."""

    __slots__ = (
        *("_admission", "_admitted", "_answer_bytes", "_body_bytes", "_free", "_later", "_tokens"),
        "account",
    )

    def __init__(self, admission: Admission, account: Account | None = None) -> None:
        self._admission = admission
        self.account = account
        self._admitted = False
        self._body_bytes = 0
        self._tokens = 0
        """That wait, are computed, or may be sent to wait."""
        self._free = 0
        """Of those, how many no part has taken yet."""
        self._later = 0
        """Tokens of the parts that have no room yet."""
        self._answer_bytes = 0

    @property
    def most_tokens(self) -> int:
        """That may wait at a time."""
        return self._admission.limits.queue_tokens

    @property
    def part_tokens(self) -> int:
        """Of one part of a request with more."""
        return max(1, self.most_tokens // _PARTS)

    def receive(self, count: int) -> None:
        """Hold `count` more bytes of a body.

        Raises:
            QueueFull: the bodies of all requests take more than is kept.
        """
        admission, most = self._admission, self._admission.limits.pending_body_bytes
        others, own = admission.body_bytes - self._body_bytes, self._body_bytes + count
        if not _fits(others, own, most, _SMALL_BYTES):
            raise QueueFull(
                "Too many large requests are being read; send the request again later.",
                full="body_bytes",
                retry_after_s=1,
            )
        admission.body_bytes += count
        self._body_bytes += count

    def admit(self, price: Price, wait: Wait = soon) -> None:
        """Hold what `price` says, in place of what was held before.

        Of more tokens than the queue holds that is a first part; `advance` is for the others.

        Raises:
            AnswerTooLarge: the answer alone is more than one request may ask for.
            TooManyTokens: so are the tokens.
            Draining: nothing is admitted any more.
            QueueFull: there is no room now; `wait` tells for how long.
        """
        admission, limits = self._admission, self._admission.limits
        price.require(limits)
        if not self._admitted:
            admission.refuse_newcomers()
        tokens = admission.tokens - self._tokens
        answer_bytes = admission.answer_bytes - self._answer_bytes
        own = price.tokens if price.tokens <= limits.queue_tokens else self.part_tokens
        # Who waits already is not to wait for ever while others come.
        ahead = admission.next_tokens if own > _SMALL_TOKENS else 0
        full: Full | None = None
        if not _fits(tokens + ahead, own, limits.queue_tokens, _SMALL_TOKENS):
            full = "tokens"
        elif not _fits(answer_bytes, price.answer_bytes, limits.pending_answer_bytes, _SMALL_BYTES):
            full = "answer_bytes"
        if full is not None:
            raise QueueFull(
                "Too much work is waiting; send the request again later.",
                full=full,
                retry_after_s=wait(tokens),
            )
        if self.account is not None:
            self.account.hold(price.tokens - self._tokens - self._later)
        if not self._admitted:
            self._admitted = True
            admission.requests += 1
        admission.tokens = tokens + own
        admission.answer_bytes = answer_bytes + price.answer_bytes
        self._tokens, self._answer_bytes = own, price.answer_bytes
        self._free, self._later = own, price.tokens - own

    async def advance(self, tokens: int) -> None:
        """Take so many of the tokens that are held, and wait for room for those that are not."""
        if tokens > self._free:
            await self._admission.room(self, tokens - self._free)
        self._free -= tokens

    def fits_beside(self, tokens: int) -> bool:
        """Whether there is room for so many more tokens beside those of all others."""
        admission = self._admission
        others, own = admission.tokens - self._tokens, self._tokens + tokens
        return _fits(others, own, admission.limits.queue_tokens, _SMALL_TOKENS)

    def grow(self, tokens: int) -> None:
        """Hold so many more of the tokens that were still to come."""
        self._admission.tokens += tokens
        self._tokens += tokens
        self._free += tokens
        self._later -= tokens

    def computed(self, tokens: int) -> None:
        """Give back tokens that wait no more."""
        tokens = min(tokens, self._tokens)
        self._tokens -= tokens
        self._admission.tokens -= tokens
        if self.account is not None:
            self.account.release(tokens, computed=True)
        if self._admission.next_tokens:
            self._admission.give_room()

    def close(self) -> None:
        """Give everything back; a second time changes nothing."""
        admission = self._admission
        admission.body_bytes -= self._body_bytes
        admission.tokens -= self._tokens
        admission.answer_bytes -= self._answer_bytes
        if self.account is not None:
            self.account.release(self._tokens + self._later, computed=False)
        self._body_bytes = self._tokens = self._answer_bytes = self._free = self._later = 0
        admission.give_room()
        if self._admitted:
            self._admitted = False
            admission.requests -= 1
            admission.note()
