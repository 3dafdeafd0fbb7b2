"""What is done at once, what on a thread, and what never because nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from server.errors import ClientClosedRequest, DeadlineExceeded
from server.inference.offload import Offload, require_time
from server.inference.tasks.task import Proceed

PATIENCE_S = 30.0  # after which a test that waits has failed


@pytest.fixture
def offload() -> Iterator[Offload]:
    """One thread."""
    offload = Offload(1)
    yield offload
    offload.close(wait=True)


def soon() -> float:
    return time.monotonic() + PATIENCE_S


def place(_: Proceed) -> threading.Thread:
    return threading.current_thread()


class Held:
    """Work that occupies a thread until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.raised: list[BaseException] = []
        self.ended = threading.Event()

    def __call__(self, proceed: Proceed) -> str:
        self.begun.set()
        assert self.gate.wait(PATIENCE_S)
        try:
            proceed()
        except BaseException as error:
            self.raised.append(error)
            raise
        finally:
            self.ended.set()
        return "done"

    async def running(self) -> None:
        """Wait until it has begun."""
        assert await asyncio.to_thread(self.begun.wait, PATIENCE_S)

    async def over(self) -> None:
        """Let it go on, and wait until it has ended."""
        self.gate.set()
        assert await asyncio.to_thread(self.ended.wait, PATIENCE_S)


def test_large_work_is_done_on_a_thread_while_the_loop_goes_on(offload: Offload) -> None:
    async def work() -> None:
        thread = await offload.run(place, soon())
        assert thread is not threading.current_thread()
        assert thread.name.startswith("offload")
        held = Held()
        busy = asyncio.create_task(offload.run(held, soon()))
        await held.running()
        await asyncio.sleep(0)
        assert not busy.done()
        held.gate.set()
        assert await busy == "done"

    asyncio.run(work())


def test_what_the_work_returns_and_raises_reaches_the_caller(offload: Offload) -> None:
    def fail(_: Proceed) -> None:
        raise ValueError("no such word")

    async def work() -> None:
        assert await offload.run(lambda _: [7], soon()) == [7]
        with pytest.raises(ValueError, match="no such word"):
            await offload.run(fail, soon())

    asyncio.run(work())


def test_work_whose_deadline_passes_while_it_waits_is_never_begun(offload: Offload) -> None:
    begun: list[str] = []

    async def work() -> None:
        held = Held()
        busy = asyncio.create_task(offload.run(held, soon()))
        await held.running()
        late = asyncio.create_task(
            offload.run(lambda _: begun.append("late"), time.monotonic() + 0.05)
        )
        fine = asyncio.create_task(offload.run(lambda _: begun.append("fine"), soon()))
        await asyncio.sleep(0.1)
        held.gate.set()
        with pytest.raises(DeadlineExceeded):
            await late
        await asyncio.gather(busy, fine)

    asyncio.run(work())
    assert begun == ["fine"]


def test_work_is_told_when_its_deadline_passes(offload: Offload) -> None:
    async def work() -> None:
        held = Held()
        late = asyncio.create_task(offload.run(held, time.monotonic() + 0.05))
        await held.running()
        await asyncio.sleep(0.1)
        held.gate.set()
        with pytest.raises(DeadlineExceeded):
            await late
        assert [type(error) for error in held.raised] == [DeadlineExceeded]

    asyncio.run(work())


def test_work_in_time_is_not_disturbed(offload: Offload) -> None:
    def count(proceed: Proceed) -> int:
        for _ in range(100):
            proceed()
        return 100

    async def work() -> None:
        assert await offload.run(count, soon()) == 100

    asyncio.run(work())


def test_work_is_told_when_its_caller_has_left(offload: Offload) -> None:
    async def work() -> None:
        held = Held()
        leaver = asyncio.create_task(offload.run(held, soon()))
        await held.running()
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        await held.over()
        assert [type(error) for error in held.raised] == [ClientClosedRequest]
        assert await offload.run(lambda _: "next", soon()) == "next"

    asyncio.run(work())


def test_waiting_work_of_a_caller_that_left_never_starts(offload: Offload) -> None:
    begun: list[int] = []

    def note(number: int) -> Callable[[Proceed], None]:
        return lambda _: begun.append(number)

    async def work() -> None:
        held = Held()
        busy = asyncio.create_task(offload.run(held, soon()))
        await held.running()
        waiting = [asyncio.create_task(offload.run(note(number), soon())) for number in range(50)]
        await asyncio.sleep(0)
        for leaver in waiting[::2]:
            leaver.cancel()
        await asyncio.gather(*waiting[::2], return_exceptions=True)
        held.gate.set()
        await asyncio.gather(busy, *waiting[1::2])

    asyncio.run(work())
    assert begun == list(range(1, 50, 2))


def test_no_more_is_worked_on_at_a_time_than_there_are_threads() -> None:
    offload = Offload(2)
    at_once, most = 0, 0
    lock = threading.Lock()

    def note(_: Proceed) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    async def work() -> None:
        await asyncio.gather(*(offload.run(note, soon()) for _ in range(12)))

    asyncio.run(work())
    offload.close(wait=True)
    assert most == 2


def test_closing_drops_what_waits_unless_it_is_to_be_finished() -> None:
    async def work(*, wait: bool) -> list[object]:
        offload, held = Offload(1), Held()
        busy = asyncio.create_task(offload.run(held, soon()))
        await held.running()
        waiting = asyncio.create_task(offload.run(lambda _: "waited", soon()))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(offload.close, wait=wait))
        await asyncio.sleep(0.05)
        held.gate.set()
        await closing
        return list(await asyncio.gather(busy, waiting, return_exceptions=True))

    assert asyncio.run(work(wait=True)) == ["done", "waited"]
    done, dropped = asyncio.run(work(wait=False))
    assert done == "done"
    assert isinstance(dropped, asyncio.CancelledError)


def test_time_is_up_once_the_deadline_has_passed() -> None:
    require_time(soon())
    with pytest.raises(DeadlineExceeded):
        require_time(time.monotonic() - 0.001)
