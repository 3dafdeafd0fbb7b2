"""A request of more tokens than the queue holds: in parts, in order, and in nobody's way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from server.errors import DeadlineExceeded, NonfiniteOutput, QueueFull, TooManyTokens
from server.inference.admission import Admission, Reservation
from server.inference.feeding import fed, parts
from server.inference.pipeline import Pipeline
from server.inference.runtime.packing import Encoding, Item, SentenceVector, results_as
from server.inference.scheduling.batcher import Completed
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.inference.tasks.fill_mask import FILL_MASK, FillMaskOptions
from server.inference.tasks.task import Price
from server.settings import Limits
from tests.server.inference.conftest import resources

QUEUE = 8000  # tokens; an eighth is a part
SOON = 30.0  # seconds


def item(tokens: int, mark: int = 7) -> Item:
    ids = np.full(tokens, mark)
    return Item(Encoding(ids, np.zeros_like(ids)), SentenceVector("mean"))


def sizes(split: Sequence[Sequence[Item]]) -> list[list[int]]:
    return [[len(one.encoding.ids) for one in part] for part in split]


@pytest.mark.parametrize(
    ("tokens", "size", "expected"),
    [
        ([3, 4, 5, 6], 7, [[3, 4], [5], [6]]),
        ([9, 1, 1], 7, [[9], [1, 1]]),
        ([1, 9, 1], 7, [[1], [9], [1]]),
        ([7, 7], 7, [[7], [7]]),
        ([], 7, []),
    ],
)
def test_parts_are_full_and_in_order(
    tokens: list[int], size: int, expected: list[list[int]]
) -> None:
    assert sizes(list(parts([item(each) for each in tokens], size, 10))) == expected


def test_what_can_never_wait_is_refused() -> None:
    with pytest.raises(TooManyTokens, match="of 11 tokens is longer than the 10"):
        list(parts([item(2), item(11)], 5, 10))


class Machine:
    """Computes a part when it is told to; stands for the batcher."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Sequence[Item], asyncio.Event]] = []
        self.most = 0
        self.fails: Exception | None = None
        self.cancelled = 0

    async def submit(
        self, items: Sequence[Item], _deadline: float, computed: Callable[[int], None]
    ) -> Completed:
        go = asyncio.Event()
        self.waiting.append((items, go))
        self.most = max(self.most, len(self.waiting))
        try:
            await go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting.remove((items, go))
        if self.fails is not None:
            raise self.fails
        for one in items:
            computed(len(one.encoding.ids))
        marks = [np.array([one.encoding.ids[0]], np.float32) for one in items]
        return Completed([*marks], len(marks), 0.25, 0.5)

    async def compute(self) -> None:
        """Ends the part that came first."""
        await settled()
        self.waiting[0][1].set()
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def admission() -> Admission:
    return Admission(Limits(queue_tokens=QUEUE, max_request_tokens=100_000))


def admitted(room: Admission, items: Sequence[Item]) -> Reservation:
    reservation = room.open()
    reservation.admit(Price(0, sum(len(one.encoding.ids) for one in items), 0))
    return reservation


def held(room: Admission) -> tuple[int, int]:
    return room.tokens, room.requests


