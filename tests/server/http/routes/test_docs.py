"""/docs and /openapi.json: complete, truthful, and asking no other host."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve
from tests.running_server import REPOSITORY, RunningServer

ASSETS = REPOSITORY / "server" / "web" / "docs"
TASKS = (
    "/fill-mask",
    "/nsp",
    "/embed",
    "/predict",
    "/token-classification",
    "/question-answering",
)


@pytest.fixture(scope="module")
def openapi(server: RunningServer) -> dict[str, Any]:
    document: dict[str, Any] = server.get("/openapi.json").json()
    return document


def test_the_root_leads_to_the_docs(server: RunningServer) -> None:
    assert server.client.get(server.url, follow_redirects=True).url.path == "/docs"


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


def test_files_come_compressed_to_those_who_take_it(server: RunningServer) -> None:
    url = f"{server.url}/docs/swagger-ui.css"
    plain = server.client.get(url, headers={"accept-encoding": "identity"})
    packed = server.client.get(url)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content
    assert plain.content == gzip.decompress((ASSETS / "swagger-ui.css.gz").read_bytes())


@pytest.mark.parametrize("name", ["LICENSE", "..%2f..%2fsettings.py", "x"])
def test_no_other_file_is_served(server: RunningServer, name: str) -> None:
    assert server.get(f"/docs/{name}").status_code == 404


def test_docs_can_be_switched_off(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, docs="false")
    for path in ("/docs", "/docs/start.js", "/openapi.json", "/"):
        assert server.get(path).json()["error"]["code"] == "route_not_found"


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


def test_every_error_has_the_one_shape(openapi: dict[str, Any]) -> None:
    for methods in openapi["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status != "200":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
