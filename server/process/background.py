"""Work that a server process does beside its requests: a task each, whose failure is seen at once.

asyncio keeps a task's exception to itself until somebody asks for it. A task that is started here
is named in the log when it fails, and from then on in the answer of `/livez`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine

logger = logging.getLogger("cloze")


class BackgroundTasks:
    """The tasks of one process. Belongs to the event loop's thread."""

    def __init__(self, on_failure: Callable[[str], None] = lambda _name: None) -> None:
        """Calls `on_failure` with the name of each task that ends with an exception."""
        self._on_failure = on_failure
        self._running: set[asyncio.Task[None]] = set()
        self.failed: list[str] = []

    def start(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Runs `work` beside everything else; it may end, but it may not fail."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)  # the event loop alone would not keep it from being collected
        task.add_done_callback(self._ended)
        return task

    def cancel(self) -> None:
        """Stops all tasks that still run, which is no failure."""
        for task in self._running:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            name = task.get_name()
            logger.error("a background task failed", exc_info=error, extra={"task": name})
            self.failed.append(name)
            self._on_failure(name)
