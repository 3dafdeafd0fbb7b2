"""The commands that come next, and that they are what the command line and the server take."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from training.finetune.next_steps import next_steps


def lines(task: str, labels: tuple[str, ...] = (), out: str = "runs/opinions", **more: bool) -> str:
    flags = {"pairs": False, "may_abstain": False} | more
    return next_steps(Path(out), task, labels, **flags)


def body(text: str) -> tuple[str, Any]:
    """The path and the body of the call, as a shell reads it."""
    (command,) = re.findall(r"curl(?:[^\n]|(?<=\\)\n)*", text)
    words = shlex.split(command.replace("\\\n", ""))
    return words[2].removeprefix("localhost:8080"), json.loads(words[words.index("-d") + 1])


def test_each_task_is_asked_at_its_route_with_its_own_labels() -> None:
    shown = lines("sequence", ("bad", "it's good"))
    assert body(shown) == ("/predict", {"inputs": "Your text."})
    assert shown.endswith('# [{"label": "bad", "score": …}, {"label": "it\'s good", "score": …}]')
    path, asked = body(lines("sequence", ("a", "b"), pairs=True))
    assert (path, asked) == ("/predict", {"inputs": [["Your text.", "Your other text."]]})
    path, asked = body(shown := lines("token", ("B-LOC", "B-PER", "I-PER", "O")))
    assert path == "/token-classification"
    assert asked["parameters"] == {"aggregation_strategy": "first"}
    assert '"entity_group": "LOC"' in shown
    path, asked = body(lines("question", may_abstain=True))
    assert path == "/question-answering"
    assert asked["parameters"] == {"handle_impossible_answer": True}
    assert "parameters" not in body(lines("question"))[1]


def test_more_labels_than_fit_are_left_out() -> None:
    assert lines("sequence", tuple("abcd")).endswith('{"label": "c", "score": …}, …]')


@pytest.mark.parametrize("out", ["runs/opinions", "my runs/op"])
def test_folder_is_exported_and_served_by_its_name(out: str) -> None:
    text = lines("sequence", ("a", "b"), out=out)
    (given,) = re.findall(r'make export ARGS="(.*)"', text)
    assert shlex.split(given) == [out, f"models/{Path(out).name}"]
    assert f'make serve ARGS="--default-model {Path(out).name}"' in text
