"""Joint fillings of the benchmarks' sentences: what is hidden, settled and told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.joint import SAME, WIDTHS, Tried, Way, hidden, report, tried
from benchmarks.texts import sentences
from server.inference.pipeline import Pipeline, Resources
from server.inference.tasks.joint_filling import Order
from server.settings import InferenceOptions, Limits


@pytest.fixture(scope="module")
def pipeline(default_model: Path) -> Iterator[Pipeline]:
    """The committed model, with its workers running."""
    pipeline = Pipeline(default_model, Resources(InferenceOptions(threads=1), Limits()))
    pipeline.start()
    yield pipeline
    pipeline.close()


@pytest.mark.parametrize("masks", [2, 3])
def test_words_are_hidden_and_remembered(pipeline: Pipeline, masks: int) -> None:
    tokenizer = pipeline.model.tokenizer
    whole = {tuple(tokenizer.word(sentence)) for sentence in sentences()}
    found = list(hidden(pipeline, masks, 5))
    assert len({sentence.text for sentence in found}) == 5
    for sentence in found:
        assert sentence.text.count("[MASK]") == len(sentence.masks) == masks
        ids = [*sentence.ids]
        for place, word in zip(sentence.masks, sentence.words, strict=True):
            assert ids[place] == tokenizer.special.mask
            ids[place] = word
        assert tuple(ids) in whole


def test_no_way_finds_more_than_the_best(pipeline: Pipeline) -> None:
    sentence = next(hidden(pipeline, 2, 1))
    outcome = tried(pipeline, pipeline._sessions.usual.run, sentence, most=20)
    assert outcome.found.keys() == {Way(o, n) for o in get_args(Order) for n in WIDTHS}
    for way, log in outcome.found.items():
        best = outcome.best[way.order]
        assert best is None or log <= best + SAME


def test_what_was_left_open_is_not_counted() -> None:
    ways = [Way(order, beams) for order in get_args(Order) for beams in WIDTHS]
    found = {way: -2.0 if way.beams > 1 else -3.0 for way in ways}
    settled = Tried(found, {ways[1]}, {"left_to_right": -2.0, "confidence": None}, alone=True)
    rows = list(report(2, [settled, settled]))
    assert rows[0] == "| 2 | left_to_right | 1 | 0 of 2 | 0 of 2 |"
    assert rows[1] == "| 2 | left_to_right | 2 | 2 of 2 | 2 of 2 |"
    assert rows[len(WIDTHS)] == "| 2 | confidence | 1 | 0 of 0 | 0 of 2 |"
    assert rows[-1] == "| 2 | each mask by itself | | | 2 of 2 |"
