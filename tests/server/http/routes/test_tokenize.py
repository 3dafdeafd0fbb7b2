"""POST /tokenize: what each token is, covers, and selects of BERT's three embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from models.embedding_tables import EmbeddingTables
from models.manifest import load_manifest
from server.http.routes.tokenize import Token
from server.inference.tasks.tokenization import MOST_NUMBERS
from tests.running_server import RunningServer

TEXT = "Paris, unbelievably."


def tokenize(server: RunningServer, inputs: object, **options: object) -> list[list[Token]]:
    response = server.post("/tokenize", {"inputs": inputs, **options})
    assert response.status_code == 200, response.text
    return TypeAdapter(list[list[Token]]).validate_json(response.content)


def test_one_text_answers_a_list_of_one_list(server: RunningServer) -> None:
    (tokens,) = tokenize(server, TEXT)
    assert [tokens[0].text, tokens[-1].text] == ["[CLS]", "[SEP]"]
    assert [token.position for token in tokens] == list(range(len(tokens)))
    assert {token.token_type_id for token in tokens} == {0}


def test_tokens_say_what_they_cover_of_the_text(server: RunningServer) -> None:
    (tokens,) = tokenize(server, TEXT)
    for token in tokens[1:-1]:
        assert not token.special
        assert token.text == TEXT[token.start : token.stop]
    assert "".join(token.text for token in tokens[1:-1]) == TEXT.replace(" ", "")


def test_special_tokens_cover_nothing(server: RunningServer) -> None:
    (tokens,) = tokenize(server, TEXT)
    assert tokens[0].special
    assert (tokens[0].start, tokens[0].stop) == (None, None)


def test_special_tokens_can_be_left_out(server: RunningServer) -> None:
    (with_them,), (without,) = (
        tokenize(server, TEXT),
        tokenize(server, TEXT, add_special_tokens=False),
    )
    assert [token.id for token in without] == [token.id for token in with_them[1:-1]]


def test_a_pair_has_two_segments_and_one_row_of_positions(server: RunningServer) -> None:
    pair = {"text": "One text.", "text_pair": "Another text."}
    (tokens,) = tokenize(server, pair)
    segments = [token.token_type_id for token in tokens]
    assert segments == sorted(segments)
    assert set(segments) == {0, 1}
    second = [token for token in tokens if token.token_type_id == 1]
    assert second[0].text == pair["text_pair"][second[0].start : second[0].stop] == "Another"
    assert [token.position for token in tokens] == list(range(len(tokens)))


def test_a_list_may_mix_texts_and_pairs(server: RunningServer) -> None:
    answers = tokenize(server, [TEXT, {"text": "a", "text_pair": "b"}])
    assert len(answers) == 2


@pytest.mark.parametrize(
    ("inputs", "param"),
    [(7, "inputs"), ([7], "inputs[0]"), ([], "inputs"), ([["a"]], "inputs[0]")],
)
def test_what_is_not_text_is_refused(server: RunningServer, inputs: object, param: str) -> None:
    response = server.post("/tokenize", {"inputs": inputs})
    assert (response.status_code, response.json()["param"]) == (422, param)


def test_embeddings_come_with_as_many_numbers_as_are_asked_for(
    server: RunningServer, default_model: Path
) -> None:
    pair = {"text": "Paris", "text_pair": "unbelievably."}
    (tokens,) = tokenize(server, pair, embeddings=5)
    tables = EmbeddingTables.of(default_model, load_manifest(default_model))
    ids, types = (
        np.array([getattr(token, name) for token in tokens]) for name in ("id", "token_type_id")
    )
    expected = tables.read(ids, types, 5)
    for index, token in enumerate(tokens):
        assert token.embeddings is not None
        assert token.embeddings.token == pytest.approx(expected.token[index], rel=1e-6)
        for name in ("segment", "position"):
            rows, found = getattr(expected, name), getattr(token.embeddings, name)
            assert found == pytest.approx(rows[index], rel=1e-6)


@pytest.mark.parametrize("asked", [{}, {"embeddings": 0}, {"embeddings": None}])
def test_none_come_unless_they_are_asked_for(
    server: RunningServer, asked: dict[str, object]
) -> None:
    answer = server.post("/tokenize", {"inputs": TEXT, **asked})
    assert all("embeddings" not in token for token in answer.json()[0])


@pytest.mark.parametrize("asked", [-1, "5", 0.5, [1], True, MOST_NUMBERS + 1, 2**63])
def test_a_number_of_numbers_is_one(server: RunningServer, asked: object) -> None:
    response = server.post("/tokenize", {"inputs": TEXT, "embeddings": asked})
    assert (response.status_code, response.json()["param"]) == (422, "embeddings")


def test_the_numbers_are_part_of_the_price(server: RunningServer) -> None:
    many = {"inputs": ["word " * 400] * 60}
    assert server.post("/tokenize", many).status_code == 200
    response = server.post("/tokenize", many | {"embeddings": MOST_NUMBERS})
    assert (response.status_code, response.json()["code"]) == (422, "answer_too_large")


def test_a_text_that_the_model_cannot_read_has_no_embeddings(server: RunningServer) -> None:
    long = {"inputs": ["fine", "word " * 600]}
    assert server.post("/tokenize", long).status_code == 200
    response = server.post("/tokenize", long | {"embeddings": 1})
    assert (response.status_code, response.json()["param"]) == (422, "inputs[1]")
