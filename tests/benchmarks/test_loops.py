"""A loop counts what it computes in the measured time, on as many threads as it says."""

import io
import json
import sys
import threading
import time
from typing import Any

import pytest

from benchmarks.loops import Step, Texts, run, serve


class Sleeping:
    """Takes 10 ms for a batch of three."""

    threads = 2

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:
        def step(number: int) -> int:
            time.sleep(0.01)
            return 3

        return step

    def answers(self, task: str, texts: Texts) -> list[Any]:
        return [f"{task}: {text}" for (text,) in texts]


def test_rate_leaves_the_warm_up_out() -> None:
    ran = run(Sleeping().prepare("embed", [], 1), threads=2, warm_s=0.2, seconds=0.4)
    assert ran["seconds"] == pytest.approx(0.4, abs=0.1)
    assert 100 <= ran["texts"] / ran["seconds"] <= 660
    assert ran["served"] > ran["texts"]


def test_every_batch_is_computed_once_and_in_turn() -> None:
    numbers: list[int] = []
    lock = threading.Lock()

    def step(number: int) -> int:
        with lock:
            numbers.append(number)
        time.sleep(0.001)
        return 1

    run(step, threads=3, warm_s=0.0, seconds=0.1)
    assert sorted(numbers) == list(range(len(numbers)))


def test_loop_answers_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"task": "embed", "texts": [["One."]]}
    lines = [asked | {"seconds": None}, asked | {"waiting": 4, "warm_s": 0.0, "seconds": 0.05}]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{json.dumps(x)}\n" for x in lines)))
    serve(Sleeping())
    ready, answers, ran = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready == {"ready": True}
    assert answers == {"answers": ["embed: One."]}
    assert ran["texts"] > 0
