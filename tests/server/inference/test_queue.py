"""Which items run together, and in what order: fair, bounded, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.inference.batcher import Ticket
from server.inference.queue import CANDIDATES, MAX_AGE_S, CostModel, Entry, ItemQueue
from tests.server.inference.samples import pooled

COST = CostModel(hidden_size=384)
BUDGET = 512
FOREVER = float("inf")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for the tickets' futures; it never runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def request(loop: asyncio.AbstractEventLoop, *lengths: int) -> Ticket:
    return Ticket([pooled(length) for length in lengths], FOREVER, loop)


def lengths_of(entries: list[Entry]) -> list[int]:
    return [entry.tokens for entry in entries]


def test_a_single_text_that_comes_after_a_list_of_500_is_in_the_next_batch(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = ItemQueue(COST)
    many, single = request(loop, *[20] * 500), request(loop, 20)
    queue.add(many, 0)
    for _ in range(3):
        assert {entry.ticket for entry in queue.take(BUDGET, 0)} == {many}
    queue.add(single, 0)
    taken = queue.take(BUDGET, 0)
    assert single in [entry.ticket for entry in taken]
    assert len(taken) == BUDGET // 20  # and the list fills what is left


def test_lists_that_wait_together_share_every_batch(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    one, other = request(loop, *[16] * 200), request(loop, *[16] * 200)
    queue.add(one, 0)
    queue.add(other, 0)
    served = [sum(entry.ticket is one for entry in queue.take(BUDGET, 0)) for _ in range(8)]
    assert all(15 <= count <= 17 for count in served)  # of 32 in a batch


def test_a_later_list_is_ahead_by_one_batch_at_most(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    earlier, later = request(loop, *[16] * 400), request(loop, *[16] * 400)
    queue.add(earlier, 0)
    for _ in range(5):
        queue.take(BUDGET, 0)
    queue.add(later, 0)
    counts = [sum(entry.ticket is later for entry in queue.take(BUDGET, 0)) for _ in range(5)]
    assert all(15 <= count <= 17 for count in counts[1:])  # of 32 in a batch


def test_items_of_one_request_leave_in_their_order(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    queue.add(request(loop, *[30] * 90), 0)
    indices = [entry.index for _ in range(6) for entry in queue.take(BUDGET, 0)]
    assert indices == list(range(len(indices)))


def test_an_item_kept_too_long_goes_first(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    list_of_long = request(loop, 300, 300, 300)
    queue.add(list_of_long, 0)
    queue.take(300, 0)
    for _ in range(20):
        queue.add(request(loop, 5), 0.1)
    # The second long text's tag is 300 tokens on; everybody's short ones come first...
    assert lengths_of(queue.take(25, MAX_AGE_S)) == [5] * 5
    # ...until it has waited for longer than that.
    assert lengths_of(queue.take(25, MAX_AGE_S + 0.01))[0] == 300


def test_nothing_waits_for_ever_while_new_requests_keep_coming(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = ItemQueue(COST)
    victim = request(loop, 400, 400, 400, 400)
    queue.add(victim, 0)
    now, waiting = 0.0, 4
    while waiting and now < 10:
        for _ in range(10):
            queue.add(request(loop, 10), now)
        waiting -= sum(entry.ticket is victim for entry in queue.take(60, now))
        now += 0.01
    assert now < MAX_AGE_S + 0.1


def test_a_batch_keeps_to_its_budget(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    queue.add(request(loop, *[37] * 40), 0)
    while len(queue):
        assert sum(lengths_of(queue.take(150, 0))) <= 150


def test_an_item_beyond_the_budget_runs_alone(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    queue.add(request(loop, 300, 5), 0)
    assert lengths_of(queue.take(64, 0)) == [300]
    assert lengths_of(queue.take(64, 0)) == [5]


def test_similar_lengths_share_a_batch(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    for length in (20, 22, 25, 19, 28):
        queue.add(request(loop, length), 0)
    assert sorted(lengths_of(queue.take(BUDGET, 0))) == [19, 20, 22, 25, 28]


def test_a_short_text_does_not_join_a_long_one(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    for length in (480, 5):
        queue.add(request(loop, length), 0)
    assert lengths_of(queue.take(BUDGET, 0)) == [480]
    assert lengths_of(queue.take(BUDGET, 0)) == [5]


def test_a_long_text_does_not_join_several_short_ones(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    for length in (10, 11, 450, 12, 13):
        queue.add(request(loop, length), 0)
    assert lengths_of(queue.take(470, 0)) == [10, 11, 12, 13]


def test_those_who_are_passed_over_keep_their_turn(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    for length in (10, 11, 450, 12, 13):
        queue.add(request(loop, length), 0)
    assert 450 not in lengths_of(queue.take(470, 0))
    queue.add(request(loop, 10), 0)
    assert lengths_of(queue.take(BUDGET, 0)) == [450]


def test_no_more_than_the_candidates_are_looked_at(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    queue.add(request(loop, *[3] * 400), 0)
    assert len(queue.take(100_000, 0)) == CANDIDATES


def test_removal_takes_out_what_waits_of_one_request_and_nothing_else(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = ItemQueue(COST)
    leaver, other = request(loop, *[20] * 30), request(loop, *[20] * 30)
    queue.add(leaver, 0)
    queue.add(other, 0)
    gone = sum(entry.ticket is leaver for entry in queue.take(200, 0))
    assert queue.remove(leaver) == 30 - gone
    assert queue.remove(leaver) == 0
    assert len(queue) == 30 - (10 - gone)
    while len(queue):
        # Late enough for the age cap too: it must not bring back what was removed.
        assert {entry.ticket for entry in queue.take(200, 9)} == {other}


def test_removal_reaches_the_end_of_a_long_queue(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    other, leaver = request(loop, *[3] * 400), request(loop, *[20] * 400)
    queue.add(other, 0)
    queue.add(leaver, 0)
    assert queue.remove(leaver) == 400
    assert (len(queue), queue.tokens) == (400, 1200)


def test_tokens_are_counted_while_they_wait(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST)
    first, second = request(loop, 7, 9), request(loop, 11)
    queue.add(first, 0)
    queue.add(second, 0)
    assert (queue.tokens, len(queue)) == (27, 3)
    queue.remove(first)
    assert (queue.tokens, len(queue)) == (11, 1)
    queue.take(BUDGET, 0)
    assert (queue.tokens, len(queue)) == (0, 0)


def test_the_cost_of_attention_grows_with_the_padded_area() -> None:
    assert COST.cost(1, 384, 384) == 384 + 384 / 6
    assert COST.cost(4, 10, 31) == 31 + 4 * 100 / (6 * 384)


LENGTHS = st.lists(st.integers(3, 400), min_size=1, max_size=20)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), LENGTHS),
        st.tuples(st.just("take"), st.lists(st.integers(1, 900), min_size=1, max_size=1)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 30), min_size=1, max_size=1)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.floats(0, 0.4))
def test_nothing_is_lost_or_served_twice(
    loop: asyncio.AbstractEventLoop, steps: list[tuple[str, list[int]]], pace: float
) -> None:
    queue = ItemQueue(COST)
    tickets: list[Ticket] = []
    waiting: dict[tuple[int, int], int] = {}  # (ticket, index) -> tokens
    now = 0.0

    def take(budget: int) -> None:
        taken = queue.take(budget, now)
        assert taken
        assert len(taken) == 1 or sum(lengths_of(taken)) <= budget
        for entry in taken:
            assert waiting.pop((id(entry.ticket), entry.index)) == entry.tokens
            assert entry.item is entry.ticket.items[entry.index]

    for step, numbers in steps:
        now += pace
        if step == "add":
            tickets.append(request(loop, *numbers))
            queue.add(tickets[-1], now)
            waiting |= {(id(tickets[-1]), index): n for index, n in enumerate(numbers)}
        elif step == "take" and waiting:
            take(numbers[0])
        elif step == "remove" and tickets:
            leaver = tickets[numbers[0] % len(tickets)]
            theirs = [key for key in waiting if key[0] == id(leaver)]
            assert queue.remove(leaver) == len(theirs)
            for key in theirs:
                del waiting[key]
        assert len(queue) == len(waiting)
        assert queue.tokens == sum(waiting.values())
    while waiting:
        take(BUDGET)
    assert (len(queue), queue.tokens) == (0, 0)
