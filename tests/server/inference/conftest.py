"""Real sessions and pipelines on the committed int8 model, and on float32 exports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import transformers

from models.manifest import load_manifest
from server.inference.options import InferenceOptions
from server.inference.pipeline import Pipeline
from server.inference.runtime.session import Session, SessionOptions
from server.inference.tokenizer import Tokenizer
from tests.running_server import REPOSITORY


@pytest.fixture(scope="session", autouse=True)
def _quiet_transformers() -> None:
    """Progress bars and load reports of the reference are no part of what is tested."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def load_session(folder: Path, intra_op: int = 1) -> Session:
    return Session(folder, load_manifest(folder), SessionOptions(intra_op))


def run_pipeline(folder: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(folder, InferenceOptions(threads=2))
    pipeline.start()
    yield pipeline
    pipeline.close()


@pytest.fixture(scope="session")
def standin_model(standin_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder made from the stand-in, in float32."""
    folder = tmp_path_factory.mktemp("models") / "standin"
    subprocess.run(
        [sys.executable, "-m", "export", standin_checkpoint, folder, "--precision", "fp32"],
        cwd=REPOSITORY,
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def minilm_half_model(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder made from MiniLM, in float16."""
    folder = tmp_path_factory.mktemp("models") / "minilm-half"
    subprocess.run(
        [sys.executable, "-m", "export", minilm_checkpoint, folder, "--precision", "fp16"],
        cwd=REPOSITORY,
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def cloze_session(default_model: Path) -> Session:
    """The committed model, in int8."""
    return load_session(default_model)


@pytest.fixture(scope="session")
def minilm_session(minilm_model: Path) -> Session:
    """MiniLM in float32."""
    return load_session(minilm_model)


@pytest.fixture(scope="session")
def cloze(default_model: Path) -> Iterator[Pipeline]:
    """The committed model, in int8, with its workers running."""
    yield from run_pipeline(default_model)


@pytest.fixture(scope="session")
def minilm(minilm_model: Path) -> Iterator[Pipeline]:
    """MiniLM in float32, with its workers running."""
    yield from run_pipeline(minilm_model)


@pytest.fixture(scope="session")
def standin(standin_model: Path) -> Iterator[Pipeline]:
    """The stand-in in float32, with its workers running."""
    yield from run_pipeline(standin_model)


@pytest.fixture(scope="session")
def classifier(classifiers: Path) -> Iterator[Callable[[str], Pipeline]]:
    """`classifier("names")`: one of the tiny classifiers, with its workers running."""
    running: dict[str, Pipeline] = {}

    def load(name: str) -> Pipeline:
        if name not in running:
            running[name] = Pipeline(classifiers / "models" / name, InferenceOptions(threads=1))
            running[name].start()
        return running[name]

    yield load
    for pipeline in running.values():
        pipeline.close()


@pytest.fixture(scope="session")
def tokenizer(default_model: Path) -> Tokenizer:
    """The committed model's tokenizer."""
    return Tokenizer(default_model / "tokenizer.json")
