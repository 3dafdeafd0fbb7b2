"""POST /decode, against the tokenizers library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.running_server import RunningServer
from tests.server.inference.samples import TEXTS


@pytest.fixture(scope="module")
def tokenizer(default_model: Path) -> Tokenizer:
    return Tokenizer.from_file(str(default_model / "tokenizer.json"))


def decode(server: RunningServer, **body: object) -> Any:
    response = server.post("/decode", body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("skip", [True, False])
def test_texts_are_those_of_the_library(
    server: RunningServer, tokenizer: Tokenizer, skip: bool
) -> None:
    lists = [tokenizer.encode(text).ids for text in TEXTS]
    wanted = [tokenizer.decode(ids, skip_special_tokens=skip) for ids in lists]
    assert decode(server, ids=lists, skip_special_tokens=skip) == wanted
    alone = [decode(server, ids=ids, skip_special_tokens=skip) for ids in lists]
    assert alone == [[text] for text in wanted]


def test_special_tokens_are_left_out_unless_asked_for(server: RunningServer) -> None:
    assert decode(server, ids=[101, 1037, 102]) == ["a"]
    assert decode(server, ids=[101, 102]) == [""]
    assert decode(server, ids=[101, 1037, 102], skip_special_tokens=None) == ["a"]


def test_what_tokenize_answers_can_be_decoded(server: RunningServer) -> None:
    tokens = server.post("/tokenize", {"inputs": ["A river runs through it."]}).json()[0]
    assert decode(server, ids=[token["id"] for token in tokens]) == ["a river runs through it."]


@pytest.mark.parametrize(
    ("ids", "code", "param"),
    [
        ([], "invalid_parameter", "ids"),
        ([[1], []], "invalid_parameter", "ids[1]"),
        ([1, 30522], "wrong_type", "ids"),
        ([[1], [30522, 5]], "wrong_type", "ids[1]"),
        ([[1], [5, -1]], "invalid_parameter", "ids[1][1]"),
        ([1, "a"], "wrong_type", "ids[1]"),
        ("101", "wrong_type", "ids"),
        ([1] * 20_000, "too_long", "ids"),
    ],
)
def test_what_is_no_list_of_ids_is_refused_by_name(
    server: RunningServer, ids: object, code: str, param: str
) -> None:
    response = server.post("/decode", {"ids": ids})
    error = response.json()
    assert (response.status_code, error["code"], error["param"]) == (422, code, param)
