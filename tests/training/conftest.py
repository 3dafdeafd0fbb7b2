"""One thread and the usual allocator for all that is computed here: the models are small."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on busy cores took most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def memory_is_given_back() -> Iterator[None]:
    """What training asks of its allocator would hold for all tests after these."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("pretrain", "finetune"):
            patch.setattr(f"training.{name}.command.keep_freed_memory", lambda: False)
        yield
