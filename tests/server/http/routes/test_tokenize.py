"""POST /tokenize: what each token is, covers, and selects of BERT's three embeddings."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from server.http.routes.tokenize import Token
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
