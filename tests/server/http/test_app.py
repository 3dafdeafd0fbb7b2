"""The layers around the routes: what a browser may send and read, and where a proxy shows them."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from server.http.context import PROBES
from tests.running_app import serving
from tests.server.http.conftest import Build

ORIGIN = "https://app.example"


@pytest.mark.parametrize(
    "asked", ["x-stainless-os, baggage", "Traceparent", "x-request-timeout-ms"]
)
def test_an_allowed_origin_may_send_whatever_it_asks_for(build: Build, asked: str) -> None:
    client = TestClient(build(cors_origins=ORIGIN))
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": asked}
    allowed = client.options("/embed", headers={"origin": ORIGIN, **wanted})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-headers"] == asked
    other = client.options("/embed", headers={"origin": "https://other.example", **wanted})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


def test_a_browser_may_read_our_headers(build: Build) -> None:
    client = TestClient(build(cors_origins=ORIGIN))
    answered = client.post("/embed", json={"inputs": "a", "x": 1}, headers={"origin": ORIGIN})
    exposed = set(answered.headers["access-control-expose-headers"].split(", "))
    assert {"retry-after", "x-ignored", "x-request-id", "server-timing"} <= exposed
    ours = {name for name in answered.headers if name.startswith("x-")}
    assert {"x-ignored", "x-compute-tokens"} < ours <= exposed


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/embed", {"inputs": "a"}),
        ("POST", "/models/names/embed/", {"inputs": "a"}),
        ("POST", "/v1/embeddings", {"input": "a"}),
        ("POST", "/", {"inputs": "A [MASK]."}),
        ("GET", "/docs/start.js", None),
        ("GET", "/info", None),
        *(("GET", probe, None) for probe in sorted(PROBES)),
    ],
)
def test_routes_are_where_a_proxy_leaves_them(
    build: Build, method: str, path: str, body: object
) -> None:
    client = TestClient(build(root_path="/tools/bert"), root_path="/tools/bert")
    plain = TestClient(build())
    for asked in (client, plain):
        assert asked.request(method, path, json=body).status_code == 200
    wrong = client.post("/v1/nothing", json={})
    assert wrong.json()["error"]["code"] == "route_not_found"


def test_uvicorn_is_told_of_it_too(build: Build) -> None:
    with serving(build(root_path="/bert"), root_path="/bert") as served:
        for path in ("/livez", "/models/names/info"):
            assert served.get(path).status_code == 200
        assert 'src="/bert/page/main.js"' in served.get("/").text
