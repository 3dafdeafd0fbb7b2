"""Folders of sentence-transformers, exported and asked over HTTP, against the library itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import transformers
from numpy.typing import NDArray

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from models.pooling import POOLING_MODES
from tests.conftest import Serve
from tests.running_server import RunningServer
from tests.sentence_folders import (
    CROSS_KINDS,
    KINDS,
    PROMPTS,
    TEXTS,
    save_cross_encoder,
    save_sentences,
)

PARITY = 1e-5  # largest difference of a number of a vector, or of a score, in float32
ALONE = 1e-5  # of a vector alone from one in company
COSINES = {"fp16": 0.9999, "int8": 0.98}  # least of an exact vector with a rounded one
PRECISIONS = ("fp32", "fp16", "int8")
Vectors = NDArray[np.float64]
PAIRS = [[first, second] for first, second in zip(TEXTS, reversed(TEXTS), strict=True)]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of every kind."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("sentence-checkpoints")
    for name in KINDS:
        save_sentences(name, folder / name)
    for name in CROSS_KINDS:
        save_cross_encoder(name, folder / name)
    return folder


@pytest.fixture(scope="module")
def models(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as model folders, some of them in every precision."""
    folder = tmp_path_factory.mktemp("sentence-models")
    for checkpoint in sorted(checkpoints.iterdir()):
        several = checkpoint.name in {"deep", "several"}
        for precision in PRECISIONS if several else PRECISIONS[:1]:
            read = read_checkpoint(checkpoint)
            name = checkpoint.name if precision == "fp32" else f"{checkpoint.name}-{precision}"
            export_model(read, folder / name, precision=precision, progress=lambda _line: None)
    return folder


@pytest.fixture(scope="module")
def served(serve: Serve, models: Path) -> RunningServer:
    return serve(models, threads=1, intra_op=1, default_model="deep")


@pytest.fixture(scope="module")
def reference(checkpoints: Path) -> Callable[[str], Any]:
    """`reference("labse")`: the model as sentence-transformers loads it."""
    loaded: dict[str, Any] = {}

    def load(name: str) -> Any:
        kind: Any = sentence_transformers.SentenceTransformer
        if name in CROSS_KINDS:
            kind = sentence_transformers.CrossEncoder
        if name not in loaded:
            loaded[name] = kind(str(checkpoints / name), device="cpu")
        return loaded[name]

    return load


def embed(server: RunningServer, name: str, inputs: object, **options: object) -> Vectors:
    body = {"inputs": inputs, "truncate": True, **options}
    response = server.post(f"/models/{name}/embed", body)
    assert response.status_code == 200, response.text
    return np.array(response.json())


@pytest.mark.parametrize("name", KINDS)
def test_vectors_are_those_of_sentence_transformers(
    served: RunningServer, reference: Callable[[str], Any], name: str
) -> None:
    wanted = reference(name).encode(list(TEXTS))
    np.testing.assert_allclose(embed(served, name, list(TEXTS)), wanted, rtol=0, atol=PARITY)


@pytest.mark.parametrize("name", KINDS)
def test_openai_route_answers_the_same(
    served: RunningServer, reference: Callable[[str], Any], name: str
) -> None:
    body = {"input": list(TEXTS), "truncate": True, "model": name}
    found = [one["embedding"] for one in served.post("/v1/embeddings", body).json()["data"]]
    np.testing.assert_allclose(found, reference(name).encode(list(TEXTS)), rtol=0, atol=PARITY)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(
    "name", [name for name, kind in KINDS.items() if "prompts" in kind.options]
)
def test_prompts_are_put_in_and_left_out_of_the_pooling(
    served: RunningServer, reference: Callable[[str], Any], name: str, prompt: str
) -> None:
    wanted = reference(name).encode(list(TEXTS), prompt_name=prompt)
    found = embed(served, name, list(TEXTS), prompt_name=prompt)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=PARITY)


@pytest.mark.parametrize("name", ["weighted", "max", "cls", "several"])
def test_token_ids_have_no_prompt_to_be_left_out(
    served: RunningServer, reference: Callable[[str], Any], name: str
) -> None:
    tokens = served.post(f"/models/{name}/tokenize", {"inputs": TEXTS[0]}).json()
    ids = [token["id"] for token in tokens[0]]
    wanted = reference(name).encode([TEXTS[0]], prompt="")
    np.testing.assert_allclose(embed(served, name, ids), wanted, rtol=0, atol=PARITY)


