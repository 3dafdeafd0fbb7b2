"""A folder that a run wrote in, the commands that come next out: export, serve, and a call."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHOWN = 3  # labels in the answer that is printed


def next_steps(
    out: Path, task: str, labels: Sequence[str], *, pairs: bool, may_abstain: bool
) -> str:
    """What to type next, with the answer that is to be expected.

    Args:
        out: the checkpoint's folder.
        task: `sequence`, `token` or `question`.
        labels: the user's own.
        pairs: whether two texts were learnt at a time.
        may_abstain: whether a context may have no answer.
    """
    path, body, answer = _call(task, labels, pairs=pairs, may_abstain=may_abstain)
    name = out.resolve().name
    folders = f"{shlex.quote(str(out))} {shlex.quote(f'models/{name}')}"
    return "\n".join(
        [
            "next:",
            f'  make export ARGS="{folders}"',
            f'  make serve ARGS="--default-model {shlex.quote(name)}"',
            f"  curl -s localhost:8080{path} -H 'content-type: application/json' \\",
            f"      -d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
            f"  # {answer}",
        ]
    )


def _call(
    task: str, labels: Sequence[str], *, pairs: bool, may_abstain: bool
) -> tuple[str, Any, str]:
    """The path, the body and the answer's shape."""
    text = "Your text."
    if task == "token":
        parameters = {"aggregation_strategy": "first"}
        kinds = sorted({label.partition("-")[2] or label for label in labels} - {"O"})
        answer = _answer("entity_group", kinds, {"score": "…", "word": "…"})
        return "/token-classification", {"inputs": text, "parameters": parameters}, answer
    if task == "question":
        inputs = {"question": "Your question?", "context": text}
        body: dict[str, Any] = {"inputs": inputs}
        if may_abstain:
            body["parameters"] = {"handle_impossible_answer": True}
        return "/question-answering", body, '{"answer": "…", "score": …, "start": …, "end": …}'
    texts: Any = [[text, "Your other text."]] if pairs else text
    return "/predict", {"inputs": texts}, _answer("label", labels, {"score": "…"})


def _answer(key: str, labels: Sequence[str], more: dict[str, str]) -> str:
    """A list of objects, one for each of the first labels."""
    entries = [json.dumps({key: label, **more}, ensure_ascii=False) for label in labels[:SHOWN]]
    entries += ["…"] if len(labels) > SHOWN else []
    return "[" + ", ".join(entries).replace('"…"', "…") + "]"
