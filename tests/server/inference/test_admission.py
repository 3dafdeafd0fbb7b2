"""What is taken on: all of a request or nothing, never more than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.errors import AnswerTooLarge, ClozeError, Draining, QueueFull, TooManyTokens
from server.inference.admission import Admission, Reservation
from server.inference.tasks.task import Price
from server.settings import Limits

LIMITS = Limits(
    queue_tokens=100,
    max_request_tokens=100,
    max_answer_bytes=600,
    pending_answer_bytes=1000,
    max_body_bytes=50,
    pending_body_bytes=70,
)


def price(tokens: int, answer_bytes: int = 0) -> Price:
    return Price(0, tokens, answer_bytes)


def held(admission: Admission) -> tuple[int, int, int, int]:
    """Tokens, answer bytes, body bytes and requests."""
    return (admission.tokens, admission.answer_bytes, admission.body_bytes, admission.requests)


@pytest.fixture
def admission() -> Admission:
    return Admission(LIMITS)


def admitted(admission: Admission, own: Price) -> Reservation:
    reservation = admission.open()
    reservation.admit(own)
    return reservation


def test_an_open_reservation_holds_nothing(admission: Admission) -> None:
    admission.open()
    assert held(admission) == (0, 0, 0, 0)


def test_what_is_admitted_is_held_until_it_is_closed(admission: Admission) -> None:
    one, other = admitted(admission, price(40, 500)), admitted(admission, price(60, 300))
    assert held(admission) == (100, 800, 0, 2)
    one.close()
    assert held(admission) == (60, 300, 0, 1)
    other.close()
    assert held(admission) == (0, 0, 0, 0)


def test_closing_again_changes_nothing(admission: Admission) -> None:
    closed, other = admitted(admission, price(40, 500)), admitted(admission, price(60, 300))
    for _ in range(3):
        closed.close()
        assert held(admission) == (60, 300, 0, 1)
    other.close()
    closed.close()
    assert held(admission) == (0, 0, 0, 0)


@pytest.mark.parametrize("refused", [price(61, 100), price(10, 501), price(100, 600)])
def test_what_does_not_fit_beside_others_changes_nothing(
    admission: Admission, refused: Price
) -> None:
    admitted(admission, price(40, 500))
    reservation = admission.open()
    with pytest.raises(QueueFull):
        reservation.admit(refused)
    assert held(admission) == (40, 500, 0, 1)
    reservation.close()
    assert held(admission) == (40, 500, 0, 1)
    admitted(admission, price(60, 500))  # what just fits


@pytest.mark.parametrize(
    ("own", "error", "found", "limit"),
    [
        (price(101), TooManyTokens, "101", "100"),
        (price(1, 601), AnswerTooLarge, "601", "600"),
    ],
)
def test_what_no_request_may_take_is_refused_for_good_even_by_an_idle_server(
    admission: Admission, own: Price, error: type[ClozeError], found: str, limit: str
) -> None:
    with pytest.raises(error) as refused:
        admission.open().admit(own)
    assert (refused.value.status, refused.value.param) == (422, "inputs")
    assert refused.value.retry_after_s is None  # waiting would not help
    assert found in refused.value.message
    assert limit in refused.value.message
    assert held(admission) == (0, 0, 0, 0)


def test_what_no_request_may_take_is_not_told_to_come_back(admission: Admission) -> None:
    admitted(admission, price(100, 600))
    with pytest.raises(TooManyTokens):
        admission.open().admit(price(101))
    with pytest.raises(AnswerTooLarge):
        admission.open().admit(price(1, 601))


def test_a_request_that_may_come_back_is_told_when(admission: Admission) -> None:
    admitted(admission, price(70))
    ahead: list[int] = []

    def wait(tokens: int) -> float:
        ahead.append(tokens)
        return 7.5

    with pytest.raises(QueueFull) as full:
        admission.open().admit(price(40), wait)
    assert (full.value.status, full.value.retry_after_s) == (429, 7.5)
    assert ahead == [70]
    with pytest.raises(QueueFull) as full:
        admission.open().admit(price(40))
    assert full.value.retry_after_s == 1


@pytest.mark.parametrize("exact", [price(10, 50), price(70, 600), price(30, 400)])
def test_an_exact_price_takes_the_place_of_an_estimate(admission: Admission, exact: Price) -> None:
    admitted(admission, price(30, 400))
    reservation = admitted(admission, price(60, 400))
    reservation.admit(exact)
    assert held(admission) == (30 + exact.tokens, 400 + exact.answer_bytes, 0, 2)
    reservation.close()
    assert held(admission) == (30, 400, 0, 1)


def test_an_exact_price_that_does_not_fit_leaves_the_estimate_until_the_end(
    admission: Admission,
) -> None:
    admitted(admission, price(30, 400))
    reservation = admitted(admission, price(60, 400))
    for exact, error in (
        (price(71, 0), QueueFull),
        (price(0, 601), AnswerTooLarge),
        (price(101, 0), TooManyTokens),
    ):
        with pytest.raises(error):
            reservation.admit(exact)
        assert held(admission) == (90, 800, 0, 2)
    reservation.close()
    assert held(admission) == (30, 400, 0, 1)


def test_a_request_does_not_wait_for_itself(admission: Admission) -> None:
    reservation = admitted(admission, price(100, 600))
    reservation.admit(price(99, 600))
    assert held(admission) == (99, 600, 0, 1)


def test_computed_tokens_make_room_before_the_answer_is_sent(admission: Admission) -> None:
    reservation = admitted(admission, price(100, 500))
    reservation.computed(70)
    assert held(admission) == (30, 500, 0, 1)
    admitted(admission, price(70))
    reservation.computed(30)
    assert held(admission) == (70, 500, 0, 2)
    reservation.close()
    assert held(admission) == (70, 0, 0, 1)


def test_no_more_tokens_are_given_back_than_are_held(admission: Admission) -> None:
    admitted(admission, price(20))
    reservation = admitted(admission, price(30))
    reservation.computed(999)
    assert admission.tokens == 20
    reservation.close()
    reservation.computed(10)  # a batch that ends after its client left
    assert held(admission) == (20, 0, 0, 1)


def test_bodies_are_counted_as_they_come_and_until_the_end(admission: Admission) -> None:
    one, other = admission.open(), admission.open()
    one.receive(40)
    other.receive(20)
    with pytest.raises(QueueFull) as full:
        other.receive(11)
    assert full.value.retry_after_s is not None
    assert held(admission) == (0, 0, 60, 0)
    other.receive(10)
    one.admit(price(5))
    assert held(admission) == (5, 0, 70, 1)
    one.close()
    assert held(admission) == (0, 0, 30, 0)
    other.close()
    assert held(admission) == (0, 0, 0, 0)


# --- drain ----------------------------------------------------------------------------------------


def test_a_drain_waits_for_those_admitted_and_refuses_newcomers(admission: Admission) -> None:
    async def work() -> None:
        early, reading = admitted(admission, price(40, 500)), admission.open()
        reading.receive(30)  # not admitted yet
        drained = asyncio.create_task(admission.drain())
        await asyncio.sleep(0)
        for newcomer in (admission.open(), reading):
            with pytest.raises(Draining) as error:
                newcomer.admit(price(1))
            assert error.value.status == 503
            newcomer.close()
        assert held(admission) == (40, 500, 0, 1)
        with pytest.raises(Draining):
            admission.refuse_newcomers()
        early.admit(price(90, 600))  # its exact price
        assert held(admission) == (90, 600, 0, 1)
        early.computed(90)
        await asyncio.sleep(0.01)
        assert not drained.done()  # its answer has not been sent
        early.close()
        await asyncio.wait_for(drained, 1)

    asyncio.run(work())


def test_draining_an_idle_server_returns_at_once(admission: Admission) -> None:
    async def work() -> None:
        admission.open()  # asks for nothing
        admission.refuse_newcomers()
        await asyncio.wait_for(admission.drain(), 1)

    asyncio.run(work())


def test_two_drains_at_once_both_return(admission: Admission) -> None:
    async def work() -> None:
        requests = [admitted(admission, price(10)) for _ in range(3)]
        drains = [asyncio.create_task(admission.drain()) for _ in range(2)]
        for request in requests:
            await asyncio.sleep(0)
            assert not any(drain.done() for drain in drains)
            request.close()
        await asyncio.wait_for(asyncio.gather(*drains), 1)

    asyncio.run(work())


# --- room for small requests ----------------------------------------------------------------------


def body(size: int) -> Callable[[Reservation], None]:
    return lambda reservation: reservation.receive(size)


def asks(tokens: int, answer_bytes: int) -> Callable[[Reservation], None]:
    return lambda reservation: reservation.admit(price(tokens, answer_bytes))


@pytest.mark.parametrize(
    ("large", "small"),
    [
        (asks(9000, 0), asks(256, 0)),
        (asks(0, 1_200_000), asks(0, 65_536)),
        (body(1_200_000), body(65_536)),
    ],
    ids=["tokens", "answers", "bodies"],
)
def test_large_requests_leave_room_to_small_ones(
    large: Callable[[Reservation], None], small: Callable[[Reservation], None]
) -> None:
    most = 12_000_000
    admission = Admission(
        Limits(
            queue_tokens=90_000,
            max_answer_bytes=most,
            pending_answer_bytes=most,
            max_body_bytes=most,
            pending_body_bytes=most,
        )
    )

    def taken(ask: Callable[[Reservation], None]) -> int:
        count = 0
        while refusal(lambda: ask(admission.open())) is None:
            count += 1
        return count

    assert taken(large) == 8  # of ten, which would fill all room
    assert taken(small) > 20
    assert taken(large) == 0


def test_one_that_fills_all_room_by_itself_is_taken_when_nothing_is_held() -> None:
    admission = Admission(LIMITS)
    admitted(admission, price(100, 600)).receive(50)
    assert held(admission) == (100, 600, 50, 1)


# --- any sequence of operations -------------------------------------------------------------------


def refusal(work: Callable[[], None]) -> type[ClozeError] | None:
    """The kind of error that `work` ends with."""
    try:
        work()
    except ClozeError as error:
        return type(error)
    return None


@dataclass
class Expected:
    """What one reservation should hold."""

    reservation: Reservation
    body_bytes: int = 0
    price: Price = field(default_factory=lambda: price(0))
    admitted: bool = False
    closed: bool = False


class Reservations(RuleBasedStateMachine):
    """Random requests against sums kept beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission(LIMITS)
        self.requests: list[Expected] = []

    def pick(self, data: st.DataObject) -> Expected:
        return data.draw(st.sampled_from([one for one in self.requests if not one.closed]))

    def others(self, one: Expected) -> tuple[int, int, int]:
        rest = [other for other in self.requests if other is not one]
        return (
            sum(other.price.tokens for other in rest),
            sum(other.price.answer_bytes for other in rest),
            sum(other.body_bytes for other in rest),
        )

    def some_open(self) -> bool:
        return any(not one.closed for one in self.requests)

    @rule()
    def open(self) -> None:
        self.requests.append(Expected(self.admission.open()))

    @precondition(some_open)
    @rule(data=st.data(), count=st.integers(0, 80))
    def receive(self, data: st.DataObject, count: int) -> None:
        one = self.pick(data)
        fits = self.others(one)[2] + one.body_bytes + count <= LIMITS.pending_body_bytes
        expected = None if fits else QueueFull
        assert refusal(lambda: one.reservation.receive(count)) is expected
        one.body_bytes += count * fits

    @precondition(some_open)
    @rule(data=st.data(), tokens=st.integers(0, 110), answer_bytes=st.integers(0, 650))
    def admit(self, data: st.DataObject, tokens: int, answer_bytes: int) -> None:
        one = self.pick(data)
        tokens_held, bytes_held, _ = self.others(one)
        own = price(tokens, answer_bytes)
        expected: type[ClozeError] | None = None
        if tokens_held + tokens > 100 or bytes_held + answer_bytes > 1000:
            expected = QueueFull
        if tokens > 100:
            expected = TooManyTokens
        if answer_bytes > 600:
            expected = AnswerTooLarge
        assert refusal(lambda: one.reservation.admit(own)) is expected
        if expected is None:
            one.price, one.admitted = own, True

    @precondition(some_open)
    @rule(data=st.data(), tokens=st.integers(0, 110))
    def compute(self, data: st.DataObject, tokens: int) -> None:
        one = self.pick(data)
        one.reservation.computed(tokens)
        one.price = price(max(0, one.price.tokens - tokens), one.price.answer_bytes)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.requests))  # some of them twice
        one.reservation.close()
        one.body_bytes, one.price, one.admitted, one.closed = 0, price(0), False, True

    @invariant()
    def sums_hold(self) -> None:
        assert held(self.admission) == (
            sum(one.price.tokens for one in self.requests),
            sum(one.price.answer_bytes for one in self.requests),
            sum(one.body_bytes for one in self.requests),
            sum(one.admitted for one in self.requests),
        )

    @invariant()
    def bounds_hold(self) -> None:
        tokens, answer_bytes, body_bytes, requests = held(self.admission)
        assert 0 <= tokens <= LIMITS.queue_tokens
        assert 0 <= answer_bytes <= LIMITS.pending_answer_bytes
        assert 0 <= body_bytes <= LIMITS.pending_body_bytes
        assert 0 <= requests <= len(self.requests)

    def teardown(self) -> None:
        for one in self.requests:
            one.reservation.close()
        assert held(self.admission) == (0, 0, 0, 0)


TestReservations = Reservations.TestCase
