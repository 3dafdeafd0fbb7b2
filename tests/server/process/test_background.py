"""Tasks beside the requests: the one that fails is named at once, those that end are not."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from server.process.background import BackgroundTasks


class Panic(BaseException):
    """As a library in Rust raises it."""


async def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [KeyError("secret"), MemoryError(), Panic()])
def test_a_failure_is_logged_with_its_cause_and_kept(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    background = BackgroundTasks(told.append)

    async def run() -> None:
        task = background.start("counting", fail(error))
        await asyncio.wait([task])
        await asyncio.sleep(0)

    asyncio.run(run())
    (record,) = caplog.records
    assert (record.levelno, record.__dict__["task"]) == (logging.ERROR, "counting")
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert (background.failed, told) == (["counting"], ["counting"])


def test_an_end_or_a_stop_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    background = BackgroundTasks()

    async def run() -> None:
        ended = background.start("short", asyncio.sleep(0))
        stopped = background.start("long", asyncio.sleep(60))
        await ended
        background.cancel()
        await asyncio.wait([stopped])
        assert stopped.cancelled()

    asyncio.run(run())
    assert (background.failed, caplog.messages) == ([], [])


def test_a_thread_that_fails_is_a_failure_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # to be put back
    background = BackgroundTasks()

    def panic() -> None:
        raise Panic

    async def run() -> None:
        background.watch_threads()
        thread = threading.Thread(target=panic, name="worker-3")
        thread.start()
        thread.join()
        await asyncio.sleep(0)

    asyncio.run(run())
    (record,) = caplog.records
    assert (record.levelno, record.__dict__["task"]) == (logging.ERROR, "worker-3")
    assert background.failed == ["worker-3"]
