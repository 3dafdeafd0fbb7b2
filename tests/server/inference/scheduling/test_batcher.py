"""Every admitted request is answered exactly once, whatever happens around it."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from server.errors import ClozeError, DeadlineExceeded, InternalError, NonfiniteOutput
from server.inference.runtime.packing import Item, MaskScores, Result
from server.inference.runtime.session import Session
from server.inference.scheduling.batcher import SMALLEST_BUDGET, Batcher, Completed
from server.inference.scheduling.cost import CostModel, by_operations
from tests.server.inference.samples import pooled

CLEAN = 1e-5  # largest difference of an answer from a clean run of the text alone
PATIENCE_S = 30.0  # after which a test that waits has failed


class Watched:
    """The real session; its batches are noted, can be held back, and can fail for some items."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.batches: list[list[Item]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.errors: dict[int, Exception] = {}
        self.most_items: int | None = None
        self.nan_for: set[int] = set()

    def __call__(self, items: Sequence[Item]) -> list[Result]:
        self.batches.append(list(items))
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        if self.most_items is not None and len(items) > self.most_items:
            raise MemoryError
        for item in items:
            if id(item) in self.errors:
                raise self.errors[id(item)]
        results = self._session.run(items)
        return [
            np.full(3, np.nan, np.float32) if id(item) in self.nan_for else result
            for item, result in zip(items, results, strict=True)
        ]

    @property
    def computed(self) -> list[int]:
        """Identities of the items that reached a run, once per time."""
        return [id(item) for batch in self.batches for item in batch]

    async def running(self) -> None:
        """Wait until a worker has entered a run."""
        entered = await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE_S)
        assert entered


Make = Callable[..., Batcher]


@pytest.fixture
def watched(cloze_session: Session) -> Watched:
    return Watched(cloze_session)


@pytest.fixture
def make(watched: Watched) -> Iterator[Make]:
    """`make(workers=2)`: a started batcher in front of `watched`; closed after the test."""
    made: list[Batcher] = []

    def make(
        *,
        workers: int = 1,
        batch_tokens: int = 512,
        cores: int | None = None,
        slots: threading.Semaphore | None = None,
        run_alone: Watched | None = None,
        run_bulk: Watched | None = None,
        cost: CostModel | None = None,
    ) -> Batcher:
        batcher = Batcher(
            watched,
            cost or by_operations(384),
            workers=workers,
            batch_tokens=batch_tokens,
            cores=cores,
            slots=slots,
            run_alone=run_alone,
            run_bulk=run_bulk,
        )
        batcher.start()
        made.append(batcher)
        return batcher

    yield make
    watched.gate.set()
    for batcher in made:
        batcher.close()
        for thread in batcher._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def texts(count: int, length: int = 6, seed: int = 0) -> list[Item]:
    return [pooled(length, seed=1000 * seed + number) for number in range(count)]


def scored(length: int) -> Item:
    return Item(pooled(length).encoding, MaskScores((1,), 5))


