"""A batch in, one result or error per item out: a poisonous item fails alone.

When a run raises, its halves are run, and theirs, until the culprit is by itself. Its neighbours
get the answers that a clean run gives, since an item's answer does not depend on its company. The
log names the requests whose items they are.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from server.errors import ClozeError, InternalError, NonfiniteOutput
from server.inference.runtime.packing import Item, Result, is_finite

logger = logging.getLogger(__name__)

RunBatch = Callable[[Sequence[Item]], list[Result]]

_MOST_NAMED: Final = 16  # requests in a line


def run_isolated(
    run: RunBatch,
    items: Sequence[Item],
    on_memory_error: Callable[[], None],
    request_ids: Sequence[bytes] = (),
) -> list[Result | ClozeError]:
    """Run `items`; those that fail alone, or give NaN or infinity, become errors.

    `request_ids` has one for each item, where requests have any.
    """
    of = [request_ids[index : index + 1] for index in range(len(items))]
    try:
        results = _complete(run(items), len(items))
        return [_checked(*each) for each in zip(results, of, strict=True)]
    except MemoryError:
        on_memory_error()
        reason = "memory ran out"
    except Exception as error:  # noqa: BLE001 - native code raises what it likes; it stays here
        reason = type(error).__name__
    # Neither the exception's text nor its traceback is logged: they can hold the client's input.
    logger.warning("a batch of %d failed: %s", len(items), reason, extra=_named(request_ids))
    if len(items) == 1:
        return [InternalError("The model failed on this input.")]
    middle = len(items) // 2
    first = run_isolated(run, items[:middle], on_memory_error, request_ids[:middle])
    return first + run_isolated(run, items[middle:], on_memory_error, request_ids[middle:])


def _complete(results: list[Result], count: int) -> list[Result]:
    """A result too few or too many would leave a request without its answer, or with another's."""
    if len(results) != count:
        raise ValueError(f"expected {count} results of a run, found {len(results)}")
    return results


def _checked(result: Result, request_ids: Sequence[bytes]) -> Result | ClozeError:
    if is_finite(result):
        return result
    logger.warning("an output was not finite", extra=_named(request_ids))
    return NonfiniteOutput("The model's output for this input was not finite.")


def _named(request_ids: Sequence[bytes]) -> dict[str, object]:
    """What a line says of the requests that it is about: by the same name as theirs, of one alone.

    >>> _named([b"a", b"b", b"a"]), _named([b"c", b"c"]), _named([b""])
    ({'request_ids': ['a', 'b']}, {'request_id': 'c'}, {})
    """
    found = [name.decode() for name in dict.fromkeys(request_ids) if name]
    if len(found) == 1:
        return {"request_id": found[0]}
    return {"request_ids": found[:_MOST_NAMED]} if found else {}
