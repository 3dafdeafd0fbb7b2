"""The one error format: its shape, its size, and that it never repeats the input."""

from __future__ import annotations

import inspect

import pytest
from starlette.responses import Response

from server import errors
from server.http.error_responses import failure
from server.http.schemas import ErrorAnswer
from tests.running_server import RunningServer

SECRET = "Zanzibar-4711"


def all_errors() -> list[type[errors.ClozeError]]:
    return [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.ClozeError)
    ]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_becomes_the_documented_answer(kind: type[errors.ClozeError]) -> None:
    error = (
        errors.DeadlineExceeded()  # which has one message
        if kind is errors.DeadlineExceeded
        else kind("What was wrong.", param="inputs[3]")
    )
    response: Response = failure(error)
    body = ErrorAnswer.model_validate_json(bytes(response.body)).error
    assert response.status_code == kind.status
    assert (body.type, body.code) == (kind.type, kind.code)
    assert (body.message, body.param) == (error.message, error.param)
    assert body.message.endswith(".")


def test_codes_are_distinct() -> None:
    kinds = [kind for kind in all_errors() if kind is not errors.ClozeError]
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_retry_after_is_whole_seconds_and_at_least_one() -> None:
    assert failure(errors.QueueFull("Full.", retry_after_s=0.2)).headers["retry-after"] == "1"
    assert failure(errors.QueueFull("Full.", retry_after_s=2.1)).headers["retry-after"] == "3"
    assert "retry-after" not in failure(errors.QueueFull("Full.")).headers


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": {"text": SECRET}},
        {"inputs": [SECRET] * 5000},
        {"inputs": [{"x": SECRET}] * 5000},
        {"inputs": SECRET * 5000},
        {"inputs": SECRET, "parameters": {"top_k": SECRET, "targets": {"a": SECRET}}},
        {"inputs": f"{SECRET} [MASK]", f"{SECRET} " * 100: SECRET},
        {"inputs": f"{SECRET} [MASK]", "parameters": {f"{n} {SECRET}": n for n in range(30)}},
        {"inputs": f"{SECRET} [MASK]", **{f"{n} {SECRET}": n for n in range(5000)}},
        {"inputs": f"{SECRET} [MASK]", "parameters": {"targets": [[SECRET]] * 7}},
        SECRET,
        [SECRET],
    ],
)
def test_no_error_repeats_the_input_or_grows(server: RunningServer, body: object) -> None:
    for path in ("/fill-mask", "/nsp", "/embed", "/tokenize", "/v1/embeddings"):
        response = server.post(path, body)
        if response.is_success:
            continue
        assert response.status_code == 422
        ErrorAnswer.model_validate_json(response.content)
        assert SECRET not in response.text
        assert len(response.content) <= 4096


def test_at_most_five_mistakes_are_told(server: RunningServer) -> None:
    body = {"inputs": 1} | {f"unknown_{n}": n for n in range(20)}
    message = server.post("/fill-mask", body).json()["error"]["message"]
    assert message.count("unknown_") == 4
    assert message.endswith("and 16 more.")


def test_an_unknown_field_is_named_when_its_name_is_harmless(server: RunningServer) -> None:
    body = {"inputs": "a [MASK]", "parametres": {}}
    assert server.post("/fill-mask", body).json()["error"]["param"] == "parametres"


def test_an_error_is_called_as_its_class_unless_it_says_otherwise() -> None:
    class TooOddAText(errors.ValidationError):
        """Named by its class."""

    class Odd(TooOddAText):
        """Named by itself."""

        code = "odd_2"

    class Odder(Odd):
        """Named by its class again, and not as its parent."""

    assert [each.code for each in (TooOddAText, Odd, Odder)] == ["too_odd_a_text", "odd_2", "odder"]
