"""POST /embed: the shape of TEI, and the vectors of sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conftest import Serve
from tests.running_server import RunningServer

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXTS = [
    "A cat.",
    "The quick brown fox jumps over the lazy dog, twice.",
    "Ünïcödé 漢字 and [MASK]!",
]
TOLERANCE = 1e-4


def embed(server: RunningServer, inputs: object, **options: object) -> NDArray[np.float64]:
    response = server.post("/embed", {"inputs": inputs, **options})
    assert response.status_code == 200, response.text
    vectors = np.array(response.json())
    assert vectors.ndim == 2
    return vectors


@pytest.fixture(scope="module")
def minilm(serve: Serve, minilm_model: Path) -> RunningServer:
    return serve(minilm_model)


def test_minilm_answers_what_sentence_transformers_does(
    minilm: RunningServer, minilm_checkpoint: Path
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    expected = sentence_transformers.SentenceTransformer(
        str(minilm_checkpoint), device="cpu"
    ).encode(TEXTS)
    np.testing.assert_allclose(embed(minilm, TEXTS), expected, atol=TOLERANCE)


def test_one_text_answers_a_list_of_one_vector(minilm: RunningServer) -> None:
    np.testing.assert_allclose(embed(minilm, TEXTS[0]), embed(minilm, TEXTS)[:1], atol=1e-5)


def test_token_ids_of_the_model_answer_what_their_text_does(minilm: RunningServer) -> None:
    (tokens,) = minilm.post("/tokenize", {"inputs": TEXTS[1]}).json()
    ids = [token["id"] for token in tokens]
    expected = embed(minilm, TEXTS[1])
    np.testing.assert_allclose(embed(minilm, [ids]), expected, atol=1e-5)
    np.testing.assert_allclose(embed(minilm, ids), expected, atol=1e-5)


def test_the_first_numbers_of_several_texts_are_answered_unnormalised(
    server: RunningServer,
) -> None:
    whole = embed(server, TEXTS, normalize=False)
    cut = embed(server, TEXTS, normalize=False, dimensions=7)
    np.testing.assert_allclose(cut, whole[:, :7], atol=1e-5)


def test_dimensions_slices_then_normalises(minilm: RunningServer) -> None:
    whole = embed(minilm, TEXTS)[:, :7]
    expected = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(minilm, TEXTS, dimensions=7), expected, atol=1e-5)


def test_vectors_are_left_as_long_as_they_are_on_request(minilm: RunningServer) -> None:
    raw = embed(minilm, TEXTS, normalize=False)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert (np.abs(lengths - 1) > 1e-3).all()
    np.testing.assert_allclose(raw / lengths, embed(minilm, TEXTS), atol=1e-5)


def test_other_pooling_answers_other_vectors(minilm: RunningServer) -> None:
    mean, cls = embed(minilm, TEXTS, pooling="mean"), embed(minilm, TEXTS, pooling="cls")
    np.testing.assert_allclose(mean, embed(minilm, TEXTS), atol=1e-5)
    assert np.abs(mean - cls).max() > 1e-2


def test_truncation_takes_the_named_end(minilm: RunningServer) -> None:
    text = "first " * 600 + "last " * 600
    right = embed(minilm, text, truncate=True)
    left = embed(minilm, text, truncate=True, truncation_direction="Left")
    (first,), (last,) = embed(minilm, "first " * 200), embed(minilm, "last " * 200)
    assert right[0] @ first > right[0] @ last
    assert left[0] @ last > left[0] @ first


def test_truncation_is_reported_by_index(minilm: RunningServer) -> None:
    body = {"inputs": ["short", "word " * 1000], "truncate": True}
    assert minilm.post("/embed", body).headers["x-truncated"] == "1"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"inputs": ""}, "empty_text", "inputs"),
        ({"inputs": ["a", ""]}, "empty_text", "inputs[1]"),
        ({"inputs": "word " * 1000}, "too_long", "inputs"),
        ({"inputs": ["a", "word " * 1000]}, "too_long", "inputs[1]"),
        ({"inputs": [[2_000_000]]}, "wrong_type", "inputs[0]"),
        ({"inputs": [[-1]]}, "invalid_parameter", "inputs[0][0]"),
        ({"inputs": [["a"]]}, "wrong_type", "inputs[0][0]"),
        ({"inputs": {"text": "a"}}, "wrong_type", "inputs"),
        ({"inputs": "a", "dimensions": 0}, "invalid_parameter", "dimensions"),
        ({"inputs": "a", "dimensions": 100_000}, "invalid_parameter", "dimensions"),
        ({"inputs": "a", "pooling": "sum"}, "invalid_parameter", "pooling"),
        ({"inputs": "a", "layer": -99}, "invalid_parameter", "layer"),
        ({"inputs": "a", "prompt_name": "nope"}, "invalid_parameter", "prompt_name"),
        ({"inputs": "a", "truncation_direction": "up"}, "invalid_parameter", None),
        ({"inputs": "a", "truncate": "yes"}, "wrong_type", "truncate"),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_name(
    minilm: RunningServer, body: object, code: str, param: str | None
) -> None:
    response = minilm.post("/embed", body)
    error = response.json()
    assert (response.status_code, error["code"]) == (422, code)
    assert param is None or error["param"] == param
