"""/docs and /openapi.json: complete, truthful, and asking no other host."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.http import web_files
from server.http.compression import IDENTITY
from server.http.families import family_of
from tests.conftest import Serve
from tests.running_server import REPOSITORY, RunningServer

ASSETS = REPOSITORY / "server" / "web" / "docs"
TASKS = (
    "/fill-mask",
    "/score",
    "/nsp",
    "/embed",
    "/predict",
    "/text-classification",
    "/zero-shot-classification",
    "/rerank",
    "/similarity",
    "/embed_all",
    "/decode",
    "/token-classification",
    "/question-answering",
)


@pytest.fixture(scope="module")
def openapi(server: RunningServer) -> dict[str, Any]:
    document: dict[str, Any] = server.get("/openapi.json").json()
    return document


def test_the_page_loads_only_files_of_this_server(server: RunningServer) -> None:
    page = server.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    files = [source for source in sources if not source.startswith("data:")]
    assert len(files) == 3
    for file in files:
        assert "//" not in file
        assert server.get(f"/{file}").status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]


def asset(server: RunningServer, accept: str | None, **headers: str) -> httpx.Response:
    """The style sheet, with its body as it was sent."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = server.client.build_request("GET", f"{server.url}/docs/swagger-ui.css", headers=named)
    del request.headers["accept-encoding"]
    if accept is not None:
        request.headers["accept-encoding"] = accept
    answer = server.client.send(request, stream=True)
    answer._content = b"".join(answer.iter_raw())
    answer.close()
    return answer


PACKED = (ASSETS / "swagger-ui.css.gz").read_bytes()
PLAIN = gzip.decompress(PACKED)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip", PACKED),
        ("GZIP", PACKED),
        ("x-gzip", PACKED),
        ("gzip, deflate, br, zstd", PACKED),
        ("br;q=1.0, gzip;q=0.001", PACKED),
        ("*", PACKED),
        ("*;q=0.5", PACKED),
        ("identity;q=0", None),
        ("*;q=0", None),
        ("identity;q=0, br", None),
        ("identity;q=0, *", PACKED),
        ("*;q=0, identity", PLAIN),
        ("gzip ; q=0.5 , identity ; q=0.4", PACKED),
        ("gzip;q=0.4, identity;q=0.5", PLAIN),
        ("gzip;q=0", PLAIN),
        ("gzip;q=0.000", PLAIN),
        ("gzip;Q=0", PLAIN),
        ("gzip;q=0, *", PLAIN),
        ("*, gzip;q=0", PLAIN),
        ("", PLAIN),
        (None, PLAIN),
        ("identity", PLAIN),
        ("br", PLAIN),
        ("gzipped", PLAIN),
        ("not-gzip", PLAIN),
        ("gzip;q=2", PLAIN),
        ("gzip;q=x", PLAIN),
        ("gzip;level=9", PLAIN),
        (",;,=;q=,", PLAIN),
    ],
)
def test_files_come_in_the_coding_that_the_client_prefers(
    server: RunningServer, accept: str | None, expected: bytes | None
) -> None:
    answer = asset(server, accept)
    if expected is None:
        assert answer.status_code == 406
        assert answer.json()["code"] == "not_acceptable"
        return
    assert answer.status_code == 200
    assert answer.content == expected
    assert answer.headers["content-length"] == str(len(expected))
    assert answer.headers.get("content-encoding") == ("gzip" if expected == PACKED else None)
    assert answer.headers["vary"] == "accept-encoding"


def test_two_fields_are_read_as_one_list(server: RunningServer) -> None:
    with server.connect() as connection:
        connection.sendall(
            b"GET /docs/swagger-ui.css HTTP/1.1\r\nhost: x\r\naccept-encoding: br\r\n"
            b"accept-encoding: gzip\r\nconnection: close\r\n\r\n"
        )
        head, _, body = b"".join(iter(lambda: connection.recv(1 << 16), b"")).partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head
    assert body == PACKED


