"""What the other environment lacks: classifiers are made by the one for development."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.running_server import REPOSITORY, RunningServer

DEVELOPING = REPOSITORY / ".venv-dev" / "bin" / "python"
TEXTS = ["A river runs through it.", "Über sieben Brücken musst du gehn.", "日本"]
QUERY = "Where does Clara live?"
DOCUMENTS = ["Omar lives in Oslo.", "Clara lives in Berkeley.", "Maria lives in Lima."]


@pytest.fixture(scope="session")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `checkpoints` and `models`: tiny BERTs with every kind of classifier."""
    folder = tmp_path_factory.mktemp("classifiers")
    made = (folder / "checkpoints", folder / "models")
    subprocess.run([DEVELOPING, "-m", "tests.fine_tuned", *made], cwd=REPOSITORY, check=True)
    return folder


@pytest.fixture(scope="session")
def vectors(everything: RunningServer) -> list[list[float]]:
    """The default model's vectors of `TEXTS`."""
    answer: list[list[float]] = everything.post("/embed", {"inputs": TEXTS}).json()
    return answer


@pytest.fixture(scope="session")
def order(everything: RunningServer) -> list[int]:
    """`DOCUMENTS` by how well they match `QUERY`, the best first."""
    pairs = [[QUERY, document] for document in DOCUMENTS]
    answers = everything.post("/models/matches/predict", {"inputs": pairs}).json()
    scores = [labels[0]["score"] for labels in answers]
    return sorted(range(len(scores)), key=lambda index: -scores[index])
