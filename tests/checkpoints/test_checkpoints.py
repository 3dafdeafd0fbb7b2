"""The checkpoints that people use most: served as transformers has them, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.checkpoints.__main__ import PAGE, page, refusal
from tests.checkpoints.answers import difference
from tests.checkpoints.row import Row
from tests.checkpoints.rows import ASKED, MADE, REFUSED, ROWS
from tests.checkpoints.serving import exported, model_name
from tests.conftest import Serve
from tests.running_server import RunningServer

TOLERANCE = 1e-5
MODELS = {row.making: model_name(row) for row in MADE}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `checkpoints` and `models`, with one of each making that is served."""
    folder = tmp_path_factory.mktemp("rows")
    exported(MADE, folder)
    return folder


@pytest.fixture(scope="module")
def server(serve: Serve, checkpoints: Path) -> RunningServer:
    """All of them in one server."""
    return serve(checkpoints / "models", default_model=model_name(MADE[0]))


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What the exporter says of all others, by their making."""
    folder = tmp_path_factory.mktemp("refused")
    return {row.making: refusal(row, folder / str(number)) for number, row in enumerate(REFUSED)}


@pytest.mark.parametrize("row", ASKED, ids=model_name)
def test_it_answers_as_its_library_does(row: Row, checkpoints: Path, server: RunningServer) -> None:
    name = MODELS[row.making]
    assert difference(row, checkpoints / "checkpoints" / name, server, name) < TOLERANCE


@pytest.mark.parametrize("row", REFUSED, ids=model_name)
def test_it_is_refused_by_name(row: Row, refusals: Mapping[str, str]) -> None:
    assert row.refused in refusals[row.making]


def test_the_page_says_so(refusals: Mapping[str, str]) -> None:
    written = page(refusals)
    assert PAGE.read_text(encoding="utf-8") == written, "python -m tests.checkpoints writes it"


def test_no_row_stands_twice() -> None:
    names = [(row.name, row.after) for row in ROWS]
    assert len(names) == len(set(names)) >= 60
    assert len({model_name(row) for row in MADE}) == len(MADE)
