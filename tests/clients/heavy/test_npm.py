"""The two clients in JavaScript, run by Node.js: OpenAI's and Hugging Face's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.running_server import RunningServer

CLIENT = "npm: openai, @huggingface/inference"
PACKAGES = ("openai", "@huggingface/inference")
LOCK = "npm/package-lock.json"

PROJECT = Path(__file__).with_name("npm")
INSTALLED = Path(sys.prefix) / "npm"


@pytest.fixture(scope="module")
def got(everything: RunningServer) -> dict[str, Any]:
    """What the program printed; its packages are installed once for the environment."""
    if shutil.which("npm") is None:
        pytest.skip("Node.js with npm is not installed")
    installed = INSTALLED / "installed.json"  # the lock of what is there
    lock = PROJECT / "package-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        shutil.rmtree(INSTALLED, ignore_errors=True)
        shutil.copytree(PROJECT, INSTALLED)
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=INSTALLED, check=True, timeout=280)
        shutil.copy(lock, installed)
    shutil.copy(PROJECT / "ask.mjs", INSTALLED)
    done = subprocess.run(
        ["node", "ask.mjs", everything.url], cwd=INSTALLED, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_openai_embeds_in_both_encodings(got: dict[str, Any], everything: RunningServer) -> None:
    """`openai.embeddings.create({model, input})`, and with `encoding_format: "float"`"""
    direct = everything.post("/embed", {"inputs": ["A river runs through it.", "日本"]}).json()
    np.testing.assert_allclose(got["packed"], direct, atol=1e-6)
    np.testing.assert_allclose(got["plain"], direct, atol=1e-6)


def test_openai_lists_models_and_tells_refusals(got: dict[str, Any]) -> None:
    """`openai.models.list()`; an unknown model: its error has status and code"""
    assert got["models"][0] == "cloze-small-en"
    assert got["refused"] == {"status": 404, "code": "model_not_found"}


def test_hugging_face_fills_masks_and_extracts_features(
    got: dict[str, Any], everything: RunningServer
) -> None:
    """`new InferenceClient(token, {endpointUrl})` with `fillMask`, `featureExtraction`"""
    assert got["filled"] == "paris is the capital of france."
    direct = everything.post("/embed", {"inputs": ["A river runs through it.", "日本"]}).json()
    np.testing.assert_allclose(got["features"], direct, atol=1e-6)


def test_hugging_face_classifies_and_answers(got: dict[str, Any]) -> None:
    """`textClassification`, `tokenClassification`, `questionAnswering`"""
    assert (got["labels"], got["entities"], got["answer"]) == (3, ["PER", "LOC"], "Berkeley")


def test_hugging_face_compares_sentences(got: dict[str, Any]) -> None:
    """`sentenceSimilarity`"""
    assert got["similar"][0] == pytest.approx(1)
    assert got["similar"][1] < 1


def test_hugging_face_classifies_without_training(got: dict[str, Any]) -> None:
    """`zeroShotClassification`"""
    assert got["zeroShot"][0]["label"] == "film"
    assert sum(one["score"] for one in got["zeroShot"]) == pytest.approx(1)


def test_hugging_face_needs_no_route(got: dict[str, Any]) -> None:
    """all of these with `endpointUrl` the address of the server, or of a model"""
    masks_and_vectors = {
        "filled": got["filled"],
        "features": got["features"][0],
        "same": 100_000,
    }
    others = {
        "label": "positive",
        "entities": ["PER", "LOC"],
        "answer": "Berkeley",
        "zeroShot": "film",
    }
    assert got["addressed"] == [masks_and_vectors, masks_and_vectors, others] * 2


def test_hugging_face_tells_refusals(got: dict[str, Any]) -> None:
    """a refusal: an error with our sentence"""
    assert "[MASK]" in got["message"]
