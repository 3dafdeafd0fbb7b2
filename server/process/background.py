"""Work that a server process does beside its requests, whose failure is seen at once.

asyncio keeps a task's exception to itself until somebody asks for it, and a thread that ends with
one leaves its work undone in silence. A task that is started here, and any thread, is named in the
log when it fails, and from then on in the answer of `/livez`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

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

    def watch_threads(self) -> None:
        """Sees from now on the failure of any thread, of the batcher's workers among them."""
        loop = asyncio.get_running_loop()

        def fail(ended: threading.ExceptHookArgs) -> None:
            name = ended.thread.name if ended.thread else "unknown"
            with suppress(RuntimeError):  # the loop has ended, and the server with it
                loop.call_soon_threadsafe(self._fail, name, ended.exc_value)

        threading.excepthook = fail

    def cancel(self) -> None:
        """Stops all tasks that still run, which is no failure."""
        for task in self._running:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(task.get_name(), error)

    def _fail(self, name: str, error: BaseException | None) -> None:
        logger.error("a background task failed", exc_info=error, extra={"task": name})
        self.failed.append(name)
        self._on_failure(name)
