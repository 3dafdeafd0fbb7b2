"""Items of more tokens than the queue holds in, their results out: fed in parts, as room comes.

A part is an eighth of the queue, and two of them are there at a time: one is computed while the
next one waits. So a long list takes a fair share of the machine and leaves room to everybody else.
Parts wait for room in the order in which they came (`server.inference.admission`). When the
deadline passes or the client leaves, what was not computed is taken out and the rest never comes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from server.errors import DeadlineExceeded, TooManyTokens
from server.inference.admission import Reservation
from server.inference.runtime.packing import Item, Result
from server.inference.scheduling.batcher import Completed

_AT_ONCE: Final = 2  # parts

Submit = Callable[[Sequence[Item], float, Callable[[int], None]], Awaitable[Completed]]
"""Items, a deadline, and what hears of computed tokens -> what the items gave."""


async def fed(
    submit: Submit, items: Sequence[Item], deadline: float, reservation: Reservation
) -> Completed:
    """What all items gave, in their order.

    Args:
        submit: takes a part.
        items: of the whole request, for which `reservation` holds the first part.
        deadline: in `time.monotonic()` seconds.
        reservation: the request's.

    Raises:
        ClozeError: the deadline passed, or an item failed.
    """
    loop = asyncio.get_running_loop()
    running: deque[asyncio.Task[Completed]] = deque()
    done: list[Completed] = []

    async def run(part: Sequence[Item]) -> Completed:
        return await submit(part, deadline, reservation.computed)

    async def end_first() -> None:
        done.append(await running[0])
        running.popleft()

    try:
        async with asyncio.timeout_at(loop.time() + deadline - time.monotonic()):
            for part in parts(items, reservation.part_tokens, reservation.most_tokens):
                if len(running) == _AT_ONCE:
                    await end_first()
                await reservation.advance(_tokens(part))
                running.append(loop.create_task(run(part)))
            while running:
                await end_first()
    except TimeoutError:
        raise DeadlineExceeded from None
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return _together(done)


def parts(items: Sequence[Item], size: int, most: int) -> Iterator[Sequence[Item]]:
    """Splits items into runs of at most `size` tokens, but for those that have more alone.

    Raises:
        TooManyTokens: one alone has more than `most`.
    """
    start = held = 0
    for index, item in enumerate(items):
        own = len(item.encoding.ids)
        if own > most:
            raise TooManyTokens(
                f"A text of {own} tokens is longer than the {most} that may wait.", param="inputs"
            )
        if held + own > size and index > start:
            yield items[start:index]
            start, held = index, 0
        held += own
    if start < len(items):
        yield items[start:]


def _tokens(part: Sequence[Item]) -> int:
    return sum([len(item.encoding.ids) for item in part])


def _together(done: Sequence[Completed]) -> Completed:
    results: list[Result] = [result for part in done for result in part.results]
    return Completed(
        results,
        sum([part.tokens for part in done]),
        max([part.queue_s for part in done]),
        max([part.compute_s for part in done]),
    )
