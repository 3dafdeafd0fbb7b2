"""POST /similarity, against sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from sentence_transformers.util import cos_sim

from tests.running_server import RunningServer
from tests.sentence_folders import TEXTS
from tests.server.http.routes.conftest import EMBEDDERS

PARITY = 1e-5
SOURCE = "the dog ran"
LONG = "word " * 600


@pytest.mark.parametrize("prompt", [None, "passage"])
@pytest.mark.parametrize("name", EMBEDDERS)
def test_cosines_are_those_of_sentence_transformers(
    library_server: RunningServer, library: Callable[[str], Any], name: str, prompt: str | None
) -> None:
    vectors = library(name).encode([SOURCE, *TEXTS], prompt_name=prompt)
    body = {
        "inputs": {"source_sentence": SOURCE, "sentences": list(TEXTS)},
        "parameters": {"truncate": True, "prompt_name": prompt},
    }
    response = library_server.post(f"/models/{name}/similarity", body)
    assert response.status_code == 200, response.text
    assert response.json() == pytest.approx(cos_sim(vectors[0], vectors[1:])[0], abs=PARITY)
    assert response.headers["x-truncated"] == "4"


def test_hugging_faces_client_reads_the_answer(server: RunningServer) -> None:
    found = InferenceClient().sentence_similarity(
        "A river runs through it.",
        other_sentences=["A river runs through it.", "Bread and butter."],
        model=f"{server.url}/similarity",
    )
    assert found[0] == pytest.approx(1, abs=PARITY)
    assert found[1] < 0.9


@pytest.mark.parametrize(
    ("inputs", "parameters", "code", "param"),
    [
        ({"source_sentence": " ", "sentences": ["a"]}, {}, "empty_text", "inputs.source_sentence"),
        ({"source_sentence": LONG, "sentences": ["a"]}, {}, "too_long", "inputs.source_sentence"),
        ({"source_sentence": "a", "sentences": ["b", ""]}, {}, "empty_text", "inputs.sentences[1]"),
        ({"source_sentence": "a", "sentences": [LONG]}, {}, "too_long", "inputs.sentences[0]"),
        ({"source_sentence": "a", "sentences": []}, {}, "invalid_parameter", "inputs.sentences"),
        ({"source_sentence": "a"}, {}, "wrong_type", "inputs.sentences"),
        ({"source_sentence": "a", "sentences": ["b", 2]}, {}, "wrong_type", "inputs.sentences[1]"),
        (
            {"source_sentence": "a", "sentences": ["b"]},
            {"prompt_name": "none of them"},
            "invalid_parameter",
            "prompt_name",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(
    server: RunningServer, inputs: object, parameters: object, code: str, param: str
) -> None:
    response = server.post("/similarity", {"inputs": inputs, "parameters": parameters})
    error = response.json()
    assert (response.status_code, error["code"], error["param"]) == (422, code, param)
