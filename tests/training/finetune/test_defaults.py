"""What fits a model's size and a number of rows, where nothing else is said."""

from __future__ import annotations

import pytest

from training.finetune.defaults import fitted
from training.finetune.task import Options


@pytest.mark.parametrize("rows", [1, 50, 600, 3_999, 4_000, 400_000])
@pytest.mark.parametrize("hidden", [128, 384, 768, 1024])
def test_nothing_is_left_open_and_all_is_within_bounds(hidden: int, rows: int) -> None:
    chosen = fitted(Options(), hidden=hidden, rows=rows)
    assert 3 <= chosen.epochs <= 10
    assert chosen.batch_size in {16, 32}
    assert 2e-5 <= chosen.rate <= 5e-4
    assert fitted(chosen, hidden=hidden, rows=rows) == chosen


def test_what_is_said_stays() -> None:
    said = Options(epochs=2, rate=3e-5, batch_size=7)
    assert fitted(said, hidden=128, rows=100) == said
    assert fitted(Options(epochs=2), hidden=128, rows=100).epochs == 2


def test_narrow_models_learn_faster_and_few_rows_longer() -> None:
    rates = [fitted(Options(), hidden=hidden, rows=600).rate for hidden in (128, 384, 768)]
    assert rates == sorted(rates, reverse=True)
    epochs = [fitted(Options(), hidden=384, rows=rows).epochs for rows in (300, 1_000, 50_000)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] == 3
    # Parts of a step are no more steps.
    assert fitted(Options(accumulate=4), hidden=384, rows=600).epochs == 10
