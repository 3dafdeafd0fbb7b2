"""How many cores a run uses is measured on the real session."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from server.inference.options import runs_at_once, worker_count
from server.inference.pipeline import Pipeline
from server.inference.runtime.cores import available_cores
from server.inference.runtime.devices import cpu_device
from server.inference.runtime.session import Session
from server.inference.runtime.sessions import GIVEN_UP, Rates, measured_session
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.settings import InferenceOptions
from tests.server.inference.conftest import load_session, resources, value_of
from tests.server.inference.samples import pooled


def test_all_cores_are_chosen_where_they_lose_little() -> None:
    assert Rates(1000, 1000 * (1 - GIVEN_UP)).intra_op(4) == 4
    assert Rates(1000, 1000 * (1 - GIVEN_UP) - 1).intra_op(4) == 1


def test_both_ways_are_measured_and_the_choice_is_logged(
    default_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded: list[int] = []

    def load(intra_op: int) -> Session:
        loaded.append(intra_op)
        return load_session(default_model, intra_op)

    with caplog.at_level(logging.INFO):
        session, chosen = measured_session(load, 2)
    assert loaded == [1, 2]
    (record,) = caplog.records
    said = vars(record)
    rates = Rates(said["tokens_per_s_one_core_a_run"], said["tokens_per_s_all_cores_a_run"])
    assert min(rates.apart, rates.together) > 100
    assert said["intra_op"] == chosen == rates.intra_op(2)
    assert len(session.run([pooled(7)])) == 1


def test_one_core_needs_no_measuring(default_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        _, chosen = measured_session(lambda intra_op: load_session(default_model, intra_op), 1)
    assert chosen == 1
    assert not caplog.records


def test_a_pipeline_that_is_to_measure_runs(default_model: Path) -> None:
    pipeline = Pipeline(default_model, resources(intra_op=0))
    assert pipeline._sessions.options.intra_op in {1, available_cores()}  # decided, for all to see
    pipeline.start()
    pipeline.warm()
    pipeline.close()


def test_a_pipeline_has_a_session_for_lone_runs_where_it_is_asked_for(default_model: Path) -> None:
    for asked in (1, 2):
        pipeline = Pipeline(default_model, resources(intra_op_alone=asked))
        assert (pipeline._sessions.alone is not None) is (min(asked, available_cores()) > 1)
        pipeline.start()
        pipeline.warm()
        vectors = value_of(pipeline, EMBED, ["A text by itself."], EmbedOptions())
        assert vectors.shape == (1, 384)
        pipeline.close()


def test_workers_are_counted_for_a_choice_that_is_not_made_yet() -> None:
    cpu = cpu_device()
    assert worker_count(InferenceOptions(intra_op=0), cpu) == available_cores() + 1
    assert runs_at_once(InferenceOptions(intra_op=0), cpu) == available_cores()
    assert runs_at_once(InferenceOptions(intra_op=1024), cpu) == 1
