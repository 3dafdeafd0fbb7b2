"""Runs that are stopped, killed or refused: what is left, and what the next start makes of it."""

from __future__ import annotations

import argparse
import json
import pkgutil
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.finetune import toy_tasks
from tests.training.finetune.conftest import Write
from tests.training.pretrain.conftest import REPOSITORY, command, environment
from training.errors import TrainingError
from training.finetune.command import add_arguments, finetune, run
from training.finetune.report import Report
from training.finetune.task import Options
from training.finetune.unfinished import Unfinished, beside
from training.interruption import INTERRUPTED

OPTIONS = Options(epochs=3, rate=2e-3, batch_size=16, dropout=0.1, patience=3)
FLAGS = ("--epochs", "3", "--rate", "2e-3", "--batch-size", "16", "--dropout", "0.1",
         "--patience", "3", "--device", "cpu", "--threads", "1")  # fmt: skip

EPOCHS = 20  # more than the kills come to

Start = Callable[..., Report]


@pytest.fixture
def start(tiny: Path, tmp_path: Path, write: Write) -> Start:
    """`start("out", rate=…)`: fine-tune to `out` with a toy, from the same files each time."""
    train = write("train.jsonl", toy_tasks.moods(40, 1))
    dev = write("dev.jsonl", toy_tasks.moods(20, 2))

    def start(name: str, options: Options = OPTIONS, **more: Any) -> Report:
        return finetune(
            "sequence", tiny, tmp_path / name, train=train, dev=dev, options=options,
            device=torch.device("cpu"), **more,
        )  # fmt: skip

    return start


def weights(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return tensors


def assert_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    reports = [json.loads((folder / "report.json").read_text()) for folder in (one, other)]
    for key in ("epochs", "kept_epoch", "measures", "labels", "train"):
        assert reports[0][key] == reports[1][key]


def test_a_signal_ends_a_run_and_the_same_command_goes_on(
    start: Start, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start("whole")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    files = ("--train", str(tmp_path / "train.jsonl"), "--dev", str(tmp_path / "dev.jsonl"))
    parsed = parser.parse_args(["sequence", str(tiny), str(tmp_path / "cut"), *files, *FLAGS])
    handler = signal.getsignal(signal.SIGINT)
    save = Unfinished.save

    def save_and_signal(folder: Unfinished, state: Any) -> None:
        save(folder, state)
        signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unfinished, "save", save_and_signal)
        with pytest.raises(SystemExit) as stopped:
            run(parsed)
    assert stopped.value.code == INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is handler
    said = capsys.readouterr().err
    assert "Stopped after epoch 1." in said
    assert "holds epoch 1, the best so far, ready for `make export`. The same command goes" in said
    assert (tmp_path / "cut" / "model.safetensors").is_file()
    run(parsed)
    assert "going on after epoch 1 of 3" in capsys.readouterr().out
    assert_same(tmp_path / "whole", tmp_path / "cut")
    assert not beside(tmp_path / "cut").exists()


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_at_random_moments_nothing_is_lost_but_the_epoch_under_way(
    tiny: Path, tmp_path: Path, write: Write, kills: int
) -> None:
    train = write("train.jsonl", toy_tasks.moods(40, 1))
    dev = write("dev.jsonl", toy_tasks.moods(20, 2))
    whole, out = tmp_path / "whole", tmp_path / "cut"
    options = replace(OPTIONS, epochs=EPOCHS, patience=EPOCHS)
    report = finetune(
        "sequence", tiny, whole, train=train, dev=dev, options=options, device=torch.device("cpu")
    )
    moments = random.Random(21)  # noqa: S311 - to be the same each time
    epoch_s = report.seconds / EPOCHS
    line = command("finetune", "sequence", tiny, out, "--train", train, "--dev", dev, *FLAGS,
                   "--epochs", str(EPOCHS), "--patience", str(EPOCHS))  # fmt: skip
    log = tmp_path / "log.txt"
    finished: list[int] = []
    for _ in range(kills):
        kill(line, log, epochs=moments.randrange(4), seconds=moments.uniform(0, epoch_s))
        finished += assert_goes_on_after(finished, log.read_text())
    with log.open("wb") as file:
        subprocess.run(line, cwd=REPOSITORY, env=environment(), stdout=file, check=True)
    finished += assert_goes_on_after(finished, log.read_text())
    assert len(finished) >= EPOCHS - kills  # an epoch may be whole and its line not written yet
    assert_same(whole, out)
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"train.jsonl", "dev.jsonl", "log.txt", "whole", "cut"}


