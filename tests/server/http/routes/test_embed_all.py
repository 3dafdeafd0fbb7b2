"""POST /embed_all and the poolings of /embed, against sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.running_server import RunningServer
from tests.sentence_folders import HIDDEN, TEXTS
from tests.server.http.routes.conftest import EMBEDDERS

PARITY = 1e-5


def post(server: RunningServer, path: str, **body: object) -> Any:
    response = server.post(path, body)
    assert response.status_code == 200, response.text
    return response.json()


def rows_of(model: Any, texts: list[str], prompt: str) -> list[np.ndarray]:
    """The rows of each text's tokens, as the library has them."""
    found = model.encode(texts, output_value="token_embeddings", prompt_name=prompt)
    return [one.numpy() for one in found]


@pytest.mark.parametrize("prompt", ["query", "none"])
@pytest.mark.parametrize("name", EMBEDDERS)
def test_rows_are_those_of_sentence_transformers(
    library_server: RunningServer, library: Callable[[str], Any], name: str, prompt: str
) -> None:
    texts, wanted = list(TEXTS), rows_of(library(name), list(TEXTS), prompt)
    body = {"inputs": texts, "truncate": True, "prompt_name": prompt}
    found = post(library_server, f"/models/{name}/embed_all", **body)
    assert [len(one) for one in found] == [len(one) for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=PARITY)


def test_no_pooling_is_the_same(library_server: RunningServer) -> None:
    body = {"inputs": list(TEXTS), "truncate": True}
    found = post(library_server, "/models/labse/embed", **body, pooling="none")
    assert found == post(library_server, "/models/labse/embed_all", **body)
    unit = post(
        library_server, "/models/labse/embed", **body, pooling="none", normalize=True, dimensions=5
    )
    for one, other in zip(unit, found, strict=True):
        kept = np.array(other)[:, :5]
        kept /= np.linalg.norm(kept, axis=1, keepdims=True)
        np.testing.assert_allclose(one, kept, rtol=0, atol=PARITY)


def test_poolings_of_bert_as_service_have_its_names(library_server: RunningServer) -> None:
    body = {"inputs": list(TEXTS), "truncate": True, "prompt_name": "none"}
    path = "/models/weighted/embed"
    tokens = post(library_server, "/models/weighted/embed_all", **body)
    rows = [np.array(one) for one in tokens]
    made = {
        "mean_max": [np.concatenate([one.mean(axis=0), one.max(axis=0)]) for one in rows],
        "sqrt": [one.sum(axis=0) / np.sqrt(len(one)) for one in rows],
    }
    for pooling, vectors in made.items():
        wanted = np.stack(vectors)
        found = post(library_server, path, **body, pooling=pooling, normalize=False)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=PARITY)
    few = post(library_server, path, **body, pooling="mean_max", dimensions=2 * HIDDEN - 1)
    assert np.shape(few) == (len(TEXTS), 2 * HIDDEN - 1)


@pytest.mark.parametrize(
    ("path", "more", "param"),
    [
        ("/embed", {"pooling": "none", "layer": -2}, "layer"),
        ("/embed", {"pooling": "mean_max", "dimensions": 769}, "dimensions"),
        ("/embed", {"pooling": "none", "dimensions": 385}, "dimensions"),
        ("/embed", {"pooling": "mean+max"}, "pooling"),
        ("/embed_all", {"multi_vector": True}, "multi_vector"),
        ("/embed_all", {"dimensions": 0}, "dimensions"),
        ("/embed_all", {"prompt_name": "x"}, "prompt_name"),
        ("/embed_all", {"inputs": [[5, 30522]]}, "inputs[0]"),
        ("/embed_all", {"inputs": ["a", ""]}, "inputs[1]"),
    ],
)
def test_what_no_model_gives_is_refused_by_name(
    server: RunningServer, path: str, more: dict[str, object], param: str
) -> None:
    response = server.post(path, {"inputs": "a", **more})
    assert (response.status_code, response.json()["param"]) == (422, param)


def test_an_answer_of_all_tokens_is_priced_before_it_is_computed(server: RunningServer) -> None:
    text = "word " * 500
    response = server.post("/embed_all", {"inputs": [text] * 20})
    assert (response.status_code, response.json()["code"]) == (422, "answer_too_large")
