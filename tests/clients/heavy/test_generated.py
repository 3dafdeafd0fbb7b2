"""Clients that openapi-python-client writes by its defaults, of our document and of TEI's shapes.

`tei.json` tells the routes and fields of text-embeddings-inference in short, in our own words.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.clients.heavy.conftest import DOCUMENTS, QUERY, TEXTS
from tests.running_server import RunningServer

CLIENT = "openapi-python-client, of our document and of TEI's shapes"
PACKAGES = ("openapi-python-client",)

TEI = Path(__file__).with_name("tei.json")


def generated(document: Path, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes a client of a document into a folder, and makes it importable as `name`."""
    programs = Path(sys.executable).parent
    generator = programs / "openapi-python-client"
    with_formatter = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        [generator, "generate", "--path", document, "--output-path", folder / name, "--meta",
         "none", "--fail-on-warning"],
        capture_output=True, text=True, check=False, timeout=300,
        env=with_formatter,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(folder)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_a_client_of_our_document(
    everything: RunningServer,
    vectors: list[list[float]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`openapi-python-client generate` of `/openapi.json`; `embed`, `fill_mask`, `predict`"""
    document = tmp_path / "openapi.json"
    document.write_bytes(everything.get("/openapi.json").content)
    generated(document, tmp_path, "ours", monkeypatch)
    client, models = module("ours").Client(base_url=everything.url), module("ours.models")
    embed = module("ours.api.tasks.embed")
    answer = embed.sync(client=client, body=models.EmbedBody(inputs=TEXTS))
    np.testing.assert_allclose(answer, vectors, atol=1e-6)
    fill = module("ours.api.tasks.fill_mask")
    body = models.FillMaskBody(inputs="Paris is the [MASK] of France.")
    assert fill.sync(client=client, body=body)[0].token_str == "capital"
    refused = fill.sync(client=client, body=models.FillMaskBody(inputs="no blank"))
    assert "[MASK]" in json.dumps(refused.to_dict())


def test_a_client_of_teis_shapes(
    everything: RunningServer,
    vectors: list[list[float]],
    order: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`generate` of TEI's shapes; `embed`, `predict`, `rerank`, `similarity`, `tokenize`"""
    generated(TEI, tmp_path, "tei", monkeypatch)
    models, api = module("tei.models"), "tei.api.default"
    client = module("tei").Client(base_url=everything.url)
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
    reviews = module("tei").Client(base_url=f"{everything.url}/models/reviews")
    body = models.PredictRequest(inputs=[["It was dull."], ["It rained."]])
    assert len(module(f"{api}.predict").sync(client=reviews, body=body)) == 2
    matches = module("tei").Client(base_url=f"{everything.url}/models/matches")
    body = models.RerankRequest(query=QUERY, texts=DOCUMENTS, return_text=True)
    ranks = module(f"{api}.rerank").sync(client=matches, body=body)
    assert [rank.index for rank in ranks] == order
    assert [rank.text for rank in ranks] == [DOCUMENTS[index] for index in order]
