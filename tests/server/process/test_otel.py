"""Traced requests of a real server -> what a collector gets of them by OTLP over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.inference.scheduling.batcher import TracedBatch
from tests.conftest import Serve
from tests.running_server import REPOSITORY, RunningServer

pytest.importorskip("opentelemetry.sdk", reason="requirements/serve-otel.txt is not installed")
service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
otel = pytest.importorskip("server.process.otel")

STAGES = ["receive", "tokenise", "queue", "compute", "answer"]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"  # W3C's own example
PATIENCE_S = 60
SECRET = "a text that nobody else may read"


class Collector(ThreadingHTTPServer):
    """Takes spans as a collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.paths: set[str] = set()
        self.raw: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def resources(self, since: int = 0) -> list[Any]:
        """Who has sent spans, with them."""
        requests = map(service.ExportTraceServiceRequest.FromString, self.raw[since:])
        return [resource for request in requests for resource in request.resource_spans]

    def spans(self) -> list[Any]:
        scopes = [scope for resource in self.resources() for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def wait(self, wanted: Callable[[list[Any]], object]) -> list[Any]:
        """All spans, once they are as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(found := self.spans()):
            assert time.monotonic() < deadline, [span.name for span in found]
            time.sleep(0.1)
        return found


class _Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.paths.add(self.path)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.raw.append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing of each request."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def traced(serve: Serve, default_model: Path, collector: Collector) -> RunningServer:
    """A server that traces what its callers trace, and nothing that begins here."""
    return serve(
        default_model,
        threads=1,
        trace_endpoint=collector.url,
        trace_share=0,
        log_level="debug",
        drain_delay_s=0,
    )


def of(spans: list[Any], trace: str) -> list[Any]:
    return [span for span in spans if span.trace_id.hex() == trace]


def values(span: Any) -> dict[str, object]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def caller(number: int, *, sampled: bool = True) -> tuple[str, str]:
    """A trace id of our own, and its traceparent."""
    trace = f"{number:032x}"
    return trace, f"00-{trace}-b7ad6b7169203331-{int(sampled):02x}"


def test_a_request_is_a_span_with_its_stages_within_the_callers_trace(
    traced: RunningServer, collector: Collector
) -> None:
    answer = traced.post("/embed", {"inputs": SECRET}, traceparent=CALLER + "01")
    version, trace, parent, flags = answer.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", CALLER.split("-")[1], "01")
    spans = of(collector.wait(lambda found: "POST /embed" in {span.name for span in found}), trace)
    (request,) = [span for span in spans if span.name == "POST /embed"]
    assert request.span_id.hex() == parent
    assert request.parent_span_id.hex() == CALLER.split("-")[2]
    told = values(request)
    assert told["http.response.status_code"] == 200
    assert told["cloze.request_id"] == answer.headers["x-request-id"]
    assert told["cloze.tokens"] == int(answer.headers["x-compute-tokens"])
    stages = [span for span in spans if span.name in STAGES]
    assert [span.name for span in stages] == STAGES
    for one, following in pairwise(stages):
        assert one.parent_span_id == request.span_id
        assert one.start_time_unix_nano <= one.end_time_unix_nano
        assert one.start_time_unix_nano <= following.start_time_unix_nano
    about = 2e6  # ns; clocks are read for each span
    assert abs(request.start_time_unix_nano - stages[0].start_time_unix_nano) < about
    assert abs(request.end_time_unix_nano - stages[-1].end_time_unix_nano) < about
    assert abs(request.end_time_unix_nano - time.time_ns()) < 60e9
    assert collector.paths == {"/v1/traces"}


def test_no_text_reaches_the_collector(traced: RunningServer, collector: Collector) -> None:
    trace, parent = caller(2)
    traced.post("/embed", {"inputs": SECRET}, traceparent=parent)
    traced.post("/fill-mask", {"inputs": SECRET}, traceparent=parent)
    collector.wait(lambda found: len([s for s in of(found, trace) if "POST" in s.name]) == 2)
    assert not [body for body in collector.raw if SECRET.encode() in body]


def test_a_batch_is_linked_to_each_request_in_it(
    traced: RunningServer, collector: Collector
) -> None:
    busy = {"inputs": ["word " * 300] * 48}
    asked = [caller(number) for number in range(30, 36)]
    with ThreadPoolExecutor(len(asked) + 1) as pool:
        pool.submit(traced.post, "/embed", busy)
        traced.wait_until_busy()
        for _, parent in asked:  # they wait for one another, and so come together
            pool.submit(traced.post, "/embed", {"inputs": "a b c"}, traceparent=parent)
    traces = {trace for trace, _ in asked}
    spans = collector.wait(
        lambda found: (
            traces <= {link.trace_id.hex() for s in found if s.name == "batch" for link in s.links}
            and traces <= {s.trace_id.hex() for s in found if s.name == "POST /embed"}
        )
    )
    requests = {s.span_id: s for s in spans if s.name == "POST /embed"}
    batches = [s for s in spans if s.name == "batch" and of([s], s.trace_id.hex())]
    shared = [batch for batch in batches if len(batch.links) > 1]
    assert shared
    for batch in shared:
        assert {link.span_id for link in batch.links} <= requests.keys()
        assert batch.parent_span_id in {link.span_id for link in batch.links}
        assert values(batch)["cloze.model"] == "cloze-small-en"
        assert values(batch)["cloze.items"] >= len(batch.links)  # type: ignore[operator]


def test_the_caller_decides_and_nothing_else_is_traced(
    traced: RunningServer, collector: Collector
) -> None:
    trace, unsampled = caller(4, sampled=False)
    assert (
        "traceparent" not in traced.post("/embed", {"inputs": "a"}, traceparent=unsampled).headers
    )
    assert "traceparent" not in traced.post("/embed", {"inputs": "a"}).headers
    last, parent = caller(5)
    traced.post("/embed", {"inputs": "a"}, traceparent=parent)
    spans = collector.wait(lambda found: of(found, last))
    assert not of(spans, trace)


ZERO = "00-" + "0" * 32 + "-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "wrong",
    [
        [""],
        ["00-0-0-01"],
        ["zz" + CALLER[2:] + "01"],
        ["ff" + CALLER[2:] + "01"],
        [CALLER + "01-more"],
        [CALLER.upper() + "01"],
        [ZERO],
        [CALLER + "01", CALLER + "01"],
        [f"{CALLER}01, {CALLER}01"],
        ["é" * 55],
        ["0" * 5000],
    ],
)
def test_a_traceparent_that_is_none_is_passed_over(traced: RunningServer, wrong: list[str]) -> None:
    headers = [(b"traceparent", one.encode("latin-1", "replace")) for one in wrong]
    answer = traced.client.post(f"{traced.url}/embed", json={"inputs": "a"}, headers=headers)
    assert answer.status_code == 200
    assert "traceparent" not in answer.headers


def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known(
    traced: RunningServer, collector: Collector
) -> None:
    trace, parent = caller(8)
    answer = traced.post("/embed", {"inputs": "a"}, traceparent=f"cc{parent[2:]}-what-comes")
    assert answer.headers["traceparent"].split("-")[:2] == ["00", trace]
    collector.wait(lambda found: of(found, trace))


def test_the_tracestate_of_the_caller_goes_with_its_trace(
    traced: RunningServer, collector: Collector
) -> None:
    trace, parent = caller(9)
    states = [("tracestate", "one=1"), ("tracestate", "two=2,three=3")]
    traced.client.post(
        f"{traced.url}/embed", json={"inputs": "a"}, headers=[("traceparent", parent), *states]
    )
    spans = of(collector.wait(lambda found: len(of(found, trace)) >= 7), trace)
    assert {span.trace_state for span in spans} == {"one=1,two=2,three=3"}


@pytest.mark.parametrize("state", ["Some Secret!", "a=1,a=2", "s" * 600, "é=1"])
def test_what_is_no_tracestate_is_passed_over_and_nobody_reads_it(
    traced: RunningServer, collector: Collector, state: str
) -> None:
    trace, parent = caller(100 + len(state))
    headers = [(b"traceparent", parent.encode()), (b"tracestate", state.encode("latin-1"))]
    answer = traced.client.post(f"{traced.url}/embed", json={"inputs": "a"}, headers=headers)
    assert answer.headers["traceparent"].split("-")[1] == trace
    spans = of(collector.wait(lambda found: of(found, trace)), trace)
    assert {span.trace_state for span in spans} == {""}
    assert "tracestate" not in traced.log.read_text()
    assert state not in traced.log.read_text()


def test_fastapi_writes_no_spans_of_its_own(
    serve: Serve, default_model: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    before = len(collector.raw)
    server = serve(default_model, threads=1, drain_delay_s=0)
    assert server.post("/embed", {"inputs": 1}).status_code == 422
    assert server.terminate() == 0
    assert len(collector.raw) == before


def test_a_share_of_what_begins_here_is_traced() -> None:
    tracer = otel.OtelTracer("http://127.0.0.1:9", 0.25)
    begun = [tracer.begin([], "POST", time.monotonic()) for _ in range(2000)]
    tracer.close()
    assert 400 < len([one for one in begun if one is not None]) < 600


def test_a_batch_of_a_thousand_traced_requests_is_linked_to_them_all(collector: Collector) -> None:
    tracer = otel.OtelTracer(collector.url, 1)
    begun = [tracer.begin([], "POST", time.monotonic()) for _ in range(1000)]
    now = time.monotonic()
    tracer.batch("m", TracedBatch([*begun], 1000, now - 1, now))
    tracer.close()
    (batch,) = [span for span in collector.spans() if len(span.links) == 1000]
    assert batch.end_time_unix_nano - batch.start_time_unix_nano == pytest.approx(1e9, rel=1e-6)


def test_who_writes_is_told_and_may_be_called_otherwise(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for name in ("", "search-embeddings"):
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        before, tracer = len(collector.raw), otel.OtelTracer(collector.url, 1)
        trace = tracer.begin([], "GET", time.monotonic())
        assert trace is not None
        trace.span.end()
        tracer.close()
        told = [values(one.resource) for one in collector.resources(before)]
        (own,) = [one for one in told if one["process.pid"] == os.getpid()]
        assert own["deployment.environment.name"] == "test"
        names.append(own["service.name"])
    assert names == ["cloze", "search-embeddings"]


def test_a_collector_that_never_answers_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracer = otel.OtelTracer(f"http://127.0.0.1:{silent.getsockname()[1]}", 1)
        for _ in range(2000):  # several times what is sent at once
            trace = tracer.begin([], "GET", time.monotonic())
            assert trace is not None
            trace.span.end()
        begun = time.monotonic()
        tracer.close()
        assert time.monotonic() - begun < 6


def test_a_refusal_says_why(traced: RunningServer, collector: Collector) -> None:
    trace, parent = caller(6)
    traced.post("/embed", {"inputs": ""}, traceparent=parent)
    (span,) = of(collector.wait(lambda found: of(found, trace)), trace)
    assert values(span)["error.type"] == "empty_text"
    assert values(span)["http.response.status_code"] == 422


def test_the_log_names_the_trace(traced: RunningServer) -> None:
    trace, parent = caller(7)
    answer = traced.post("/embed", {"inputs": "a"}, traceparent=parent)
    own = answer.headers["x-request-id"]
    deadline = time.monotonic() + PATIENCE_S
    while not (lines := [one for one in traced.log_lines() if one.get("request_id") == own]):
        assert time.monotonic() < deadline
    assert {line["trace_id"] for line in lines} == {trace}


def test_what_was_traced_is_sent_before_the_server_ends(
    serve: Serve, default_model: Path, collector: Collector
) -> None:
    server = serve(
        default_model, trace_endpoint=collector.url, trace_share=1, threads=1, drain_delay_s=0
    )
    trace = server.post("/embed", {"inputs": "a"}).headers["traceparent"].split("-")[1]
    assert server.terminate() == 0
    assert {span.name for span in of(collector.spans(), trace)} >= {"POST /embed", *STAGES, "batch"}


def test_a_collector_that_is_gone_holds_nobody_up(serve: Serve, default_model: Path) -> None:
    server = serve(
        default_model,
        trace_endpoint="http://127.0.0.1:9",
        trace_share=1,
        threads=1,
        drain_delay_s=0,
    )
    with suppress(httpx.HTTPError):
        for _ in range(20):
            assert server.post("/embed", {"inputs": "a"}).is_success
    assert server.terminate() == 0


def test_where_it_is_not_installed_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['opentelemetry'] = None; import server.__main__ as m;"
    done = subprocess.run(
        [sys.executable, "-c", hidden + "m.main(['--trace-endpoint', 'http://localhost:4318'])"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "`make tracing` adds it" in done.stderr


def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    """FastAPI itself loads the interface where that is installed, and never the rest."""
    code = (
        "import sys, server.__main__, server.process.serving as s; from server.settings import *;"
        "s._tracer(Settings()); print([m for m in sys.modules if 'otel' in m or"
        " m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'requests'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
