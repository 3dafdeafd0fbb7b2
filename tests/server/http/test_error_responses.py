"""Errors as they are answered: their shapes, their size, and that they never repeat the input."""

from __future__ import annotations

import inspect

import pytest
from pydantic import BaseModel
from starlette.responses import Response

from server import errors
from server.http.error_responses import failure
from server.http.families import ErrorAnswer, OpenAIErrorAnswer, family_of
from tests.running_server import RunningServer
from tests.server.http.every_route import read_error

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
    response: Response = failure(error, {"path": "/embed"})
    body = ErrorAnswer.model_validate_json(bytes(response.body))
    assert response.status_code == kind.status
    assert (body.error_type, body.code) == (kind.error_type, kind.code)
    assert (body.error, body.param) == (error.message, error.param)
    assert body.error.endswith(".")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/models/minilm/v1/models", "/models/a/b/v1/x"])
@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.NoMask("There is none.", param="input"), 400, "invalid_request_error"),
        (errors.WrongType("Not that."), 400, "invalid_request_error"),
        (errors.ModelNotFound("Not here."), 404, "invalid_request_error"),
        (errors.Unauthorized("No key."), 401, "authentication_error"),
        (errors.QueueFull("Full."), 429, "rate_limit_error"),
        (errors.Draining("The end."), 503, "server_error"),
    ],
)
def test_openai_clients_get_their_object_and_their_status(
    path: str, error: errors.ClozeError, status: int, kind: str
) -> None:
    response = failure(error, {"path": path})
    body = OpenAIErrorAnswer.model_validate_json(bytes(response.body)).error
    assert response.status_code == status
    assert (body.type, body.code, body.message) == (kind, error.code, error.message)
    assert body.param == error.param


@pytest.mark.parametrize("path", ["/v2/models/a/infer", "/v2", "/models/a/v2/health/live"])
def test_open_inference_clients_get_a_sentence(path: str) -> None:
    response = failure(errors.NoMask("There is none."), {"path": path})
    assert (response.status_code, response.body) == (422, b'{"error":"There is none."}')


@pytest.mark.parametrize("path", ["/", "", "/v1x", "/v10/y", "/models/v1", "/models/v2/embed"])
def test_all_other_paths_are_of_one_family(path: str) -> None:
    assert family_of(path).answer is ErrorAnswer


def test_what_a_proxy_put_in_front_is_no_part_of_the_family() -> None:
    scope = {"path": "/bert/v1/embeddings", "root_path": "/bert"}
    assert b'"invalid_request_error"' in bytes(failure(errors.NoMask("None."), scope).body)
    assert b'"error_type"' in bytes(failure(errors.NoMask("None."), {"path": "/bert/v1/x"}).body)


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("GET", "/v1/nothing", b"", 404, "route_not_found"),
        ("DELETE", "/v1/embeddings", b"", 405, "method_not_allowed"),
        ("POST", "/v1/embeddings", b'{"input": [1, "a"]}', 400, "wrong_type"),
        ("POST", "/v1/embeddings", b'{"input": [["a", "b"]]}', 400, "wrong_type"),
        ("POST", "/v1/embeddings", b"{" * 3, 400, "invalid_json"),
        ("POST", "/v1/embeddings", b" " * 2_000_001, 413, "body_too_large"),
        ("GET", "/nothing", b"", 404, "route_not_found"),
        ("DELETE", "/embed", b"", 405, "method_not_allowed"),
        ("POST", "/embed", b'{"inputs": {}}', 422, "wrong_type"),
        ("POST", "/embed", b" " * 2_000_001, 413, "body_too_large"),
    ],
)
def test_every_refusal_has_the_shape_of_its_path(
    server: RunningServer, method: str, path: str, sent: bytes, status: int, code: str
) -> None:
    answer = server.client.request(method, server.url + path, content=sent)
    error = read_error(answer)
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize(
    ("sent", "model"),
    [
        (b"POST /v1/embeddings HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", OpenAIErrorAnswer),
        (b"POST /v1/embeddings HTTP/9.9\r\n\r\n", OpenAIErrorAnswer),
        (b"GET /models/x/v1/models HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n", OpenAIErrorAnswer),
        (b"POST /embed HTTP/1.1\r\nhost: a\r\ntransfer-encoding: lzma\r\n\r\n", ErrorAnswer),
        (b"\x16\x03\x01 is TLS", ErrorAnswer),
        (b"GET /v1/" + b"x" * 9000 + b" HTTP/1.1\r\n", OpenAIErrorAnswer),
    ],
)
def test_what_is_no_http_is_refused_in_the_shape_of_the_path_that_it_names(
    server: RunningServer, sent: bytes, model: type[BaseModel]
) -> None:
    with server.connect() as connection:
        connection.sendall(sent)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    model.model_validate_json(answer.partition(b"\r\n\r\n")[2])


def test_codes_are_distinct() -> None:
    kinds = [kind for kind in all_errors() if kind is not errors.ClozeError]
    assert len({kind.code for kind in kinds}) == len(kinds)


def refused(retry_after_s: float | None = None) -> Response:
    return failure(errors.QueueFull("Full.", retry_after_s=retry_after_s), {"path": "/"})


def test_retry_after_is_whole_seconds_and_at_least_one() -> None:
    assert refused(retry_after_s=0.2).headers["retry-after"] == "1"
    assert refused(retry_after_s=2.1).headers["retry-after"] == "3"
    assert "retry-after" not in refused().headers


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
        assert read_error(response).status == family_of(path).status(422)
        assert SECRET not in response.text
        assert len(response.content) <= 4096


def test_at_most_five_mistakes_are_told(server: RunningServer) -> None:
    body = {"inputs": 1, "parameters": {f"unknown_{n}": n for n in range(20)}}
    message = server.post("/fill-mask", body).json()["error"]
    assert message.count("unknown_") == 4
    assert message.endswith("and 16 more.")


def test_an_unknown_field_is_named_when_its_name_is_harmless(server: RunningServer) -> None:
    body = {"inputs": "a [MASK]", "parameters": {"topk": 3}}
    assert server.post("/fill-mask", body).json()["param"] == "parameters.topk"


def test_an_error_is_called_as_its_class_unless_it_says_otherwise() -> None:
    class TooOddAText(errors.ValidationError):
        """Named by its class."""

    class Odd(TooOddAText):
        """Named by itself."""

        code = "odd_2"

    class Odder(Odd):
        """Named by its class again, and not as its parent."""

    assert [each.code for each in (TooOddAText, Odd, Odder)] == ["too_odd_a_text", "odd_2", "odder"]