def soon() -> float:
    return time.monotonic() + PATIENCE_S


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; one that hangs is a failure."""
    asyncio.run(asyncio.wait_for(work, 2 * PATIENCE_S))


def same(found: Result, expected: Result) -> None:
    assert isinstance(found, np.ndarray)
    assert isinstance(expected, np.ndarray)
    np.testing.assert_allclose(found, expected, atol=CLEAN)


async def let_it_be_queued() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def submit_behind_a_held_run(
    batcher: Batcher, watched: Watched, *lists: list[Item], deadline: float | None = None
) -> tuple[asyncio.Task[Completed], list[asyncio.Task[Completed]]]:
    """Hold the worker in a run, then queue `lists`; the held task and theirs are returned."""
    watched.gate.clear()
    held = asyncio.create_task(batcher.submit(texts(1, seed=77), soon()))
    await watched.running()
    tasks = [asyncio.create_task(batcher.submit(items, deadline or soon())) for items in lists]
    await let_it_be_queued()
    return held, tasks


def test_each_of_many_concurrent_requests_is_answered_once_with_its_own_results(
    make: Make, watched: Watched, cloze_session: Session
) -> None:
    rng = np.random.default_rng(0)
    lists = [
        [pooled(int(rng.integers(3, 40)), seed=100 * n + k) for k in range(rng.integers(1, 5))]
        for n in range(120)
    ]

    async def work() -> None:
        batcher = make(workers=2)

        async def client(items: list[Item]) -> Completed:
            await asyncio.sleep(float(rng.random()) / 20)
            return await batcher.submit(items, soon())

        answers = await asyncio.gather(*(client(items) for items in lists))
        for items, answer in zip(lists, answers, strict=True):
            assert answer.tokens == sum(len(item.encoding) for item in items)
            for result, item in zip(answer.results, items, strict=True):
                same(result, cloze_session.run([item])[0])
        stats = batcher.stats()
        assert stats.items_total == sum(len(items) for items in lists)
        assert stats.tokens_total == sum(answer.tokens for answer in answers)
        assert stats.batches_total == len(watched.batches) < stats.items_total
        assert (stats.queued_items, stats.queued_tokens, stats.running_batches) == (0, 0, 0)

    run(work())
    assert sorted(watched.computed) == sorted(id(item) for items in lists for item in items)


def test_requests_of_one_turn_of_the_loop_share_a_batch(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make()
        await asyncio.gather(*(batcher.submit(texts(1, seed=n), soon()) for n in range(20)))

    run(work())
    assert [len(batch) for batch in watched.batches] == [20]


def test_a_lone_request_does_not_wait_for_company(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make()
        waits = [(await batcher.submit(texts(1), soon())).queue_s for _ in range(30)]
        assert sorted(waits)[15] < 0.005

    run(work())


def test_no_worker_is_idle_while_something_waits(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make(workers=2)
        held, tasks = await submit_behind_a_held_run(batcher, watched, texts(1))
        await watched.running()  # the other worker took it while the first was busy
        assert batcher.stats().running_batches == 2
        watched.gate.set()
        await asyncio.gather(held, *tasks)

    run(work())


def test_a_batch_that_has_the_machine_to_itself_is_run_as_such(
    make: Make, watched: Watched, cloze_session: Session
) -> None:
    lone = Watched(cloze_session)

    async def work() -> None:
        batcher = make(workers=2, run_alone=lone)
        for number in range(3):
            await batcher.submit(texts(1, seed=number), soon())
            await lone.running()
        assert (len(lone.batches), len(watched.batches)) == (3, 0)
        # Beside a run, and with others left waiting, it has not.
        lone.gate.clear()
        held = asyncio.create_task(batcher.submit(texts(1, seed=3), soon()))
        await lone.running()
        await batcher.submit(texts(1, seed=4), soon())
        assert (len(lone.batches), len(watched.batches)) == (4, 1)
        lone.gate.set()
        await held
        await batcher.submit(texts(40, length=30), soon())  # several batches; the last may be alone
        assert len(watched.batches) > 1
        assert sum(len(batch) for batch in lone.batches + watched.batches) == 45

    run(work())


def test_bulk_work_is_run_in_a_way_of_its_own(
    make: Make, watched: Watched, cloze_session: Session
) -> None:
    aside = Watched(cloze_session)

    async def work() -> None:
        batcher = make(workers=2, batch_tokens=128, run_bulk=aside)
        small, bulk = texts(2, length=8, seed=1), texts(12, length=16, seed=2)
        await asyncio.gather(batcher.submit(bulk, soon()), batcher.submit(small, soon()))
        assert sum(len(batch) for batch in aside.batches) == len(bulk)
        assert sum(len(batch) for batch in watched.batches) == len(small)

    run(work())


def test_while_all_cores_are_busy_only_much_work_is_begun(make: Make, watched: Watched) -> None:
    little, much = texts(2, length=20, seed=1), texts(4, length=20, seed=2)

    async def work() -> None:
        batcher = make(workers=2, cores=1)
        held, (first,) = await submit_behind_a_held_run(batcher, watched, little)
        await asyncio.sleep(0.1)
        assert batcher.stats().running_batches == 1
        second = asyncio.create_task(batcher.submit(much, soon()))
        await watched.running()
        assert len(watched.batches[-1]) == 6  # what waited goes along
        watched.gate.set()
        await asyncio.gather(held, first, second)

    run(work())


@pytest.mark.parametrize("masked", [False, True])
def test_how_much_is_worth_a_run_beside_busy_cores_depends_on_what_runs_cost(
    make: Make, watched: Watched, masked: bool
) -> None:
    """Four times as many tokens as cost what a run costs before its first: 160, with masks 240."""
    cost = CostModel(run=40, token=1, area=0, vocabulary=20)

    async def work() -> None:
        batcher = make(workers=2, cores=1, cost=cost)
        little = [[scored(20) if masked else pooled(20)] for _ in range(11 if masked else 7)]
        held, first = await submit_behind_a_held_run(batcher, watched, *little)
        await asyncio.sleep(0.1)
        assert batcher.stats().running_batches == 1
        second = asyncio.create_task(batcher.submit([scored(20) if masked else pooled(20)], soon()))
        await watched.running()
        assert len(watched.batches[-1]) == len(little) + 1
        watched.gate.set()
        await asyncio.gather(held, *first, second)

    run(work())


def test_little_work_is_begun_once_a_core_is_free(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make(workers=3, cores=2)
        held, (other,) = await submit_behind_a_held_run(batcher, watched, texts(1))
        await watched.running()
        waiting = asyncio.create_task(batcher.submit(texts(1, seed=3), soon()))
        await asyncio.sleep(0.1)
        assert batcher.stats().running_batches == 2
        watched.gate.set()
        await asyncio.gather(held, other, waiting)

    run(work())


def test_a_single_text_is_begun_at_once_while_bulk_work_has_all_cores(
    make: Make, watched: Watched
) -> None:
    async def work() -> None:
        batcher = make(workers=2, cores=1, batch_tokens=100)
        watched.gate.clear()
        many = asyncio.create_task(batcher.submit(texts(40, length=10), soon()))
        await watched.running()
        await asyncio.sleep(0.1)
        assert batcher.stats().running_batches == 1  # the list does not take the other worker too
        single = texts(1, seed=9)
        one = asyncio.create_task(batcher.submit(single, soon()))
        await watched.running()
        assert watched.batches[-1] == single
        watched.gate.set()
        await asyncio.gather(one, many)

    run(work())


def test_a_worker_leaves_those_that_come_back_their_part(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make(workers=2)
        watched.gate.clear()
        lists = [texts(5, length=20, seed=n) for n in range(3)]
        tasks = [asyncio.create_task(batcher.submit(lists[0], soon()))]
        for _ in range(2):  # both workers: three texts, and two
            await watched.running()
        tasks += [asyncio.create_task(batcher.submit(items, soon())) for items in lists[1:]]
        await let_it_be_queued()
        watched.gate.set()
        await asyncio.gather(*tasks)
        assert len(watched.batches[2]) < 10

    run(work())


def test_idle_workers_share_a_list(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make(workers=2)
        watched.gate.clear()
        eight = asyncio.create_task(batcher.submit(texts(8, length=10), soon()))
        for _ in range(2):
            await watched.running()
        assert [len(batch) for batch in watched.batches] == [4, 4]
        watched.gate.set()
        await eight

    run(work())


def test_a_single_text_does_not_wait_for_the_whole_of_an_earlier_list(
    make: Make, watched: Watched
) -> None:
    single = texts(1, length=20, seed=5)

    async def work() -> None:
        batcher = make(batch_tokens=200)
        held, (many,) = await submit_behind_a_held_run(batcher, watched, texts(100, length=20))
        one = asyncio.create_task(batcher.submit(single, soon()))
        await let_it_be_queued()
        watched.gate.set()
        await one
        assert not many.done()
        await asyncio.gather(held, many)

    run(work())
    sizes = [len(batch) for batch in watched.batches]
    place = int(np.searchsorted(np.cumsum(sizes), watched.computed.index(id(single[0])), "right"))
    assert place == 1  # right after the run that was held
    assert len(watched.batches) >= 11


def test_batches_keep_to_the_budget(make: Make, watched: Watched) -> None:
    async def work() -> None:
        await make(batch_tokens=100).submit(texts(40, length=9), soon())

    run(work())
    assert {sum(len(item.encoding) for item in batch) for batch in watched.batches} == {99, 63}


# --- clients that leave ---------------------------------------------------------------------------


def test_a_cancelled_request_leaves_the_queue_and_is_never_computed(
    make: Make, watched: Watched
) -> None:
    leaving, staying = texts(7, seed=1), texts(3, seed=2)

    async def work() -> None:
        batcher = make()
        held, (left, stayed) = await submit_behind_a_held_run(batcher, watched, leaving, staying)
        assert batcher.stats().queued_items == 10
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert batcher.stats().queued_items == 3
        assert batcher.stats().queued_tokens == 3 * 6
        assert batcher.stats().cancelled_total == 7
        watched.gate.set()
        await asyncio.gather(held, stayed)

    run(work())
    assert not {id(item) for item in leaving} & set(watched.computed)
    assert {id(item) for item in staying} <= set(watched.computed)


def test_a_request_cancelled_while_it_runs_harms_nobody(
    make: Make, watched: Watched, cloze_session: Session
) -> None:
    async def work() -> None:
        batcher = make()
        both = texts(1, seed=1), texts(1, seed=2)
        watched.gate.clear()
        leaver, stayer = (asyncio.create_task(batcher.submit(items, soon())) for items in both)
        await watched.running()
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        watched.gate.set()
        same((await stayer).results[0], cloze_session.run(both[1])[0])
        assert batcher.stats().cancelled_total == 0  # it was computed
        await batcher.submit(texts(1), soon())

    run(work())


def test_hundreds_of_clients_that_leave_empty_the_queue(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make()
        lists = [texts(2, seed=n) for n in range(300)]
        held, tasks = await submit_behind_a_held_run(batcher, watched, *lists)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        stats = batcher.stats()
        assert (stats.queued_items, stats.queued_tokens, stats.cancelled_total) == (0, 0, 600)
        watched.gate.set()
        await held

    run(work())
    assert len(watched.computed) == 1


# --- deadlines ------------------------------------------------------------------------------------


def test_an_expired_request_is_answered_at_its_deadline_and_never_runs(
    make: Make, watched: Watched
) -> None:
    expiring = texts(5, seed=1)

    async def work() -> None:
        batcher = make()
        begun = time.monotonic()
        held, (late,) = await submit_behind_a_held_run(
            batcher, watched, expiring, deadline=begun + 0.1
        )
        with pytest.raises(DeadlineExceeded):
            await late
        assert 0.1 <= time.monotonic() - begun < 5
        stats = batcher.stats()
        assert (stats.queued_items, stats.expired_total) == (0, 5)
        watched.gate.set()
        await held

    run(work())
    assert not {id(item) for item in expiring} & set(watched.computed)


def test_a_worker_that_is_faster_than_the_timer_does_not_run_expired_items(
    make: Make, watched: Watched
) -> None:
    expiring = texts(4, seed=1)

    async def work() -> None:
        batcher = make()
        held, (late, fine) = await submit_behind_a_held_run(
            batcher, watched, expiring, texts(1, seed=2), deadline=time.monotonic() + 0.05
        )
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is busy elsewhere: no timer fires
        watched.gate.set()
        while batcher.stats().queued_items:
            time.sleep(0.01)  # noqa: ASYNC251
        answers = await asyncio.gather(held, late, fine, return_exceptions=True)
        assert [type(answer) for answer in answers] == [
            Completed,
            DeadlineExceeded,
            DeadlineExceeded,
        ]
        assert batcher.stats().expired_total == 5  # each once, by worker or timer

    run(work())
    assert len(watched.computed) == 1


def test_a_deadline_in_the_past_computes_nothing(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make()
        for late_s in (0.0, 5.0):
            with pytest.raises(DeadlineExceeded):
                await batcher.submit(texts(3), time.monotonic() - late_s)
        await batcher.submit(texts(1), soon())

    run(work())
    assert len(watched.computed) == 1


def test_a_deadline_during_the_run_is_kept_and_the_late_results_are_dropped(
    make: Make, watched: Watched
) -> None:
    async def work() -> None:
        batcher = make()
        watched.gate.clear()
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(texts(1), time.monotonic() + 0.1)
        watched.gate.set()
        answer = await batcher.submit(texts(2), soon())
        assert len(answer.results) == 2

    run(work())


# --- what admission is told -----------------------------------------------------------------------


def test_tokens_that_wait_no_more_are_told_as_they_are_computed(
    make: Make, watched: Watched
) -> None:
    items = texts(30, length=10)
    told: list[int] = []
    places: set[str] = set()

    def computed(tokens: int) -> None:
        told.append(tokens)
        places.add(threading.current_thread().name)

    async def work() -> None:
        batcher = make(batch_tokens=100)
        watched.gate.clear()
        task = asyncio.create_task(batcher.submit(items, soon(), computed))
        await watched.running()
        assert told == []
        watched.gate.set()
        await task

    run(work())
    assert told == [10] * 30
    assert places == {threading.current_thread().name}  # the event loop's


def test_items_of_a_client_that_left_are_told_only_if_they_were_computed(
    make: Make, watched: Watched
) -> None:
    told: list[int] = []

    async def work() -> None:
        batcher = make(batch_tokens=100)
        watched.gate.clear()
        task = asyncio.create_task(batcher.submit(texts(30, length=10), soon(), told.append))
        await watched.running()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        watched.gate.set()
        await batcher.submit(texts(1), soon())
        assert told == [10] * len(watched.batches[0])

    run(work())


def test_a_request_of_nothing_is_answered_at_once(make: Make, watched: Watched) -> None:
    async def work() -> None:
        assert await make().submit([], soon()) == Completed([], 0, 0.0, 0.0)

    run(work())
    assert not watched.batches


def test_the_wait_grows_with_what_is_ahead(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make()
        assert batcher.wait_s(10**9) == 1  # nothing is known yet
        watched.gate.clear()
        first = asyncio.create_task(batcher.submit(texts(1, length=10), soon()))
        await watched.running()
        await asyncio.sleep(0.2)
        watched.gate.set()
        await first  # 10 tokens took 0.2 s or more
        assert batcher.wait_s(0) == 1
        wait_s = batcher.wait_s(99_900)
        assert wait_s > 99_900 * 0.2 / 10 * 0.9
        assert batcher.wait_s(2 * 99_900) == pytest.approx(2 * wait_s)

    run(work())


# --- failures -------------------------------------------------------------------------------------


def test_one_poisoned_request_among_32_fails_alone(
    make: Make, watched: Watched, cloze_session: Session
) -> None:
    lists = [texts(1, length=3 + n % 5, seed=n) for n in range(32)]
    clean = cloze_session.run([items[0] for items in lists])
    watched.errors[id(lists[19][0])] = RuntimeError("secret")

    async def work() -> None:
        batcher = make()
        held, tasks = await submit_behind_a_held_run(batcher, watched, *lists)
        watched.gate.set()
        answers = await asyncio.gather(held, *tasks, return_exceptions=True)
        assert len(watched.batches[1]) == 32
        for number, answer in enumerate(answers[1:]):
            if number == 19:
                assert type(answer) is InternalError
            else:
                assert isinstance(answer, Completed)
                same(answer.results[0], clean[number])
        assert batcher.stats().poisoned_total == 1
        assert (await batcher.submit(lists[0], soon())).results  # and the worker lives on

    run(work())


def test_a_request_with_a_poisoned_item_fails_and_its_waiting_items_are_dropped(
    make: Make, watched: Watched
) -> None:
    items = texts(60, length=10)
    watched.errors[id(items[0])] = RuntimeError()

    async def work() -> None:
        batcher = make(batch_tokens=50)
        held, (task,) = await submit_behind_a_held_run(batcher, watched, items)
        watched.gate.set()
        with pytest.raises(InternalError):
            await task
        assert batcher.stats().queued_items == 0
        await held

    run(work())
    assert len(set(watched.computed)) < 61


def test_output_that_is_not_finite_fails_that_request_alone(make: Make, watched: Watched) -> None:
    lists = [texts(1, seed=n) for n in range(4)]
    watched.nan_for = {id(lists[2][0])}

    async def work() -> None:
        batcher = make()
        submits = [batcher.submit(items, soon()) for items in lists]
        answers = await asyncio.gather(*submits, return_exceptions=True)
        kinds = [type(answer) for answer in answers]
        assert kinds == [Completed, Completed, NonfiniteOutput, Completed]
        assert batcher.stats().poisoned_total == 1

    run(work())
    assert len(watched.batches) == 1


def test_running_out_of_memory_halves_the_budget_and_is_counted(
    make: Make, watched: Watched
) -> None:
    async def work() -> None:
        batcher = make(batch_tokens=400)
        watched.most_items = 20
        answer = await batcher.submit(texts(40, length=10), soon())
        assert len(answer.results) == 40
        assert [len(batch) for batch in watched.batches] == [40, 20, 20]
        assert batcher.stats().memory_errors_total == 1
        assert batcher.stats().batch_budget_tokens == 200
        watched.batches.clear()
        await batcher.submit(texts(40, length=10), soon())
        assert [len(batch) for batch in watched.batches] == [20, 20]

    run(work())


def test_a_batch_is_counted_by_its_texts_and_tokens(make: Make) -> None:
    async def work() -> None:
        batcher = make(batch_tokens=400)
        await batcher.submit(texts(40, length=10), soon())
        await batcher.submit(texts(3, length=6), soon())
        items, tokens = batcher.stats().batch_items, batcher.stats().batch_tokens
        assert [most for most, count in items.cumulative() if count == 0] == [1, 2]
        assert [most for most, count in items.cumulative() if count == 1] == [4, 8, 16, 32]
        assert (items.total, tokens.total) == (43, 418)
        assert dict(tokens.cumulative())[256] == 1
        assert dict(tokens.cumulative())[512] == 2

    run(work())


def test_the_budget_is_not_halved_for_ever(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make(batch_tokens=400)
        watched.most_items = 0
        for _ in range(8):
            with pytest.raises(InternalError):
                await batcher.submit(texts(1, length=8), soon())
        assert batcher.stats().memory_errors_total == 8
        watched.most_items = None
        watched.batches.clear()
        await batcher.submit(texts(8, length=8), soon())
        assert [len(batch) for batch in watched.batches] == [SMALLEST_BUDGET // 8] * 2

    run(work())


def test_with_one_batch_in_20_failing_every_request_is_answered(
    make: Make, watched: Watched
) -> None:
    rng = np.random.default_rng(7)
    lists = [texts(int(rng.integers(1, 4)), seed=n) for n in range(150)]
    poisoned = {n for n in range(150) if rng.random() < 0.05}
    watched.errors = {id(lists[n][0]): RuntimeError() for n in poisoned}

    async def work() -> None:
        batcher = make(workers=2, batch_tokens=64)
        submits = [batcher.submit(items, soon()) for items in lists]
        answers = await asyncio.gather(*submits, return_exceptions=True)
        failed = {n for n, answer in enumerate(answers) if isinstance(answer, ClozeError)}
        assert failed == poisoned
        assert sum(isinstance(answer, Completed) for answer in answers) == 150 - len(poisoned)

    run(work())
    assert poisoned


def test_a_stuck_run_shows_in_the_heartbeat(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make(workers=2)
        assert batcher.stats().worker_heartbeat_age_seconds == 0
        held, _ = await submit_behind_a_held_run(batcher, watched)
        await asyncio.sleep(0.15)
        stats = batcher.stats()
        assert stats.worker_heartbeat_age_seconds >= 0.15
        assert stats.running_batches == 1
        watched.gate.set()
        await held
        assert batcher.stats().worker_heartbeat_age_seconds == 0

    run(work())


def test_a_worker_that_ended_shows_in_the_heartbeat(make: Make) -> None:
    async def work() -> None:
        batcher = make(workers=2)
        assert batcher.stats().worker_heartbeat_age_seconds == 0
        batcher.close()
        for thread in batcher._threads:
            thread.join(PATIENCE_S)
        assert batcher.stats().worker_heartbeat_age_seconds == math.inf

    run(work())


# --- shutdown -------------------------------------------------------------------------------------


def test_closing_stops_the_workers_after_their_batch(make: Make, watched: Watched) -> None:
    async def work() -> None:
        batcher = make(workers=3)
        held, (waiting,) = await submit_behind_a_held_run(batcher, watched, texts(1))
        await watched.running()
        batcher.close()
        assert sum(thread.is_alive() for thread in batcher._threads) >= 2
        watched.gate.set()
        assert len((await held).results) == 1
        assert len((await waiting).results) == 1
        for thread in batcher._threads:
            await asyncio.to_thread(thread.join, PATIENCE_S)
            assert not thread.is_alive()

    run(work())


def test_a_batch_that_ends_after_its_loop_closed_does_not_kill_the_worker(
    make: Make, watched: Watched
) -> None:
    batchers: list[Batcher] = []

    async def leave() -> None:
        batchers.append(make())
        watched.gate.clear()
        with pytest.raises(DeadlineExceeded):
            await batchers[0].submit(texts(1), time.monotonic() + 0.05)

    async def come_back() -> None:
        assert (await batchers[0].submit(texts(1), soon())).results

    run(leave())
    watched.gate.set()
    run(come_back())


def test_models_that_share_slots_run_no_more_batches_than_slots(
    make: Make, watched: Watched
) -> None:
    async def work() -> None:
        slots = threading.Semaphore(1)
        one, other = make(slots=slots), make(slots=slots)
        watched.gate.clear()
        first = asyncio.create_task(one.submit(texts(1), soon()))
        await watched.running()
        second = asyncio.create_task(other.submit(texts(1), soon()))
        await asyncio.sleep(0.1)
        assert len(watched.batches) == 1
        watched.gate.set()
        await asyncio.gather(first, second)
        assert len(watched.batches) == 2

    run(work())
