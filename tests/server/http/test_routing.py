"""Answers on their way out: how they are written, and that large ones hold nobody up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from starlette.testclient import TestClient

from server.http.routing import to_json
from tests.running_server import RunningServer
from tests.server.http.conftest import Build

BODIES = {
    "/fill-mask": {"inputs": "Paris is the [MASK] of France."},
    "/nsp": {"inputs": ["The train was late.", "We waited for an hour."]},
    "/embed": {"inputs": ["A river runs through it."]},
    "/tokenize": {"inputs": "Two words"},
}


@pytest.mark.parametrize("path", BODIES)
def test_the_default_model_answers_the_same_by_its_name(path: str, server: RunningServer) -> None:
    at_root = server.post(path, BODIES[path])
    by_name = server.post(f"/models/cloze-small-en{path}", BODIES[path])
    assert at_root.status_code == by_name.status_code == 200
    assert at_root.json() == by_name.json()
    assert set(at_root.headers) == set(by_name.headers)


@pytest.mark.parametrize("path", BODIES)
def test_the_default_model_refuses_the_same_by_its_name(path: str, server: RunningServer) -> None:
    at_root = server.post(path, {"inputs": ""})
    by_name = server.post(f"/models/cloze-small-en{path}", {"inputs": ""})
    assert at_root.status_code == by_name.status_code == 422
    assert at_root.json() == by_name.json()


def test_another_method_is_refused(server: RunningServer) -> None:
    refused = server.get("/fill-mask")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        *[("/", "GET, POST"), ("/embed", "POST"), ("/models", "GET"), ("/livez/", "GET")],
        *[("/models/names", "POST"), ("/v2/models/names", "GET"), ("/models/names/info", "GET")],
    ],
)
def test_a_method_that_no_route_of_a_path_takes_is_told_all_that_do(
    build: Build, path: str, allowed: str
) -> None:
    client = TestClient(build())
    for method in ("PUT", "OPTIONS", "TRACE"):
        refused = client.request(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert TestClient(build(docs=False)).put("/").headers["allow"] == "POST"


# --- JSON in parts ----------------------------------------------------------------------------


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ARRAYS = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4)
)
LEAVES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | TEXTS
    | ARRAYS
    | st.tuples(TEXTS, st.integers(0, 9))
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)


@given(VALUES, st.booleans())
def test_json_in_parts_is_json(value: object, in_parts: bool) -> None:
    assert to_json(value, in_parts=in_parts) == orjson.dumps(
        value, option=orjson.OPT_SERIALIZE_NUMPY
    )


@pytest.mark.parametrize("in_parts", [False, True])
def test_odd_values_are_written_in_parts_too(in_parts: bool) -> None:
    values: list[Any] = [
        [],
        {},
        [[]],
        [[], {}, [[]]],
        {"": {"ключ": [], '"\\\n': {"字": [None]}}},
        np.zeros((0, 3), np.float32),
        np.zeros((3, 0), np.float32),
        np.arange(14, dtype=np.float32).reshape(7, 2),
        *(list(range(count)) for count in (15, 16, 17, 32, 33)),
        [{"score": 0.5}, [1], "two", None] * 20,
        [np.arange(40, dtype=np.float32)] * 3,
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        {"data": [{"embedding": np.array([1e-7, 3.1415927, -0.0], np.float32)}]},
    ]
    for value in values:
        assert to_json(value, in_parts=in_parts) == orjson.dumps(
            value, option=orjson.OPT_SERIALIZE_NUMPY
        )


# --- large answers ----------------------------------------------------------------------------


LARGE = {"inputs": "a [MASK] " * 50, "parameters": {"top_k": 200}}
# As many as the server's promised bytes of answers admit at once by default.
CLIENTS = 4
# Of a probe meanwhile. An answer that is written on the event loop takes it for as long as a probe
# may take here; the threads that write share the interpreter with it.
BOUND_S = 0.25


def test_probes_are_answered_while_large_answers_are_put_together(server: RunningServer) -> None:
    server.post("/fill-mask", LARGE)
    done = threading.Event()
    waits: list[float] = []

    def probe() -> None:
        while not done.is_set():
            started = time.monotonic()
            assert server.get("/livez").is_success
            waits.append(time.monotonic() - started)
            time.sleep(0.005)

    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        probing = threads.submit(probe)
        answers = list(threads.map(lambda _: server.post("/fill-mask", LARGE), range(CLIENTS)))
        done.set()
        probing.result()
    for answer in answers:
        assert answer.status_code == 200
        assert [len(mask) for mask in answer.json()] == [200] * 50
    assert len(waits) > 10
    # All but one, which a busy machine may hold up.
    assert sorted(waits)[-2] < BOUND_S


BLANKS = "\n" * 17_000
FEW = "Two words."
PADDED = f"{BLANKS}Two{BLANKS}words.{BLANKS}"


def test_white_space_between_words_is_one_blank(server: RunningServer) -> None:
    text = f"Paris is the{BLANKS}[MASK]{BLANKS}of France."
    filled = server.post("/fill-mask", {"inputs": text})
    assert filled.status_code == 200
    assert filled.json()[0]["sequence"] == "paris is the capital of france."
    # Whose places in the text are told, so that none of it is left out.
    shown = server.post("/tokenize", {"inputs": PADDED})
    assert (shown.status_code, shown.json()["code"]) == (422, "too_long")
    assert "16384 characters" in shown.json()["error"]


@pytest.mark.parametrize(
    ("path", "few", "padded"),
    [
        ("/embed", {"inputs": FEW}, {"inputs": PADDED}),
        ("/embed", {"inputs": [FEW] * 11}, {"inputs": [PADDED] * 11}),
        ("/nsp", {"inputs": [FEW, FEW]}, {"inputs": [PADDED, PADDED]}),
        ("/v1/embeddings", {"input": FEW}, {"input": PADDED}),
    ],
)
def test_white_space_is_no_text(
    server: RunningServer, path: str, few: object, padded: object
) -> None:
    answers = [server.post(path, body) for body in (few, padded)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
    assert answers[0].json() == answers[1].json()
