"""What runs cost is found from a few of them, or not claimed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest

from server.inference.pipeline import Pipeline
from server.inference.runtime.packing import Item, MaskScores, Result
from server.inference.runtime.session import Session
from server.inference.scheduling.cost import (
    SHAPES,
    CostModel,
    Shape,
    by_operations,
    fitted,
    timed_runs,
)

TRUE = CostModel(run=1600, token=90, area=0.13, vocabulary=1100)
CLOSE = 0.25  # a coefficient's error where times are noisy
SPREAD = 2.0  # times by which a real run may differ from what the fit says


def times(model: CostModel, noise: float = 0.0) -> list[tuple[Shape, float]]:
    """What runs of a machine that obeys the model take, each off by up to `noise` of its time."""
    rng = np.random.default_rng(0)
    return [(shape, cost_of(model, shape) * rng.uniform(1 - noise, 1 + noise)) for shape in SHAPES]


def cost_of(model: CostModel, shape: Shape) -> float:
    tokens = shape.texts * shape.length
    return model.cost(shape.texts, shape.length, tokens, masked=shape.masked)


def coefficients(model: CostModel | None) -> list[float]:
    assert model is not None
    return [model.run, model.token, model.area, model.vocabulary]


def test_the_coefficients_of_exact_times_are_found() -> None:
    assert coefficients(fitted(times(TRUE))) == pytest.approx(coefficients(TRUE), rel=1e-6)


def test_the_coefficients_of_noisy_times_are_nearly_found() -> None:
    assert coefficients(fitted(times(TRUE, noise=0.03))) == pytest.approx(
        coefficients(TRUE), rel=CLOSE
    )


def test_no_coefficient_is_negative() -> None:
    # A run that costs less than nothing would suit these best.
    found = fitted([(shape, spent - 100) for shape, spent in times(CostModel(0, 90, 0.1, 0))])
    assert coefficients(found)[0] == 0
    assert min(coefficients(found)) >= 0


def test_a_model_without_masks_costs_no_vocabulary() -> None:
    plain = [(shape, spent) for shape, spent in times(TRUE) if not shape.masked]
    assert coefficients(fitted(plain)) == pytest.approx([1600, 90, 0.13, 0], rel=1e-6)


def test_times_that_follow_no_such_model_are_refused() -> None:
    rng = np.random.default_rng(1)
    assert fitted([(shape, float(rng.uniform(1e3, 1e5))) for shape in SHAPES]) is None
    assert fitted([(shape, 5000.0 + shape.length % 7) for shape in SHAPES]) is None


def test_attention_that_seems_to_cost_nothing_is_not_believed() -> None:
    assert fitted(times(CostModel(1600, 90, 0, 1100))) is None


def test_too_few_times_are_refused() -> None:
    assert fitted(times(TRUE)[:5]) is None


def test_the_real_session_follows_its_fit(cloze_session: Session) -> None:
    cloze_session.warm([MaskScores((1,), 5)], 512)
    model = fitted(timed_runs(cloze_session.run, SHAPES, time.thread_time, limit_s=2))
    assert model is not None
    unseen = [Shape(3, 20), Shape(20, 20), Shape(1, 200), Shape(3, 100)]
    for shape, spent in timed_runs(cloze_session.run, unseen, time.thread_time, limit_s=2):
        assert 1 / SPREAD < spent / cost_of(model, shape) < SPREAD
    # Attention is one layer's products of many: it never costs more than all else together...
    assert model.area < model.token / 64
    # ...and not less than its share of the operations, at half of which it is still recognised.
    counted = by_operations(384)
    assert model.area / model.token > counted.area / counted.token / 2


def test_a_warm_pipeline_knows_what_its_runs_cost(cloze: Pipeline) -> None:
    cloze.warm()
    assert cloze.cost.token > 5  # microseconds: measured, not counted in tokens' worth


def test_a_slow_model_is_timed_only_for_as_long_as_there_is() -> None:
    ran: list[int] = []

    def slow(items: Sequence[Item]) -> list[Result]:
        tokens = sum(len(item.encoding) for item in items)
        ran.append(tokens)
        time.sleep(tokens / 1000)
        return []

    begun = time.perf_counter()
    timed_runs(slow, SHAPES, limit_s=0.2)
    assert time.perf_counter() - begun < 0.4
    assert ran[0] == 8
    assert sum(ran) < 250


def test_one_text_costs_its_products_and_its_attention() -> None:
    counted = by_operations(384)
    alone = counted.cost(1, 384, 384, masked=False)
    assert alone - counted.run == 384 + 384 / 6
    assert counted.cost(4, 10, 31, masked=True) == 2 * counted.run + 31 + 4 * 100 / (6 * 384)