def kill(line: Sequence[str], log: Path, *, epochs: int, seconds: float) -> None:
    """Start a run, and kill it some time after it has said what it will do, and some epochs."""
    with log.open("wb") as file, subprocess.Popen(
        line, cwd=REPOSITORY, env=environment(), stdout=file
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while not (said := log.read_text()) or said.count(f" of {EPOCHS}: ") < epochs:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def assert_goes_on_after(finished: Sequence[int], said: str) -> list[int]:
    """No epoch that was whole before is learnt again; the epochs that a run has finished."""
    begun = re.search(rf"going on after epoch (\d+) of {EPOCHS}", said)
    last = int(begun[1]) if begun else 0
    assert last >= max(finished, default=0)
    lines = re.findall(rf"^epoch (\d+) of {EPOCHS}: ", said, re.MULTILINE)
    epochs = [int(number) for number in lines]
    assert epochs == list(range(last + 1, last + 1 + len(epochs)))
    return epochs


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


# What breaks off, and how often it is done before.
MOMENTS = [("begin", 0), ("save_checkpoint", 0), ("save_checkpoint", 1), ("save", 0), ("save", 2),
           ("rename", 0), ("rename", 1), ("remove", 0)]  # fmt: skip


@pytest.mark.parametrize(("moment", "times"), MOMENTS)
def test_a_run_that_breaks_off_between_two_writes_goes_on(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, times: int
) -> None:
    start("whole")
    place: Any = {
        "save_checkpoint": "training.finetune.command.save_checkpoint",
        "rename": "pathlib.Path.rename",
    }.get(moment, f"training.finetune.unfinished.Unfinished.{moment}")
    before = pkgutil.resolve_name(place)
    calls = 0

    def broken(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > times:
            raise Killed
        return before(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(place, broken)
        with pytest.raises(Killed):
            start("cut")
    start("cut")
    assert_same(tmp_path / "whole", tmp_path / "cut")
    assert not list(tmp_path.glob(".cut*"))


def test_a_run_with_other_options_is_refused_while_one_is_unfinished(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("training.finetune.unfinished.Unfinished.remove", killed)
        with pytest.raises(Killed):
            start("cut")
    other = Options(epochs=3, rate=1e-3, batch_size=16, dropout=0.1, patience=3)
    with pytest.raises(TrainingError, match=r"holds a run with another options .* did not finish"):
        start("cut", options=other)
    shutil.rmtree(beside(tmp_path / "cut"))
    with pytest.raises(TrainingError, match="exists already; choose another folder"):
        start("cut", options=other)


def test_a_loss_that_runs_away_leaves_nothing_in_the_way(start: Start, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not finite any more at step"):
        start("out", options=Options(rate=1e30))
    assert not (tmp_path / "out").exists()
    assert not beside(tmp_path / "out").exists()
    start("out")


def test_a_disk_without_room_is_refused_before_the_training(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: free)
        with pytest.raises(TrainingError, match=r"needs about 0\.00 GB for .* has 0\.00 GB free"):
            start("out")
    assert {path.name for path in tmp_path.iterdir()} == {"train.jsonl", "dev.jsonl"}


def test_a_disk_that_fills_up_keeps_what_was_there(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    write_text = Path.write_text

    def full(path: Path, *arguments: Any, **more: Any) -> int:
        nonlocal calls
        if path.name == "report.json":
            calls += 1
            if calls > 1:
                raise OSError(28, "No space left on device")
        return write_text(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(TrainingError, match="cannot be written: No space left on device"):
            start("out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["kept_epoch"] == 1
    assert not list(tmp_path.glob(".out*"))
    start("whole")
    start("out")  # there is room again
    assert_same(tmp_path / "whole", tmp_path / "out")


def test_a_disk_that_fills_up_with_the_state_keeps_the_state_before(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = torch.save, 0

    def full(state: Any, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            path.write_bytes(b"half of it")
            raise RuntimeError("PytorchStreamWriter failed writing file\nmore of it")
        save(state, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(TrainingError, match="cannot be written: PytorchStreamWriter failed wr"):
            start("out")
    lines: list[str] = []
    start("whole")
    start("out", say=lambda text: lines.extend(text.splitlines()))
    assert "going on after epoch 1 of 3" in lines
    assert_same(tmp_path / "whole", tmp_path / "out")
