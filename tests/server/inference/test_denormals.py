"""Every thread that computes takes denormals for zero, those of bulk work at a low priority."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_server import REPOSITORY

# Loads models as a server's process does, after a fork as in a group of processes, and tells what
# each thread that computes does with a denormal, and what the event loop's does.
PROGRAM = """
import asyncio, json, os, sys, threading
from pathlib import Path

from models.opening import denormals_are_flushed
from server.inference.model_registry import Registry
from server.inference.pipeline import Resources
from server.inference.runtime.devices import find_device
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.settings import InferenceOptions, Limits

def state():
    niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    return denormals_are_flushed(), niceness

class Watched:
    def __init__(self, session, seen):
        self.session, self.seen = session, seen
    def run(self, *arguments):
        self.seen[threading.get_ident()] = state()
        return self.session.run(*arguments)

async def main():
    options = InferenceOptions(threads=2, intra_op_alone=int(sys.argv[2]))
    registry = Registry()
    await registry.load(
        Path(sys.argv[1]), None, lambda: Resources(options, Limits(), find_device("auto"))
    )
    flushed = {}
    for name, pipeline in registry.pipelines.items():
        seen = flushed.setdefault(name, {})
        for session in (pipeline._sessions.usual, pipeline._sessions.alone):
            if session is not None:
                session._session = Watched(session._session, seen)
        for text in ("a", "many words " * 100):  # by itself, the second one is bulk work
            for _ in range(200):
                texts = [[text + str(number)] for number in range(4)]
                runs = [pipeline.run(EMBED, own, EmbedOptions()) for own in texts]
                await asyncio.gather(*runs)
                if len(seen) == (2 if text == "a" else 4):
                    break
    await registry.drain()
    return {"workers": {n: list(s.values()) for n, s in flushed.items()},
            "loop": state()}

children = []
for _ in range(int(sys.argv[3])):
    children.append(os.fork())
    if children[-1] == 0:
        break
if not children or children[-1] == 0:
    print(json.dumps(asyncio.run(main())), flush=True)
    os._exit(0)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(("models", "alone", "processes"), [(1, 1, 0), (2, 1, 0), (1, 2, 2)])
def test_threads_that_compute_flush_denormals_and_bulk_work_makes_way(
    models: int, alone: int, processes: int, default_model: Path, tmp_path: Path
) -> None:
    for number in range(models):
        shutil.copytree(default_model, tmp_path / f"model-{number}")
    arguments = [str(tmp_path), str(alone), str(processes)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == max(1, processes)
    for report in reports:
        assert len(report["workers"]) == models
        (loop_flushes, niceness) = report["loop"]
        assert not loop_flushes
        for workers in report["workers"].values():
            assert all(flushes for flushes, _ in workers)
            # Half of them make way for everything else: they compute what is bulk work.
            lower = [own > niceness for _, own in workers]
            assert sorted(lower) == [False, False, True, True] or sys.platform != "linux"
