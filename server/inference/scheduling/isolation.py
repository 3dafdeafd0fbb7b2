"""A batch in, one result or error per item out: a poisonous item fails alone.

When a run raises, its halves are run, and theirs, until the culprit is by itself. Its neighbours
get the answers that a clean run gives, since an item's answer does not depend on its company.
"""

import logging
from collections.abc import Callable, Sequence

from server.errors import ClozeError, InternalError, NonfiniteOutput
from server.inference.runtime.packing import Item, Result, is_finite

logger = logging.getLogger(__name__)

RunBatch = Callable[[Sequence[Item]], list[Result]]


def run_isolated(
    run: RunBatch, items: Sequence[Item], on_memory_error: Callable[[], None]
) -> list[Result | ClozeError]:
    """Run `items`; those that fail alone, or give NaN or infinity, become errors."""
    try:
        return [_checked(result) for result in _complete(run(items), len(items))]
    except MemoryError:
        on_memory_error()
        reason = "memory ran out"
    except Exception as error:  # noqa: BLE001 - native code raises what it likes; it stays here
        reason = type(error).__name__
    # Neither the exception's text nor its traceback is logged: they can hold the client's input.
    logger.warning("a batch of %d failed: %s", len(items), reason)
    if len(items) == 1:
        return [InternalError("The model failed on this input.")]
    middle = len(items) // 2
    first = run_isolated(run, items[:middle], on_memory_error)
    return first + run_isolated(run, items[middle:], on_memory_error)


def _complete(results: list[Result], count: int) -> list[Result]:
    """A result too few or too many would leave a request without its answer, or with another's."""
    if len(results) != count:
        raise ValueError(f"expected {count} results of a run, found {len(results)}")
    return results


def _checked(result: Result) -> Result | ClozeError:
    if is_finite(result):
        return result
    return NonfiniteOutput("The model's output for this input was not finite.")