def test_results_come_in_order_and_two_parts_wait_at_a_time() -> None:
    items = [item(300, mark) for mark in range(40)]

    async def work() -> None:
        machine, room = Machine(), admission()
        reservation = admitted(room, items)
        assert held(room) == (QUEUE // 8, 1)
        answer = asyncio.create_task(
            fed(machine.submit, items, time.monotonic() + SOON, reservation)
        )
        while not answer.done():
            assert room.tokens <= 2 * QUEUE // 8
            await machine.compute()
            await settled()
        done = answer.result()
        assert [int(mark[0]) for mark in results_as(np.ndarray, done.results)] == list(range(40))
        assert (machine.most, done.tokens, done.queue_s, done.compute_s) == (2, 40, 0.25, 0.5)
        assert held(room) == (0, 1)
        reservation.close()
        assert held(room) == (0, 0)

    asyncio.run(work())


def test_others_are_let_in_meanwhile_and_a_part_waits_for_room() -> None:
    items = [item(1000, mark) for mark in range(12)]

    async def work() -> None:
        machine, room = Machine(), admission()
        other = room.open()
        other.admit(Price(0, 5500, 0))
        reservation = admitted(room, items)
        answer = asyncio.create_task(
            fed(machine.submit, items, time.monotonic() + SOON, reservation)
        )
        await settled()
        # One part is there, the second has no room beside what is kept for small requests.
        assert (len(machine.waiting), room.tokens, room.next_tokens) == (1, 6500, 1000)
        small = room.open()
        small.admit(Price(0, 200, 0))
        # What would fit beside those that are there does not overtake who waits.
        with pytest.raises(QueueFull):
            room.open().admit(Price(0, 300, 0))
        other.close()
        await settled()
        assert (len(machine.waiting), room.next_tokens) == (2, 0)
        small.close()
        for _ in items:
            await machine.compute()
        assert len((await answer).results) == 12
        reservation.close()
        assert held(room) == (0, 0)

    asyncio.run(work())


def test_parts_wait_in_the_order_in_which_they_came() -> None:
    async def work() -> None:
        room = admission()
        blocking = room.open()
        blocking.admit(Price(0, 7000, 0))
        came: list[int] = []
        one, two = room.open(), room.open()
        blocking.computed(3000)
        one.admit(Price(0, 20_000, 0))
        two.admit(Price(0, 20_000, 0))

        async def take(reservation: Reservation, name: int) -> None:
            for _ in range(3):
                await reservation.advance(1000)
                came.append(name)

        tasks = [asyncio.create_task(take(one, 1)), asyncio.create_task(take(two, 2))]
        await settled()
        # Those that are held, and one for which there was room; the next one waits before 2's.
        assert came == [1, 1, 2]
        for reservation in (one, two, one):
            reservation.computed(1000)
            await settled()
        assert came == [1, 1, 2, 1, 2, 2]
        await asyncio.gather(*tasks)
        for reservation in (one, two, blocking):
            reservation.close()
        assert held(room) == (0, 0)

    asyncio.run(work())


@pytest.mark.parametrize("computed", [0, 1, 3])
def test_a_client_that_leaves_frees_the_rest(computed: int) -> None:
    items = [item(600, mark) for mark in range(50)]

    async def work() -> None:
        machine, room = Machine(), admission()
        reservation = admitted(room, items)
        answer = asyncio.create_task(
            fed(machine.submit, items, time.monotonic() + SOON, reservation)
        )
        await settled()
        for _ in range(computed):
            await machine.compute()
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        assert (machine.waiting, machine.cancelled) == ([], 2)
        reservation.close()
        assert (held(room), room.next_tokens) == ((0, 0), 0)

    asyncio.run(work())


def test_one_that_is_given_up_while_it_waits_lets_the_next_one_come() -> None:
    async def work() -> None:
        room = admission()
        one, two = room.open(), room.open()
        one.admit(Price(0, 6000, 0))
        two.admit(Price(0, 9000, 0))  # of which 1000 are held
        first = asyncio.create_task(two.advance(6000))
        await settled()
        three = room.open()
        three.admit(Price(0, 0, 0))
        second = asyncio.create_task(three.advance(200))
        await settled()
        assert room.next_tokens == 5000
        first.cancel()
        await second
        assert room.next_tokens == 0
        for reservation in (one, two, three):
            reservation.close()
        assert held(room) == (0, 0)

    asyncio.run(work())


@pytest.mark.parametrize("room_for_more", [True, False])
def test_a_deadline_ends_it_wherever_it_waits(room_for_more: bool) -> None:
    items = [item(1000, mark) for mark in range(9)]

    async def work() -> None:
        machine, room = Machine(), admission()
        other = room.open()
        other.admit(Price(0, 1000 if room_for_more else 6000, 0))
        reservation = admitted(room, items)
        with pytest.raises(DeadlineExceeded):
            await fed(machine.submit, items, time.monotonic() + 0.05, reservation)
        assert machine.waiting == []
        for each in (other, reservation):
            each.close()
        assert held(room) == (0, 0)

    asyncio.run(work())


def test_an_item_that_fails_ends_the_request_and_no_part_goes_on() -> None:
    items = [item(1000, mark) for mark in range(9)]

    async def work() -> None:
        machine, room = Machine(), admission()
        machine.fails = NonfiniteOutput("The model computed NaN.")
        reservation = admitted(room, items)
        answer = asyncio.create_task(
            fed(machine.submit, items, time.monotonic() + SOON, reservation)
        )
        await machine.compute()
        with pytest.raises(NonfiniteOutput):
            await answer
        assert machine.waiting == []
        reservation.close()
        assert held(room) == (0, 0)

    asyncio.run(work())


# --- with a model ---------------------------------------------------------------------------------


def test_a_list_larger_than_the_queue_is_answered_as_its_texts_alone(default_model: Path) -> None:
    texts = [f"river {number} runs through it" for number in range(60)]
    usual = Pipeline(default_model, resources(threads=1))
    narrow = Pipeline(default_model, resources(threads=1, queue_tokens=64))
    for pipeline in (usual, narrow):
        pipeline.start()

    async def work() -> None:
        whole = await usual.run(EMBED, texts, EmbedOptions())
        fed_in_parts = await narrow.run(EMBED, texts, EmbedOptions())
        assert whole.usage.tokens == fed_in_parts.usage.tokens > 400
        np.testing.assert_array_equal(whole.value, fed_in_parts.value)
        masks = ["a [MASK] of [MASK]"] * 30
        options = FillMaskOptions(top_k=2)
        one = await usual.run(FILL_MASK, masks, options)
        other = await narrow.run(FILL_MASK, masks, options)
        assert one.value == other.value
        assert held(narrow._resources.admission) == (0, 0)

    asyncio.run(work())
    for pipeline in (usual, narrow):
        pipeline.close()


def test_short_requests_are_answered_while_a_large_list_is_fed(default_model: Path) -> None:
    """Small requests are a class of their own: they wait for a part's batch, never for the list."""
    pipeline = Pipeline(default_model, resources(threads=1, queue_tokens=4096))
    pipeline.start()
    long = ["a list of many long texts " * 12] * 140  # nearly three times the queue

    async def work() -> None:
        deadline = time.monotonic() + 600
        began = time.monotonic()
        large = asyncio.create_task(pipeline.run(EMBED, long, EmbedOptions(), deadline=deadline))
        waits = []
        while not large.done():
            asked = time.monotonic()
            await pipeline.run(FILL_MASK, ["a [MASK]."], FillMaskOptions(), deadline=deadline)
            waits.append(time.monotonic() - asked)
            await asyncio.sleep(0.002)
        took = time.monotonic() - began
        assert (await large).usage.tokens > 2 * 4096
        assert len(waits) > 5
        # All but two, which a busy machine may hold up.
        assert sorted(waits)[-3] < took / 4

    asyncio.run(work())
    pipeline.close()