@pytest.mark.parametrize("name", ["deep", "deep-fp16", "deep-int8", "several-int8", *KINDS])
def test_a_vector_is_the_same_alone_and_in_company(served: RunningServer, name: str) -> None:
    together = embed(served, name, list(TEXTS))
    alone = np.concatenate([embed(served, name, [text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, rtol=0, atol=ALONE)


def test_every_mode_can_be_asked_for_behind_a_pooling_without_modules(
    served: RunningServer, reference: Callable[[str], Any]
) -> None:
    model = reference("sqrt")
    for mode in POOLING_MODES:
        model[1].pooling_mode = mode
        found = embed(served, "sqrt", list(TEXTS), pooling=mode)
        np.testing.assert_allclose(found, model.encode(list(TEXTS)), rtol=0, atol=PARITY)
    model[1].pooling_mode = "mean_sqrt_len_tokens"


@pytest.mark.parametrize("name", ["labse", "several", "deep"])
def test_dimensions_are_cut_as_sentence_transformers_cuts_them(
    served: RunningServer, reference: Callable[[str], Any], name: str
) -> None:
    model, texts = reference(name), list(TEXTS)
    plain = model.encode(texts, truncate_dim=5, normalize_embeddings=True)
    found = embed(served, name, texts, dimensions=5, normalize=True)
    np.testing.assert_allclose(found, plain, rtol=0, atol=PARITY)
    whole = model.encode(texts, normalize_embeddings=True)  # of what the model keeps
    found = embed(served, name, texts, normalize=True)
    np.testing.assert_allclose(found, whole, rtol=0, atol=PARITY)


def test_all_dimensions_of_a_model_that_keeps_some_may_be_asked_for(
    served: RunningServer, reference: Callable[[str], Any]
) -> None:
    assert embed(served, "several", TEXTS[0]).shape == (1, 100)
    whole = reference("several").encode([TEXTS[0]], truncate_dim=128)
    found = embed(served, "several", TEXTS[0], dimensions=128)
    np.testing.assert_allclose(found, whole, rtol=0, atol=PARITY)
    response = served.post("/models/several/embed", {"inputs": "a", "dimensions": 129})
    assert response.json()["error"] == "dimensions must be from 1 to 128."


@pytest.mark.parametrize(
    ("options", "param"),
    [({"pooling": "mean"}, "pooling"), ({"layer": -2}, "layer"), ({"pooling": "max"}, "pooling")],
)
def test_other_rows_than_the_modules_learnt_from_are_refused(
    served: RunningServer, options: dict[str, object], param: str
) -> None:
    response = served.post("/models/labse/embed", {"inputs": "a", **options})
    error = response.json()
    assert (response.status_code, error["param"]) == (422, param)
    assert f"no choice of {param}" in error["error"]
    own = embed(served, "labse", "a", pooling="cls", layer=-1)
    np.testing.assert_array_equal(own, embed(served, "labse", "a"))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_rounded_vectors_point_where_the_exact_ones_do(
    served: RunningServer, precision: str
) -> None:
    for name in ("deep", "several"):
        exact = embed(served, name, list(TEXTS), normalize=True)
        rounded = embed(served, f"{name}-{precision}", list(TEXTS), normalize=True)
        assert (exact * rounded).sum(axis=1).min() > COSINES[precision]


@pytest.mark.filterwarnings("ignore:Implicit dimension choice for softmax")  # of the library
@pytest.mark.parametrize("name", CROSS_KINDS)
def test_scores_are_those_of_the_cross_encoder(
    served: RunningServer, reference: Callable[[str], Any], name: str
) -> None:
    wanted = reference(name).predict(PAIRS).reshape(len(PAIRS), -1)
    body = {"inputs": PAIRS, "truncate": True}
    answers = served.post(f"/models/{name}/predict", body).json()
    found = [
        [one["score"] for one in sorted(labels, key=lambda one: str(one["label"]))]
        for labels in answers
    ]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=PARITY)


def test_raw_scores_are_logits_whatever_the_activation(served: RunningServer) -> None:
    pair = {"text": PAIRS[0][0], "text_pair": PAIRS[0][1]}
    body = {"inputs": pair, "truncate": True}
    for name in ("ms-marco", "stsb"):
        path = f"/models/{name}/predict"
        (usual,) = served.post(path, body).json()
        (raw,) = served.post(path, body | {"raw_scores": True}).json()
        asked = body | {"parameters": {"function_to_apply": "sigmoid"}}
        ((bounded,),) = served.post(path, asked).json()
        logit = raw["score"]
        assert usual["score"] == pytest.approx(logit if name == "ms-marco" else bounded["score"])
        assert bounded["score"] == pytest.approx(1 / (1 + np.exp(-logit)))


def test_info_says_what_the_folder_said(served: RunningServer) -> None:
    info = served.get("/models/labse/info").json()
    pooling = info["pooling"]
    assert (pooling["mode"], pooling["dimensions"], pooling["normalize"]) == ("cls", 19, True)
    dense = {"kind": "dense", "width": 32, "activation": "tanh", "bias": True}
    assert pooling["modules"] == [dense]
    assert info["parameters"]["pooling"] == 32 * 32 + 32
    assert info["parity"]["sentence_vectors"] <= PARITY
    last = served.get("/models/last/info").json()
    assert (last["truncation_side"], last["pooling"]["max_tokens"]) == ("left", 9)
    assert served.get("/models/weighted/info").json()["pooling"]["similarity"] == "dot"
    cross = served.get("/models/ms-marco/info").json()
    assert (cross["activation"], cross["max_tokens"]) == ("none", 17)


def test_the_end_that_is_cut_can_still_be_asked_for(
    served: RunningServer, reference: Callable[[str], Any]
) -> None:
    model = reference("last")
    model.tokenizer.truncation_side = "right"
    wanted = model.encode(list(TEXTS))
    model.tokenizer.truncation_side = "left"
    found = embed(served, "last", list(TEXTS), truncation_direction="right")
    np.testing.assert_allclose(found, wanted, rtol=0, atol=PARITY)
    assert np.abs(found - embed(served, "last", list(TEXTS))).max() > 100 * PARITY
