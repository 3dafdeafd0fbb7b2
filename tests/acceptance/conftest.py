"""What each acceptance test reached, noted beside its bar, and servers that these tests share.

A test is named after its row, and its docstring is the bar. `make reliability` runs them and writes
docs/reliability.md from what pytest's own report (`--junitxml`) says of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.faults import FaultyServer, faults_in
from tests.conftest import Serve
from tests.running_server import RunningServer

Reached = Callable[..., None]


@pytest.fixture(autouse=True)
def reached(request: pytest.FixtureRequest) -> Reached:
    """`reached("p99 1.2 times the baseline", ratio <= 2)`: notes a figure, and that it holds."""
    told: list[tuple[str, object]] = request.node.user_properties
    told.append(("bar", " ".join((inspect.getdoc(request.function) or "").split())))
    is_full = request.node.get_closest_marker("slow") is not None
    told.append(("form", "full" if is_full else "short"))

    def note(figure: str, *held: bool) -> None:
        told.append(("reached", figure))
        assert held
        assert all(held), figure

    return note


@pytest.fixture
def whole(serve: Serve, all_models: Path) -> Iterator[RunningServer]:
    """A server of its own, with a model for each task; the default model answers at the root."""
    server = serve(all_models, default_model="cloze-small-en")
    yield server
    server.kill()


@pytest.fixture
def faulty(
    serve: Serve, default_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FaultyServer]]:
    """`faulty(threads=1)`: a server whose session fails when it is told to."""
    started: list[RunningServer] = []

    def start(**settings: object) -> FaultyServer:
        planted = faults_in(tmp_path / f"faults{len(started)}")
        with monkeypatch.context() as environment:
            environment.setenv("PYTHONPATH", str(planted))
            started.append(serve(default_model, **settings))
        return FaultyServer(started[-1], planted)

    yield start
    for server in started:
        server.kill()
