"""Long texts through a real server: answered within its bound of memory, refused beyond it."""

from __future__ import annotations

import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from models.manifest import load_manifest
from server.inference.runtime.memory import RunMemory
from server.settings import Limits
from tests import families
from tests.acceptance.clients import resident_mib
from tests.conftest import Serve
from tests.running_server import RunningServer

MIB = 1 << 20
RUN_MIB, WORKERS = 64, 2
READS = 4096  # tokens; attention of so long a text would take 1 GiB here
BESIDES_MIB = 24  # of a server, for a few requests at a time


@pytest.fixture(scope="module")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ModernBERT with windows that reads long texts."""
    folder = tmp_path_factory.mktemp("long")
    families.make(
        "modernbert",
        "Model",
        folder / "checkpoint",
        hidden_size=96,
        num_attention_heads=12,
        max_position_embeddings=READS,
    )
    checkpoint = read_checkpoint(folder / "checkpoint")
    export_model(checkpoint, folder / "long", precision="fp32", progress=lambda _: None)
    return folder / "long"


@pytest.fixture(scope="module")
def long_server(serve: Serve, long_model: Path) -> RunningServer:
    return serve(long_model, threads=WORKERS, run_bytes=RUN_MIB * MIB)


def peak_mib(server: RunningServer) -> float:
    """The most memory that the server has taken so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def words(tokens: int) -> dict[str, object]:
    """A text of so many tokens, special ones included."""
    return {"inputs": "a " * (tokens - 2)}


def test_info_tells_how_long_a_text_may_be_here(
    long_server: RunningServer, long_model: Path
) -> None:
    manifest = load_manifest(long_model)
    bound = RunMemory.of(manifest, RUN_MIB * MIB, Limits().max_top_k)
    info = long_server.get("/info").json()
    assert manifest.max_tokens == READS
    assert info["max_tokens"] == info["pooling"]["max_tokens"] == bound.longest < READS
    assert info["limits"]["max_tokens"] == info["limits"]["max_embed_tokens"] == bound.longest
    warned = [line["message"] for line in long_server.log_lines() if line["level"] == "warning"]
    assert [f"The model reads {READS} tokens, and {bound.longest} in" in line for line in warned]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what a process took at most")
def test_long_texts_take_no_more_than_the_bound_and_harm_nobody(long_server: RunningServer) -> None:
    most = long_server.get("/info").json()["max_tokens"]
    assert long_server.post("/embed", words(8)).status_code == 200
    before = peak_mib(long_server)

    def long_ones() -> list[int]:
        with ThreadPoolExecutor(4) as clients:
            asked = [words(n) for n in (most, READS, most, most, 2 * READS, most)]
            return list(clients.map(lambda body: status(long_server, body), asked))

    found: list[int] = []
    asking = threading.Thread(target=lambda: found.extend(long_ones()))
    asking.start()
    short = [status(long_server, words(5))]
    while asking.is_alive():
        short.append(status(long_server, words(5)))
    asking.join()
    assert found == [200, 422, 200, 200, 422, 200]
    assert set(short) == {200}
    taken = peak_mib(long_server) - before
    assert RUN_MIB / 2 < taken < WORKERS * RUN_MIB + BESIDES_MIB
    assert resident_mib(long_server.process.pid) < before + BESIDES_MIB  # it was given back

    refused = long_server.post("/embed", words(most + 1))
    assert refused.json()["code"] == "too_long"
    assert f"reads {READS} tokens, and {most} in" in refused.json()["error"]
    assert "--run-bytes" in refused.json()["error"]
    cut = long_server.post("/embed", words(most + 1) | {"truncate": True})
    assert (cut.status_code, cut.headers["x-truncated"]) == (200, "0")


def status(server: RunningServer, body: dict[str, object]) -> int:
    return server.post("/embed", body).status_code
