"""What a run did not compute, counted from its feeds and by hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from models.heads import NSP
from models.manifest import load_manifest
from server.inference.runtime.devices import cpu_device
from server.inference.runtime.packing import (
    Item,
    MaskScores,
    PooledLogits,
    SentenceVector,
)
from server.inference.runtime.sessions import Sessions, open_sessions
from server.inference.runtime.spared import Spared, SparedSoFar
from server.settings import InferenceOptions
from tests.server.inference.conftest import load_session
from tests.server.inference.samples import encoding


def items() -> list[Item]:
    """Texts of 5, 9 and 12 tokens: two masks of one, the vector of all of one, [CLS] of one."""
    rng = np.random.default_rng(7)
    return [
        Item(encoding(rng, 5), MaskScores((1, 3), 5)),
        Item(encoding(rng, 9), SentenceVector("mean")),
        Item(encoding(rng, 12), PooledLogits(NSP)),
    ]


EXPECTED = Spared(
    padding_tokens=3 * 12 - (5 + 9 + 12),
    last_layer_rows=(5 - 2) + 0 + (12 - 1),
    vocabulary_rows=5 - 2,
)


def test_a_run_counts_what_its_texts_did_not_need(default_model: Path) -> None:
    session = load_session(default_model)
    session.run(items())
    assert session.spared.read() == EXPECTED


def test_a_text_alone_has_no_padding(default_model: Path) -> None:
    session = load_session(default_model)
    for item in items():
        session.run([item])
    spared = session.spared.read()
    assert spared.padding_tokens == 0
    assert spared.last_layer_rows == EXPECTED.last_layer_rows


def test_runs_of_both_sessions_are_added_up_and_forgotten(default_model: Path) -> None:
    manifest = load_manifest(default_model)
    opened = open_sessions(default_model, manifest, InferenceOptions(), cpu_device())
    sessions = Sessions(opened.options, opened.usual, load_session(default_model))
    for session in sessions.all:
        session.run(items())
    assert sessions.spared() == EXPECTED + EXPECTED
    sessions.forget_spared()
    assert sessions.spared() == Spared()


def test_no_run_is_lost_between_threads() -> None:
    so_far = SparedSoFar()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: so_far.add(Spared(1, 2, 3)), range(2000)))
    assert so_far.read() == Spared(2000, 4000, 6000)
