"""The checkpoints that people use most: served as transformers has them, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from tests.checkpoints.__main__ import PAGE, page
from tests.checkpoints.answers import difference
from tests.checkpoints.making import make
from tests.checkpoints.rows import ROWS, Row
from tests.checkpoints.serving import exported, model_name
from tests.conftest import Serve
from tests.running_server import RunningServer

TOLERANCE = 1e-5
SERVED = [row for row in ROWS if not row.refused]
REFUSED = [row for row in ROWS if row.refused]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `checkpoints` and `models`, with one of each row that is served."""
    folder = tmp_path_factory.mktemp("rows")
    exported(SERVED, folder)
    return folder


@pytest.fixture(scope="module")
def server(serve: Serve, checkpoints: Path) -> RunningServer:
    """All of them in one server."""
    return serve(checkpoints / "models", default_model=model_name(SERVED[0]))


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.name)
def test_it_answers_as_its_library_does(row: Row, checkpoints: Path, server: RunningServer) -> None:
    name = model_name(row)
    assert difference(row, checkpoints / "checkpoints" / name, server, name) < TOLERANCE


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_it_is_refused_by_name(row: Row, tmp_path: Path) -> None:
    make(row, tmp_path / "checkpoint")
    with pytest.raises(ExportError) as refused:
        read_checkpoint(tmp_path / "checkpoint")
    assert row.refused in str(refused.value)


def test_the_page_says_so() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.checkpoints writes it"
