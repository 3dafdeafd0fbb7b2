"""Every thread that computes takes denormals for zero, and no other thread does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_server import REPOSITORY

# Loads models as a server's process does, after a fork as in a group of processes, and tells what
# each worker's thread does with a denormal, and what the event loop's does.
PROGRAM = """
import asyncio, json, os, sys, threading
from pathlib import Path

from models.opening import denormals_are_flushed
from server.inference.model_registry import Registry
from server.inference.pipeline import Resources
from server.inference.runtime.devices import find_device
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.settings import InferenceOptions, Limits

async def main():
    options = InferenceOptions(threads=2, intra_op_alone=int(sys.argv[2]))
    registry = Registry()
    await registry.load(
        Path(sys.argv[1]), None, lambda: Resources(options, Limits(), find_device("auto"))
    )
    flushed = {}
    for name, pipeline in registry.pipelines.items():
        run, seen = pipeline._batcher._run, flushed.setdefault(name, {})
        def watched(items, run=run, seen=seen):
            seen[threading.get_ident()] = denormals_are_flushed()
            return run(items)
        pipeline._batcher._run = pipeline._batcher._run_alone = watched
        for _ in range(200):
            await asyncio.gather(*[pipeline.run(EMBED, ["a"], EmbedOptions()) for _ in range(4)])
            if len(seen) == 2:
                break
    await registry.drain()
    return {"workers": {n: list(s.values()) for n, s in flushed.items()},
            "loop": denormals_are_flushed()}

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
def test_workers_flush_denormals_and_the_event_loop_does_not(
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
        assert all(workers and all(workers) for workers in report["workers"].values())
        assert not report["loop"]
