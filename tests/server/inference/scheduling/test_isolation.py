"""A batch that fails is run in halves until the culprit is alone; its neighbours are answered."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from server.errors import ClozeError, InternalError, NonfiniteOutput
from server.inference.runtime.packing import Item, MaskResult, MaskScores, Result
from server.inference.runtime.session import Session
from server.inference.scheduling.isolation import run_isolated
from tests.server.inference.samples import encoding, pooled

CLEAN = 1e-5  # largest difference of a neighbour's answer from a clean run


class Poison:
    """A real session that fails when one of these items is in the batch."""

    def __init__(self, session: Session, poisoned: Sequence[Item], error: Exception) -> None:
        self._session = session
        self._poisoned = {id(item) for item in poisoned}
        self._error = error
        self.sizes: list[int] = []

    def __call__(self, items: Sequence[Item]) -> list[Result]:
        self.sizes.append(len(items))
        if any(id(item) in self._poisoned for item in items):
            raise self._error
        return self._session.run(items)


def unexpected() -> None:
    raise AssertionError("expected no MemoryError")


def vector(result: Result | ClozeError) -> NDArray[np.float32]:
    assert isinstance(result, np.ndarray)
    return result


@pytest.mark.parametrize("place", [0, 13, 31])
def test_one_poisoned_item_among_32_fails_alone(cloze_session: Session, place: int) -> None:
    items = [pooled(3 + number % 7, seed=number) for number in range(32)]
    clean = cloze_session.run(items)
    run = Poison(cloze_session, [items[place]], RuntimeError("secret"))
    results = run_isolated(run, items, unexpected)
    assert type(results[place]) is InternalError
    for number in set(range(32)) - {place}:
        np.testing.assert_allclose(vector(results[number]), vector(clean[number]), atol=CLEAN)
    assert len(run.sizes) == 11  # the whole, then two halves on each of five levels


def test_several_poisoned_items_fail_and_only_they(cloze_session: Session) -> None:
    items = [pooled(5, seed=number) for number in range(13)]
    run = Poison(cloze_session, [items[0], items[6], items[12]], ValueError())
    results = run_isolated(run, items, unexpected)
    failed = [number for number, result in enumerate(results) if isinstance(result, ClozeError)]
    assert failed == [0, 6, 12]


def test_running_out_of_memory_is_reported_and_tried_in_halves(cloze_session: Session) -> None:
    items = [pooled(5, seed=number) for number in range(8)]
    events: list[str] = []

    def run(batch: Sequence[Item]) -> list[Result]:
        if len(batch) > 2:
            raise MemoryError
        return cloze_session.run(batch)

    results = run_isolated(run, items, lambda: events.append("memory"))
    assert not any(isinstance(result, ClozeError) for result in results)
    assert len(events) == 3  # 8, 4 and 4 were too many


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_output_that_is_not_finite_fails_that_item_without_a_second_run(
    cloze_session: Session, bad: float
) -> None:
    items = [pooled(5, seed=number) for number in range(5)]
    calls: list[int] = []

    def run(batch: Sequence[Item]) -> list[Result]:
        calls.append(len(batch))
        results = cloze_session.run(batch)
        broken = np.array(results[2])
        broken[7] = bad
        return [*results[:2], broken, *results[3:]]

    results = run_isolated(run, items, unexpected)
    assert [type(result) is NonfiniteOutput for result in results] == [False] * 2 + [True] + [
        False
    ] * 2
    assert calls == [5]


def test_a_mask_whose_target_is_not_finite_fails(cloze_session: Session) -> None:
    item = Item(encoding(np.random.default_rng(0), 6), MaskScores((2,), 3, ((0, 2003),)))

    def run(batch: Sequence[Item]) -> list[Result]:
        (result,) = cloze_session.run(batch)
        assert isinstance(result, MaskResult)
        nan = np.full(1, np.nan, np.float32)
        return [MaskResult(result.ids, result.log_probabilities, nan)]

    assert isinstance(run_isolated(run, [item], unexpected)[0], NonfiniteOutput)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_run_that_loses_or_adds_results_is_a_failure_not_an_answer(count: int) -> None:
    items = [pooled(5, seed=number) for number in range(3)]

    def run(batch: Sequence[Item]) -> list[Result]:
        return [np.zeros(4, np.float32)] * count

    results = run_isolated(run, items, unexpected)
    assert len(results) == 3
    assert any(isinstance(result, InternalError) for result in results)


def test_the_log_names_the_requests_of_what_failed(
    cloze_session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    items = [pooled(5, seed=number) for number in range(5)]
    run = Poison(cloze_session, [items[2]], RuntimeError())
    run_isolated(run, items, unexpected, [b"list", b"list", b"odd", b"", b"last"])
    told = [vars(one) for one in caplog.records]
    assert [one.get("request_ids", one.get("request_id")) for one in told] == [
        *(["list", "odd", "last"], ["odd", "last"], "odd"),
    ]
    caplog.clear()
    many = [b"%d" % number for number in range(5)] * 20
    run_isolated(Poison(cloze_session, items, RuntimeError()), items * 20, unexpected, many)
    assert max(len(vars(one).get("request_ids", ())) for one in caplog.records) <= 16


def test_an_output_that_is_not_finite_is_told_with_its_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def run(batch: Sequence[Item]) -> list[Result]:
        return [np.full(4, np.inf if at == 1 else at, np.float32) for at in range(len(batch))]

    items = [pooled(5, seed=number) for number in range(3)]
    results = run_isolated(run, items, unexpected, [b"a", b"b", b"c"])
    assert [isinstance(result, NonfiniteOutput) for result in results] == [False, True, False]
    assert [vars(one)["request_id"] for one in caplog.records] == ["b"]


def test_the_log_names_the_error_and_not_its_text(
    cloze_session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    item = pooled(5)
    run = Poison(cloze_session, [item], RuntimeError("the client's secret text"))
    with caplog.at_level(logging.DEBUG):
        (result,) = run_isolated(run, [item], unexpected)
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text
    assert isinstance(result, InternalError)
    assert "secret" not in result.message