def test_a_copy_that_the_client_has_is_not_sent_again(server: RunningServer) -> None:
    tags = {accept: asset(server, accept).headers["etag"] for accept in ("gzip", "identity")}
    assert tags["gzip"] != tags["identity"]
    for accept, other in (("gzip", "identity"), ("identity", "gzip")):
        tag = tags[accept]
        for condition in (tag, f"W/{tag}", f'"x", {tag}', f'{tag},"y"', "*"):
            answer = asset(server, accept, if_none_match=condition)
            assert answer.status_code == 304
            assert answer.content == b""
            assert answer.headers["etag"] == tag
            assert answer.headers["vary"] == "accept-encoding"
            assert "content-length" not in answer.headers
        for condition in (tags[other], '"x"', tag.strip('"'), ""):
            assert asset(server, accept, if_none_match=condition).status_code == 200


def test_head_tells_of_a_file_what_get_does(server: RunningServer) -> None:
    for accept, content in (("gzip", PACKED), ("identity", PLAIN)):
        with server.connect() as connection:
            connection.sendall(
                b"HEAD /docs/swagger-ui.css HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                b"accept-encoding: " + accept.encode() + b"\r\n\r\n"
            )
            head, _, body = b"".join(iter(lambda: connection.recv(1 << 16), b"")).partition(
                b"\r\n\r\n"
            )
        assert head.startswith(b"HTTP/1.1 200 ")
        assert f"content-length: {len(content)}".encode() in head
        assert (b"content-encoding: gzip" in head) == (accept == "gzip")
        assert body == b""


def test_the_largest_file_is_inflated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    web_files.copy.cache_clear()
    calls: list[int] = []
    inflate = gzip.decompress

    def counted(content: bytes) -> bytes:
        calls.append(len(content))
        return inflate(content)

    monkeypatch.setattr(gzip, "decompress", counted)
    name = "swagger-ui-bundle.js"
    copies = {web_files.copy("docs", name, IDENTITY, ("", "")) for _ in range(3)}
    assert len(copies) == len(calls) == 1


@pytest.mark.parametrize("name", ["LICENSE", "..%2f..%2fsettings.py", "x"])
def test_no_other_file_is_served(server: RunningServer, name: str) -> None:
    assert server.get(f"/docs/{name}").status_code == 404


def test_docs_can_be_switched_off(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, docs="false")
    for path in ("/docs", "/docs/start.js", "/openapi.json", "/page/main.js"):
        assert server.get(path).json()["code"] == "route_not_found"
    assert server.get("/").json()["code"] == "method_not_allowed"  # POST is the model's own task


def test_every_task_is_documented_at_the_root_and_under_models(openapi: dict[str, Any]) -> None:
    for task in TASKS:
        for path in (task, f"/models/{{model}}{task}"):
            operation = openapi["paths"][path]["post"]
            assert operation["requestBody"]["required"]
            assert "200" in operation["responses"]
            assert {"400", "413", "415", "422", "429", "500", "503", "504"} <= set(
                operation["responses"]
            )


def test_operations_have_names_of_their_own(openapi: dict[str, Any]) -> None:
    names = [
        operation["operationId"]
        for methods in openapi["paths"].values()
        for operation in methods.values()
    ]
    assert len(names) == len(set(names)) > 10


def test_paths_document_their_parameters(openapi: dict[str, Any]) -> None:
    for path, methods in openapi["paths"].items():
        for operation in methods.values():
            documented = {
                parameter["name"]
                for parameter in operation.get("parameters", [])
                if parameter["in"] == "path"
            }
            assert documented == set(re.findall(r"{(\w+)}", path)), path


def test_every_error_has_the_shape_of_its_family(openapi: dict[str, Any]) -> None:
    for path, methods in openapi["paths"].items():
        name = family_of(path).answer.__name__
        assert name in openapi["components"]["schemas"]
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": f"#/components/schemas/{name}"}
