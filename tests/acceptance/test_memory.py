"""A server that may use no more memory than the compose file gives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.attacks import DOCUMENTED, NAMED, SOCKETS
from scripts.costly import send
from tests.acceptance.conftest import Reached
from tests.conftest import Serve
from tests.running_server import REPOSITORY, RunningServer

GROUPS = Path("/sys/fs/cgroup")
BURST, FEW = 50, 5  # of requests; of connections that are misused, some of which take seconds
ROUNDS = 3


class MemoryGroup:
    """A control group of version 1 or 2 whose processes share a limit of memory."""

    def __init__(self, limit: int) -> None:
        name = f"cloze-{os.getpid()}"
        self.version_1 = (GROUPS / "memory").is_dir()
        self.folder = (GROUPS / "memory" if self.version_1 else GROUPS) / name
        self.folder.mkdir()
        names = ("limit_in_bytes", "memsw.limit_in_bytes") if self.version_1 else ("max",)
        for each in names:
            with contextlib.suppress(FileNotFoundError):  # where swap is not counted
                (self.folder / f"memory.{each}").write_text(str(limit))
        if not self.version_1:
            (self.folder / "memory.swap.max").write_text("0")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Puts processes that are started meanwhile under the limit, from their first byte on."""
        own = str(os.getpid())
        (self.folder / "cgroup.procs").write_text(own)
        try:
            yield
        finally:
            (self.folder.parent / "cgroup.procs").write_text(own)

    @property
    def most_used(self) -> int:
        """Bytes, files that the system keeps for later among them."""
        name = "memory.max_usage_in_bytes" if self.version_1 else "memory.peak"
        return int((self.folder / name).read_text())


@pytest.fixture
def limited() -> Iterator[MemoryGroup]:
    """As much memory as the compose file says, without swap."""
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    found = re.search(r"mem_limit: (\d+)g", compose)
    assert found
    try:
        group = MemoryGroup(int(found[1]) << 30)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield group
    group.folder.rmdir()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_21_memory(serve: Serve, all_models: Path, limited: MemoryGroup, reached: Reached) -> None:
    """Memory: under the compose file's limit no request pattern ends the process."""
    with limited.entered():
        server = serve(all_models, default_model="cloze-small-en", wait=False)
    server.wait_until_ready()
    answers: Counter[int] = Counter()
    for request in [*NAMED.values()] * ROUNDS:
        answers += Counter(asyncio.run(burst(server, request.bytes, BURST)))
        assert server.process.poll() is None, "the process has ended"
    for request in SOCKETS.values():
        answers += Counter(asyncio.run(burst(server, request.bytes, FEW)))
        assert server.process.poll() is None, "the process has ended"
    alive = server.get("/livez").status_code
    peak = server.metric("process_resident_memory_bytes")
    server.kill()
    reached(
        f"{ROUNDS} bursts of {BURST} of each of {len(NAMED)} requests, and {FEW} of each of "
        f"{len(SOCKETS)} misused connections: {dict(answers)}; "
        f"{peak / 2**20:.0f} MiB resident afterwards, at most {limited.most_used / 2**20:.0f} MiB "
        f"in its group with what the system keeps of files; /livez {alive}",
        alive == 200,
        set(answers) <= DOCUMENTED,
    )


async def burst(server: RunningServer, request: bytes, count: int) -> list[int]:
    """The statuses of as many at once; 0 where no answer came."""
    address = ("127.0.0.1", server.port)
    sent = await asyncio.gather(*[send(address, request) for _ in range(count)])
    return [status for status, _ in sent]
