"""What `make bench-costly` can send: something for each route that computes."""

from __future__ import annotations

import json

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from scripts.attacks import ROUTES, of_route
from server.http.routes import PER_MODEL, SHARED

# Those that pass a request on, and those that are read as another one is.
AS_OTHERS = {"/", "/invocations", "/models/{model}", "/v2/rerank"}
TENSORS = {"/v2/models/{model}/infer", "/v2/models/{model}/versions/1/infer"}


def test_every_route_that_computes_is_attacked() -> None:
    app = FastAPI()
    for router in (*PER_MODEL, *SHARED):
        app.include_router(router)
    takes = {one.path for one in iter_route_contexts(app.routes) if "POST" in (one.methods or ())}
    assert takes - AS_OTHERS - TENSORS == set(ROUTES)


def test_attacks_are_json() -> None:
    for route in ("/v1/rerank", "/embed_sparse"):
        made = dict(of_route(route, route))
        assert len(made) > 50
        for request in list(made.values())[::7]:
            assert request.path == route
            assert isinstance(json.loads(request.body), dict)
