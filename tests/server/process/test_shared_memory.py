"""Memory that processes share: the last whole post of each is read, whatever happened to it."""

from __future__ import annotations

import os
import time

import pytest

from server.process.shared_memory import Board


def test_each_place_holds_its_own_last_post() -> None:
    board = Board(2)
    for content in (b"one", b"another", b"the last"):
        board.post(0, content)
    board.post(1, b"elsewhere")
    first, second = board.read(0), board.read(1)
    assert first is not None
    assert second is not None
    assert (first.content, second.content) == (b"the last", b"elsewhere")
    assert first.time_s <= time.monotonic()


def test_nothing_was_posted_at_first() -> None:
    board = Board(1)
    assert board.read(0) is None
    assert not board.is_ready(0)


@pytest.mark.parametrize("ready", [True, False])
def test_nobody_is_loading_once_each_was_ready_or_ended(ready: bool) -> None:
    board = Board(2)
    board.set_ready(0, ready=True)
    assert board.is_any_loading()
    board.set_ready(1, ready=ready)  # who replaces it takes no connections while it loads
    assert not board.is_any_loading()
    assert (board.is_ready(0), board.is_ready(1)) == (True, ready)


def test_a_post_that_was_not_finished_leaves_the_one_before() -> None:
    board = Board(1)
    board.post(0, b"whole")
    board.post(0, b"half written")
    begin = bytes(board._memory).index(b"half")
    board._memory[begin : begin + 4] = b"torn"
    post = board.read(0)
    assert post is not None
    assert post.content == b"whole"


def test_a_post_has_a_longest_length() -> None:
    with pytest.raises(ValueError, match="expected at most"):
        Board(1).post(0, bytes(2_000_000))


def test_forked_processes_see_the_same_board() -> None:
    board = Board(2)
    child = os.fork()
    if child == 0:
        board.post(1, b"from the child")
        board.set_ready(1, ready=True)
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    post = board.read(1)
    assert post is not None
    assert post.content == b"from the child"
    assert (board.is_ready(0), board.is_ready(1)) == (False, True)
