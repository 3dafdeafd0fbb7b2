"""Memory that processes share: the last whole post of each is read, whatever happened to it."""

from __future__ import annotations

import os
import time

import pytest

from server.process.shared_memory import ContentTooLong, SharedStatistics


def test_each_rank_has_its_own_last_snapshot() -> None:
    shared = SharedStatistics(2)
    for content in (b"one", b"another", b"the last"):
        shared.publish(0, content)
    shared.publish(1, b"elsewhere")
    first, second = shared.read(0), shared.read(1)
    assert first is not None
    assert second is not None
    assert (first.content, second.content) == (b"the last", b"elsewhere")
    assert first.time_s <= time.monotonic()


def test_nothing_is_published_at_first() -> None:
    shared = SharedStatistics(1)
    assert shared.read(0) is None
    assert not shared.is_ready(0)


@pytest.mark.parametrize("ready", [True, False])
def test_nobody_is_loading_once_each_was_ready_or_ended(ready: bool) -> None:
    shared = SharedStatistics(2)
    shared.set_ready(0, ready=True)
    assert shared.is_any_loading()
    shared.set_ready(1, ready=ready)  # who replaces it takes no connections while it loads
    assert not shared.is_any_loading()
    assert (shared.is_ready(0), shared.is_ready(1)) == (True, ready)


def test_a_snapshot_that_was_not_finished_leaves_the_one_before() -> None:
    shared = SharedStatistics(1)
    shared.publish(0, b"whole")
    shared.publish(0, b"half written")
    begin = bytes(shared._memory).index(b"half")
    shared._memory[begin : begin + 4] = b"torn"
    last = shared.read(0)
    assert last is not None
    assert last.content == b"whole"


def test_content_that_is_too_long_leaves_the_snapshot_before() -> None:
    shared = SharedStatistics(1)
    shared.publish(0, b"short enough")
    with pytest.raises(ContentTooLong, match="expected at most"):
        shared.publish(0, bytes(2_000_000))
    last = shared.read(0)
    assert last is not None
    assert last.content == b"short enough"


def test_forked_processes_see_the_same_memory() -> None:
    shared = SharedStatistics(2)
    child = os.fork()
    if child == 0:
        shared.publish(1, b"from the child")
        shared.set_ready(1, ready=True)
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    last = shared.read(1)
    assert last is not None
    assert last.content == b"from the child"
    assert (shared.is_ready(0), shared.is_ready(1)) == (False, True)
