"""KServe's REST client, unmodified: the Open Inference Protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

from tests.clients.heavy.conftest import TEXTS
from tests.running_server import RunningServer

CLIENT = "kserve, `InferenceRESTClient`"
PACKAGES = ("kserve",)


def client() -> InferenceRESTClient:
    return InferenceRESTClient(RESTConfig(protocol="v2"))


def test_it_sees_the_server_and_its_models(everything: RunningServer) -> None:
    """`is_server_live`, `is_server_ready`, `is_model_ready`"""

    async def ask() -> list[bool]:
        one = client()
        try:
            return [
                await one.is_server_live(everything.url),
                await one.is_server_ready(everything.url),
                await one.is_model_ready(everything.url, "names"),
                await one.is_model_ready(everything.url, "nobody"),
            ]
        finally:
            await one.close()

    assert asyncio.run(ask()) == [True, True, True, False]


@pytest.mark.parametrize("binary", [True, False])
def test_it_classifies(everything: RunningServer, binary: bool) -> None:
    """`infer(InferRequest(…))` with BYTES as bytes and as JSON"""
    tensor = InferInput("text", [len(TEXTS)], "BYTES")
    tensor.set_data_from_numpy(np.array(TEXTS, np.object_), binary_data=binary)

    async def ask() -> Any:
        one = client()
        try:
            request = InferRequest("reviews", [tensor])
            answer = await one.infer(everything.url, request, model_name="reviews", headers={})
        finally:
            await one.close()
        (scores,) = [output.as_numpy() for output in answer.outputs if output.name == "score"]
        return scores

    inputs = [[text] for text in TEXTS]
    direct = everything.post("/models/reviews/predict", {"inputs": inputs}).json()
    expected = [[one["score"] for one in own] for own in direct]
    np.testing.assert_allclose(asyncio.run(ask()), expected, atol=1e-6)


def test_it_tells_refusals(everything: RunningServer) -> None:
    """a refusal: `HTTPStatusError` with our sentence"""
    tensor = InferInput("text", [1], "BYTES", data=["no blank"])

    async def ask() -> None:
        one = client()
        try:
            await one.infer(
                everything.url, InferRequest("x", [tensor]), model_name="cloze-small-en"
            )
        finally:
            await one.close()

    with pytest.raises(httpx.HTTPStatusError, match="holds no"):
        asyncio.run(ask())
