"""Encoders of other families than BERT in the server's own sessions, as transformers computes them.

What differs for a session: positions of their own, no token types, a pooler that reads the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from export.check import quantization_error
from export.read.weights import Float32
from export.write.model_folder import export_model
from models.graph_file import require_graph
from models.heads import QA, SEQUENCE, TOKEN
from models.manifest import load_manifest
from server.inference.runtime.packing import (
    Encoding,
    Item,
    OutputSpec,
    PooledLogits,
    SentenceVector,
    TokenLogits,
)
from tests import families
from tests.families import Made
from tests.server.inference.conftest import load_session

SAME = 1e-5  # absolute, of logits and vectors
CASES = {
    "roberta": "ForSequenceClassification",
    "distilbert": "ForTokenClassification",
    "mpnet": "Model",
    "electra": "ForQuestionAnswering",
    "modernbert": "ForSequenceClassification",
    "modernbert mean": "ForSequenceClassification",
    "albert": "ForSequenceClassification",
    "nomicbert": "Model",
}
ROWS = np.array([0, 1, 2])

Wanted = Callable[[dict[str, Float32]], Float32]


def rows_of(output: str, out: dict[str, Float32]) -> Float32:
    rows: Float32 = out[output][ROWS]
    return rows


def read(made: Made) -> list[tuple[OutputSpec, Wanted]]:
    """What is read of a text, and how it follows from what transformers gives."""
    found: list[tuple[OutputSpec, Wanted]] = [
        (SentenceVector("mean"), lambda out: out["token_vectors"].mean(axis=0)),
        (SentenceVector("cls"), lambda out: out["token_vectors"][0]),
        (SentenceVector("mean", -2), lambda out: out["before"].mean(axis=0)),
    ]
    if SEQUENCE.name in made.checkpoint.heads:
        found.append((PooledLogits(SEQUENCE), lambda out: out[SEQUENCE.output]))
    heads = [head for head in (TOKEN, QA) if head.name in made.checkpoint.heads]
    return found + [(TokenLogits(head, ROWS), partial(rows_of, head.output)) for head in heads]


@pytest.mark.parametrize("name", CASES)
def test_session_gives_what_transformers_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(quantization_error, "OPERATIONS", 4e7)
    made = families.make(name, CASES[name], tmp_path / "checkpoint")
    export_model(made.checkpoint, tmp_path / "model", precision="fp32", progress=lambda _: None)
    require_graph(tmp_path / "model", load_manifest(tmp_path / "model"))
    session = load_session(tmp_path / "model")
    texts = [text for text in made.texts if len(text.ids) >= len(ROWS)]
    wanted = [made.wanted(text) for text in texts]
    # Every text with every output, side by side and one by one.
    items, expected = [], []
    for spec, of in read(made):
        for text, theirs in zip(texts, wanted, strict=True):
            items.append(Item(Encoding(text.ids, text.type_ids), spec))
            expected.append(of(theirs))
    assert_same(session.run(items), expected)
    assert_same([session.run([item])[0] for item in items], expected)


def assert_same(found: Sequence[object], expected: Sequence[Float32]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert isinstance(ours, np.ndarray)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= SAME
