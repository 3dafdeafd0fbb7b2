"""Clients that openapi-python-client writes by its defaults, of our document and of TEI's shapes.

`tei.json` tells the routes and fields of text-embeddings-inference in short, in our own words.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest

from tests.clients.heavy.conftest import DOCUMENTS, QUERY, TEXTS
from tests.running_server import RunningServer

CLIENT = "openapi-python-client, of our document and of TEI's shapes"
PACKAGES = ("openapi-python-client",)

TEI = Path(__file__).with_name("tei.json")


def generated(document: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Writes a client beside a document, and makes it importable; returns its package's name."""
    programs = Path(sys.executable).parent
    generator, folder = programs / "openapi-python-client", document.parent
    with_formatter = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        [generator, "generate", "--path", document, "--fail-on-warning"],
        capture_output=True, text=True, check=False, timeout=300,
        cwd=folder, env=with_formatter,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (client,) = folder.glob("*/*/client.py")
    monkeypatch.syspath_prepend(client.parents[1])
    return client.parent.name


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def read(kind: Any, example: dict[str, Any]) -> Any:
    """A body as the generated class that an argument may be of."""
    (own,) = [one for one in (kind, *get_args(kind)) if hasattr(one, "from_dict")]
    return own.from_dict(example)


def written(value: Any) -> Any:
    """What a generated class, or a list of them, was read from."""
    if isinstance(value, list):
        return [written(one) for one in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


@pytest.fixture(scope="module")
def document(everything: RunningServer) -> dict[str, Any]:
    """Our document, from a server that has a model for each task but that of sparse vectors."""
    answer: dict[str, Any] = everything.get("/openapi.json").json()
    return answer


def test_a_client_of_our_document(
    everything: RunningServer,
    document: dict[str, Any],
    vectors: list[list[float]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`openapi-python-client generate` of `/openapi.json`: every operation, by its example"""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    ours = generated(path, monkeypatch)
    client, models = module(ours).Client(base_url=everything.url), module(f"{ours}.models")
    embed = module(f"{ours}.api.tasks.embed")
    answer = embed.sync(client=client, body=models.EmbedBody(inputs=TEXTS))
    np.testing.assert_allclose(answer, vectors, atol=1e-6)
    fill = module(f"{ours}.api.tasks.fill_mask")
    refused = fill.sync(client=client, body=models.FillMaskBody(inputs="no blank"))
    assert "[MASK]" in json.dumps(refused.to_dict())
    operations = {
        path.stem: ".".join(path.relative_to(tmp_path / "cloze-client").with_suffix("").parts)
        for path in (tmp_path / "cloze-client" / ours / "api").glob("*/*.py")
    }
    asked = [
        (operation, module(operations[operation["operationId"]]))
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len(asked) >= 55
    for operation, own in asked:
        sent: dict[str, Any] = {
            parameter["name"]: parameter.get("example", "names")
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "path"
        }
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            kind = inspect.signature(own.sync_detailed).parameters["body"].annotation
            sent["body"] = read(kind, content["example"])
        answered = own.sync_detailed(client=client, **sent)
        if "200" not in operation["responses"]:  # the root leads a browser elsewhere
            assert str(int(answered.status_code)) in operation["responses"], operation
            continue
        told = answered.content.decode()
        if operation["operationId"] != "metrics":
            told = json.loads(told)
        sparse = operation["operationId"].startswith("embed_sparse")
        assert answered.status_code == (422 if sparse else 200), told
        assert written(answered.parsed) == told, operation["operationId"]


def test_a_client_of_teis_shapes(
    everything: RunningServer,
    vectors: list[list[float]],
    order: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`generate` of TEI's shapes; `embed`, `predict`, `rerank`, `similarity`, `tokenize`"""
    tei = generated(Path(shutil.copy(TEI, tmp_path)), monkeypatch)
    models, api = module(f"{tei}.models"), f"{tei}.api.default"
    client = module(tei).Client(base_url=everything.url)
    direction = models.TruncationDirection.RIGHT
    body = models.EmbedRequest(inputs=TEXTS, truncate=True, truncation_direction=direction)
    answer = module(f"{api}.embed").sync(client=client, body=body)
    np.testing.assert_allclose(answer, vectors, atol=1e-6)
    source = models.SimilarityInput(source_sentence=TEXTS[0], sentences=TEXTS)
    body = models.SimilarityRequest(inputs=source)
    assert module(f"{api}.similarity").sync(client=client, body=body)[0] == pytest.approx(1)
    body = models.TokenizeRequest(inputs=TEXTS)
    assert module(f"{api}.tokenize").sync(client=client, body=body)[0][0].special
    info = module(f"{api}.get_info").sync(client=client)
    assert info.max_input_length > 0
    reviews = module(tei).Client(base_url=f"{everything.url}/models/reviews")
    body = models.PredictRequest(inputs=[["It was dull."], ["It rained."]])
    assert len(module(f"{api}.predict").sync(client=reviews, body=body)) == 2
    matches = module(tei).Client(base_url=f"{everything.url}/models/matches")
    body = models.RerankRequest(query=QUERY, texts=DOCUMENTS, return_text=True)
    ranks = module(f"{api}.rerank").sync(client=matches, body=body)
    assert [rank.index for rank in ranks] == order
    assert [rank.text for rank in ranks] == [DOCUMENTS[index] for index in order]
