"""A batch in a larger shape gives the same answers, on the CPU and with all heads."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu.bert import Bert
from benchmarks.gpu.buckets import Shape, padded, trimmed
from benchmarks.gpu.lab import Lab, run
from models.heads import NSP
from server.inference.runtime.devices import cpu_device
from server.inference.runtime.packing import (
    Encoding,
    Item,
    MaskScores,
    PooledLogits,
    SentenceVector,
)

TOLERANCE = 1e-5
TOKENIZER = Path(__file__).parents[3] / "models" / "cloze-small-en" / "tokenizer.json"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("graphs")
    return Lab(cpu_device(), folder, TOKENIZER, seconds=0.01, limit_s=60)


def text(length: int, first: int) -> Encoding:
    ids = np.arange(first, first + length, dtype=np.int64)
    return Encoding(ids, (np.arange(length) >= length // 2).astype(np.int64))


MIXED = [
    Item(text(7, 1000), MaskScores((2, 5), 3, ((0, 77), (1, 78)))),
    Item(text(12, 2000), PooledLogits(NSP)),
    Item(text(3, 3000), SentenceVector("mean")),
    Item(text(9, 4000), SentenceVector("cls", -2)),
    Item(text(5, 5000), SentenceVector("mean", -2)),
    Item(text(4, 6000), SentenceVector("max")),
]


@pytest.mark.parametrize("items", [MIXED, MIXED[:1], MIXED[1:2], MIXED[3:5], MIXED[5:]])
def test_padded_batch_gives_the_same_answers(lab: Lab, items: list[Item]) -> None:
    session = lab.raw(lab.graph("tiny", "fp32"))
    feeds = lab.feeds(items, "tiny")
    own = Shape.of(feeds)
    wanted = run(session, feeds)
    found: dict[str, Any] = dict(trimmed(run(session, padded(feeds, own.grown())), own))
    assert found.keys() == wanted.keys()
    for name, output in wanted.items():
        assert found[name].shape == output.shape, name
        if name == "mlm_ids":
            assert (found[name] == output).all()
        else:
            np.testing.assert_allclose(found[name], output, rtol=0, atol=TOLERANCE, err_msg=name)


def test_padded_batch_has_the_shape_that_was_asked_for(lab: Lab) -> None:
    feeds = lab.feeds(MIXED, "tiny")
    shape = Shape.of(feeds).grown()
    assert Shape.of(padded(feeds, shape)) == shape
    assert all(size & (size - 1) == 0 for size in astuple(shape))


def test_grown_shape_has_no_empty_dimension(lab: Lab) -> None:
    assert min(astuple(Shape.of(lab.feeds(MIXED[2:3], "tiny")).grown())) == 1


def test_weights_are_the_same_every_time_and_differ_from_each_other() -> None:
    weights, again = Bert("tiny", "").weights, Bert("tiny", "").weights
    key, value = (weights[f"layers.1.attention.{part}.weight"] for part in ("key", "value"))
    assert (key == again["layers.1.attention.key.weight"]).all()
    assert not (key == value).any()
    assert (weights["layers.0.output.norm.weight"] == 1).all()
