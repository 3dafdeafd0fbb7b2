"""Real sessions and pipelines on the committed int8 model, and on float32 exports."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import transformers

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from models.manifest import TOKENIZER_FILE, load_manifest
from server.inference.pipeline import Answered, Pipeline, Resources
from server.inference.runtime.session import Session, SessionOptions
from server.inference.tasks.task import Task
from server.inference.tokenizer import Tokenizer
from server.settings import InferenceOptions, Limits
from tests.pretrained import write_pretraining_checkpoint
from tests.running_server import REPOSITORY

In = TypeVar("In")
Options = TypeVar("Options")
Out = TypeVar("Out")


@pytest.fixture(scope="session", autouse=True)
def _quiet_transformers() -> None:
    """Progress bars and load reports of the reference are no part of what is tested."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def load_session(folder: Path, intra_op: int = 1) -> Session:
    return Session(folder, load_manifest(folder), SessionOptions(intra_op))


def resources(**settings: Any) -> Resources:
    """What the models of a test share; `settings` are options and limits by their names."""
    unknown = settings.keys() - InferenceOptions.model_fields.keys() - Limits.model_fields.keys()
    assert not unknown
    return Resources(InferenceOptions(**settings), Limits(**settings))


def run_task(
    pipeline: Pipeline, task: Task[In, Options, Out], inputs: Sequence[In], options: Options
) -> Answered[Out]:
    """What a pipeline makes of one request."""
    return asyncio.run(pipeline.run(task, inputs, options))


def value_of(
    pipeline: Pipeline, task: Task[In, Options, Out], inputs: Sequence[In], options: Options
) -> Out:
    """The answer alone."""
    return run_task(pipeline, task, inputs, options).value


def proceed() -> None:
    """Nobody gives up."""


def run_pipeline(folder: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(folder, resources(threads=2))
    pipeline.start()
    yield pipeline
    pipeline.close()


@pytest.fixture(scope="session")
def pretraining_checkpoint(default_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT with both pretraining heads."""
    folder = tmp_path_factory.mktemp("checkpoints") / "pretraining"
    write_pretraining_checkpoint(folder, default_model / TOKENIZER_FILE)
    return folder


@pytest.fixture(scope="session")
def pretraining_model(
    pretraining_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model folder made from it, in float32."""
    folder = tmp_path_factory.mktemp("models") / "pretraining"
    subprocess.run(
        [sys.executable, "-m", "export", pretraining_checkpoint, folder, "--precision", "fp32"],
        cwd=REPOSITORY,
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def sparse_model(pretraining_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, exported for sparse vectors."""
    folder = tmp_path_factory.mktemp("models") / "sparse"
    checkpoint = replace(read_checkpoint(pretraining_checkpoint), sparse=True)
    export_model(checkpoint, folder, precision="fp32", progress=lambda _line: None)
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
def pretraining(pretraining_model: Path) -> Iterator[Pipeline]:
    """The random model with both pretraining heads in float32, with its workers running."""
    yield from run_pipeline(pretraining_model)


@pytest.fixture(scope="session")
def sparse(sparse_model: Path) -> Iterator[Pipeline]:
    """The random model that gives sparse vectors, with its workers running."""
    yield from run_pipeline(sparse_model)


@pytest.fixture(scope="session")
def classifier(classifiers: Path) -> Iterator[Callable[[str], Pipeline]]:
    """`classifier("names")`: one of the tiny classifiers, with its workers running."""
    running: dict[str, Pipeline] = {}

    def load(name: str) -> Pipeline:
        if name not in running:
            running[name] = Pipeline(classifiers / "models" / name, resources(threads=1))
            running[name].start()
        return running[name]

    yield load
    for pipeline in running.values():
        pipeline.close()


@pytest.fixture(scope="session")
def tokenizer(default_model: Path) -> Tokenizer:
    """The committed model's tokenizer."""
    return Tokenizer(default_model / "tokenizer.json")
