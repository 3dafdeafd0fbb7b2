"""Which items run together, and in what order: fair, bounded, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.inference.runtime.packing import Item, MaskScores
from server.inference.scheduling.cost import CostModel, by_operations
from server.inference.scheduling.queue import (
    CANDIDATES,
    MAX_AGE_S,
    Entry,
    Flow,
    ItemQueue,
    Ticket,
)
from tests.server.inference.samples import pooled

COST = by_operations(384)
BUDGET = 512
FOREVER = float("inf")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for the tickets' futures; it never runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def request(loop: asyncio.AbstractEventLoop, *lengths: int, masked: bool = False) -> Ticket:
    items = [pooled(length) for length in lengths]
    if masked:
        items = [Item(item.encoding, MaskScores((1,), 5)) for item in items]
    return Ticket(items, FOREVER, loop)


def lengths_of(entries: list[Entry]) -> list[int]:
    return [entry.tokens for entry in entries]


def take(queue: ItemQueue, budget: int, now: float) -> list[Entry]:
    return queue.take(queue.first(now), budget)


def test_a_single_text_that_comes_after_a_list_of_500_is_in_the_next_batch(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = ItemQueue(COST, BUDGET)
    many, single = request(loop, *[20] * 500), request(loop, 20)
    queue.add(many, 0)
    for _ in range(3):
        assert {entry.ticket for entry in take(queue, BUDGET, 0)} == {many}
    queue.add(single, 0)
    assert [entry.ticket for entry in take(queue, BUDGET, 0)] == [single]  # and waits for no more


def in_rounds(loop: asyncio.AbstractEventLoop, flow: Flow, *lengths: int) -> Ticket:
    return Ticket([pooled(length) for length in lengths], FOREVER, loop, flow=flow)


def test_a_request_goes_on_in_its_next_round_where_its_last_one_ended(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue, flow = ItemQueue(COST, BUDGET), Flow(100)
    queue.add(in_rounds(loop, flow, 20, 20), 0)
    assert lengths_of(take(queue, BUDGET, 0)) == [20, 20]
    queue.add(in_rounds(loop, flow, 30), 0)
    others = [request(loop, 19), request(loop, 21)]
    for other in others:
        queue.add(other, 0)
    order = [take(queue, 1, 0)[0].tokens for _ in range(3)]
    assert order == [19, 21, 30]  # others came later, and were given nothing yet
    queue.add(in_rounds(loop, flow, 7), 0)
    queue.add(request(loop, 8), 0)
    assert take(queue, 1, 0)[0].tokens == 8


def test_a_request_that_waited_between_rounds_saves_nothing_up(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue, flow = ItemQueue(COST, BUDGET), Flow(40)
    queue.add(in_rounds(loop, flow, 20), 0)
    take(queue, BUDGET, 0)
    many = request(loop, *[10] * 9)
    queue.add(many, 0)
    for _ in range(7):
        take(queue, 1, 0)
    queue.add(in_rounds(loop, flow, 20), 0)
    order = [take(queue, 1, 0)[0].tokens for _ in range(3)]
    assert order == [20, 10, 10]  # from now on, as a new request, and not before what was served


@pytest.mark.parametrize(("tokens", "bulk"), [(BUDGET, False), (BUDGET + 1, True)])
def test_all_rounds_of_a_request_tell_its_class(
    loop: asyncio.AbstractEventLoop, tokens: int, bulk: bool
) -> None:
    queue, flow = ItemQueue(COST, BUDGET), Flow(tokens)
    for _ in range(2):
        queue.add(in_rounds(loop, flow, 9), 0)
        assert bool(queue.bulk.entries) is bulk
        assert bool(queue.small.entries) is not bulk
        take(queue, BUDGET, 0)


def test_small_requests_share_a_batch_while_a_list_waits(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    many, singles = request(loop, *[20] * 500), [request(loop, 20) for _ in range(9)]
    for ticket in (many, *singles):
        queue.add(ticket, 0)
    assert [entry.ticket for entry in take(queue, BUDGET, 0)] == singles
    assert len(take(queue, BUDGET, 0)) == BUDGET // 20


def test_a_worker_for_small_requests_passes_bulk_work_over(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    many, single = request(loop, *[20] * 500), request(loop, 20)
    queue.add(many, 0)
    queue.add(single, MAX_AGE_S)
    assert queue.first(9, bulk=False).ticket is single
    assert queue.first(9).ticket is many  # the oldest


@pytest.mark.parametrize(("short", "long"), [(8, 200), (20, 500), (100, 129)])
def test_small_requests_and_bulk_work_take_turns_by_tokens(
    loop: asyncio.AbstractEventLoop, short: int, long: int
) -> None:
    queue = ItemQueue(COST, BUDGET // 4)
    for _ in range(800):
        queue.add(request(loop, short), 0)
        queue.add(request(loop, long), 0)
    given = {"small": 0, "bulk": 0}
    for _ in range(20):
        batch = take(queue, BUDGET, 0)
        kind = "small" if batch[0].priority is queue.small else "bulk"
        given[kind] += sum(lengths_of(batch))
        assert abs(given["small"] - given["bulk"]) <= BUDGET + BUDGET // 4


def test_who_had_nothing_to_do_for_long_gets_no_more_than_its_turn(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = ItemQueue(COST, BUDGET // 4)
    for _ in range(100):  # of one class alone
        queue.add(request(loop, 500), 0)
        take(queue, BUDGET, 0)
    for _ in range(400):
        queue.add(request(loop, 20), 0)
        queue.add(request(loop, 500), 0)
    batches = [take(queue, BUDGET, 0)[0].priority is queue.small for _ in range(6)]
    assert batches[0]
    assert 2 <= sum(batches) <= 4


def test_a_list_that_is_old_leads_every_other_batch(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    many = request(loop, *[200] * 20)
    queue.add(many, 0)
    take(queue, BUDGET, 0)
    led = []
    for _ in range(8):
        queue.add(request(loop, 5), 9)
        led.append(take(queue, 200, 9)[0].ticket is many)
    assert led == [True, False] * 4


def test_lists_that_wait_together_share_every_batch(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    one, other = request(loop, *[16] * 200), request(loop, *[16] * 200)
    queue.add(one, 0)
    queue.add(other, 0)
    served = [sum(entry.ticket is one for entry in take(queue, BUDGET, 0)) for _ in range(8)]
    assert all(15 <= count <= 17 for count in served)  # of 32 in a batch


def test_a_later_list_is_ahead_by_one_batch_at_most(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    earlier, later = request(loop, *[16] * 400), request(loop, *[16] * 400)
    queue.add(earlier, 0)
    for _ in range(5):
        take(queue, BUDGET, 0)
    queue.add(later, 0)
    counts = [sum(entry.ticket is later for entry in take(queue, BUDGET, 0)) for _ in range(5)]
    assert all(15 <= count <= 17 for count in counts[1:])  # of 32 in a batch


def test_items_of_one_request_leave_in_their_order(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    queue.add(request(loop, *[30] * 90), 0)
    indices = [entry.index for _ in range(6) for entry in take(queue, BUDGET, 0)]
    assert indices == list(range(len(indices)))


def test_an_item_kept_too_long_goes_first(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    list_of_long = request(loop, 300, 300, 300)
    queue.add(list_of_long, 0)
    take(queue, 300, 0)
    for _ in range(20):
        queue.add(request(loop, 5), 0.1)
    # The second long text's tag is 300 tokens on; everybody's short ones come first...
    assert lengths_of(take(queue, 25, MAX_AGE_S)) == [5] * 5
    # ...until it has waited for longer than that.
    assert lengths_of(take(queue, 25, MAX_AGE_S + 0.01))[0] == 300


def test_nothing_waits_for_ever_while_new_requests_keep_coming(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = ItemQueue(COST, BUDGET)
    victim = request(loop, 400, 400, 400, 400)
    queue.add(victim, 0)
    now, waiting = 0.0, 4
    while waiting and now < 10:
        for _ in range(10):
            queue.add(request(loop, 10), now)
        waiting -= sum(entry.ticket is victim for entry in take(queue, 60, now))
        now += 0.01
    assert now < MAX_AGE_S + 0.1


def test_a_batch_keeps_to_its_budget(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    queue.add(request(loop, *[37] * 40), 0)
    while len(queue):
        assert sum(lengths_of(take(queue, 150, 0))) <= 150


def test_an_item_beyond_the_budget_runs_alone(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    queue.add(request(loop, 300, 5), 0)
    assert lengths_of(take(queue, 64, 0)) == [300]
    assert lengths_of(take(queue, 64, 0)) == [5]


def test_similar_lengths_share_a_batch(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    for length in (20, 22, 25, 19, 28):
        queue.add(request(loop, length), 0)
    assert sorted(lengths_of(take(queue, BUDGET, 0))) == [19, 20, 22, 25, 28]


def test_a_long_text_does_not_join_a_short_one_that_would_wait_for_it(
    loop: asyncio.AbstractEventLoop,
) -> None:
    free = CostModel(run=1000, token=1, area=0, vocabulary=0)
    for long, joins in ((1001, True), (1100, False)):  # beside the 1020 that 20 tokens cost
        queue = ItemQueue(free, bulk_tokens=2000)
        for length in (20, long):
            queue.add(request(loop, length), 0)
        assert (long in lengths_of(take(queue, 5000, 0))) == joins


def test_padding_is_worth_what_a_run_costs(loop: asyncio.AbstractEventLoop) -> None:
    for run, together in ((100, 1), (100_000, 2)):
        queue = ItemQueue(CostModel(run=run, token=1, area=0.01, vocabulary=0), BUDGET)
        for length in (90, 20):
            queue.add(request(loop, length), 0)
        assert len(take(queue, BUDGET, 0)) == together


def test_a_mask_does_not_bring_the_vocabulary_into_a_batch_without(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = ItemQueue(COST, BUDGET)
    for masked in (False, True, False, True, False):
        queue.add(request(loop, 20, masked=masked), 0)
    assert [entry.masked for entry in take(queue, BUDGET, 0)] == [False] * 3
    for masked in (False, False):
        queue.add(request(loop, 20, masked=masked), 0)
    # Once it is read, whoever comes along costs no more than elsewhere.
    assert [entry.masked for entry in take(queue, BUDGET, 0)] == [True, True, False, False]


def test_masks_share_a_batch_with_masks_before_others(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    for masked in (True, False, False, True, False, True):
        queue.add(request(loop, 20, masked=masked), 0)
    taken = take(queue, 4 * 20, 0)
    assert [(entry.masked, entry.number) for entry in taken] == [
        (True, 0), (True, 3), (True, 5), (False, 1),
    ]  # fmt: skip
    assert [entry.number for entry in take(queue, BUDGET, 0)] == [2, 4]


def test_a_short_text_does_not_join_a_long_one(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    for length in (480, 5):
        queue.add(request(loop, length), 0)
    assert lengths_of(take(queue, BUDGET, 0)) == [480]
    assert lengths_of(take(queue, BUDGET, 0)) == [5]


def test_a_long_text_does_not_join_several_short_ones(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    for length in (10, 11, 450, 12, 13):
        queue.add(request(loop, length), 0)
    assert lengths_of(take(queue, 470, 0)) == [10, 11, 12, 13]


def test_those_who_are_passed_over_keep_their_turn(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    for length in (10, 11, 450, 12, 13):
        queue.add(request(loop, length), 0)
    assert 450 not in lengths_of(take(queue, 470, 0))
    queue.add(request(loop, 10), 0)
    assert lengths_of(take(queue, BUDGET, 0)) == [450]


def test_no_more_than_the_candidates_are_looked_at(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    queue.add(request(loop, *[3] * 400), 0)
    assert len(take(queue, 100_000, 0)) == CANDIDATES


def test_removal_takes_out_what_waits_of_one_request_and_nothing_else(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = ItemQueue(COST, BUDGET)
    leaver, other = request(loop, *[20] * 30), request(loop, *[20] * 30)
    queue.add(leaver, 0)
    queue.add(other, 0)
    gone = sum(entry.ticket is leaver for entry in take(queue, 200, 0))
    assert queue.remove(leaver) == 30 - gone
    assert queue.remove(leaver) == 0
    assert len(queue) == 30 - (10 - gone)
    while len(queue):
        # Late enough for the age cap too: it must not bring back what was removed.
        assert {entry.ticket for entry in take(queue, 200, 9)} == {other}


def test_removal_reaches_the_end_of_a_long_queue(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    other, leaver = request(loop, *[3] * 400), request(loop, *[20] * 400)
    queue.add(other, 0)
    queue.add(leaver, 0)
    assert queue.remove(leaver) == 400
    assert (len(queue), queue.tokens) == (400, 1200)


def test_tokens_are_counted_while_they_wait(loop: asyncio.AbstractEventLoop) -> None:
    queue = ItemQueue(COST, BUDGET)
    first, second = request(loop, 7, 9), request(loop, 11)
    queue.add(first, 0)
    queue.add(second, 0)
    assert (queue.tokens, len(queue)) == (27, 3)
    queue.remove(first)
    assert (queue.tokens, len(queue)) == (11, 1)
    take(queue, BUDGET, 0)
    assert (queue.tokens, len(queue)) == (0, 0)


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
    queue = ItemQueue(COST, BUDGET)
    tickets: list[Ticket] = []
    waiting: dict[tuple[int, int], int] = {}  # (ticket, index) -> tokens
    now = 0.0

    def take_one(budget: int) -> None:
        taken = take(queue, budget, now)
        assert taken
        assert len({entry.priority for entry in taken}) == 1
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
            take_one(numbers[0])
        elif step == "remove" and tickets:
            leaver = tickets[numbers[0] % len(tickets)]
            theirs = [key for key in waiting if key[0] == id(leaver)]
            assert queue.remove(leaver) == len(theirs)
            for key in theirs:
                del waiting[key]
        assert len(queue) == len(waiting)
        assert queue.tokens == sum(waiting.values())
    while waiting:
        take_one(BUDGET)
    assert (len(queue), queue.tokens) == (0, 0)


COSTS = st.builds(
    CostModel,
    run=st.floats(0, 5000),
    token=st.floats(1, 500),
    area=st.floats(0.001, 1),
    vocabulary=st.floats(0, 5000),
)
SINGLES = st.lists(st.tuples(st.integers(3, 400), st.booleans()), min_size=1, max_size=40)


def price(cost: CostModel, entries: Sequence[Entry]) -> float:
    lengths = [entry.tokens for entry in entries]
    masked = any(entry.masked for entry in entries)
    return cost.cost(len(entries), max(lengths), sum(lengths), masked=masked)


@settings(max_examples=300, deadline=None)
@given(COSTS, SINGLES)
def test_a_batch_costs_no_more_than_its_items_apart_and_none_more_than_doubles_it(
    loop: asyncio.AbstractEventLoop, cost: CostModel, singles: list[tuple[int, bool]]
) -> None:
    queue = ItemQueue(cost, BUDGET)
    for length, masked in singles:
        queue.add(request(loop, length, masked=masked), 0)
    while len(queue):
        taken = take(queue, 5000, 0)
        apart = sum(price(cost, [entry]) for entry in taken)
        assert price(cost, taken) <= apart * (1 + 1e-9)
        for count in range(1, len(taken)):
            before, after = price(cost, taken[:count]), price(cost, taken[: count + 1])
            assert after <= 2 * before * (1 + 1e-9)


def test_a_batch_takes_no_more_than_a_run_may_whatever_it_saves(
    loop: asyncio.AbstractEventLoop,
) -> None:
    shapes: list[tuple[int, int, int]] = []

    def allows(texts: int, longest: int, tokens: int, _masks: int) -> bool:
        shapes.append((texts, longest, tokens))
        return texts * longest**2 <= 3 * 90**2

    saves = CostModel(run=1e9, token=1, area=0.01, vocabulary=0)
    queue = ItemQueue(saves, 2000, allows)
    queue.add(request(loop, 70, 90, 5, 5, 300), 0)
    assert lengths_of(take(queue, BUDGET, 0)) == [70, 90, 5]
    # A short text is looked at when the batch is full, too; the last would be too long by itself.
    assert shapes == [(2, 90, 160), (3, 90, 165), (4, 90, 170), (4, 300, 465)]
    assert lengths_of(take(queue, BUDGET, 0)) == [5]
    assert lengths_of(take(queue, BUDGET, 0)) == [300]  # alone it is the pipeline's to refuse


def test_a_batch_has_no_more_masks_than_a_run_may_have(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[int] = []

    def allows(_texts: int, _longest: int, _tokens: int, masks: int) -> bool:
        seen.append(masks)
        return masks <= 4

    saves = CostModel(run=1e9, token=1, area=0.01, vocabulary=0)
    queue = ItemQueue(saves, 2000, allows)
    items = [Item(pooled(9).encoding, MaskScores(tuple(range(n)), 5)) for n in (2, 3, 1, 1)]
    queue.add(Ticket([*items, pooled(9)], FOREVER, loop), 0)
    assert [entry.masks for entry in take(queue, BUDGET, 0)] == [2, 1, 1, 0]
    assert [entry.masks for entry in take(queue, BUDGET, 0)] == [3]
    assert seen == [5, 3, 4, 4]
