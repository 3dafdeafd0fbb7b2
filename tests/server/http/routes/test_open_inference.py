"""`/v2`: tensors as JSON and as bytes, what each task gives as tensors, and wrong ones."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from server.http.tensors import LENGTH_HEADER
from tests.running_app import serving
from tests.running_server import Served
from tests.server.http.conftest import Build

LENGTH = LENGTH_HEADER.replace("-", "_")
CLOZE, REVIEWS, NAMES, ANSWERS = "cloze-small-en", "reviews", "names", "answers"
MASKED = ["Paris is the [MASK] of France.", "A [MASK] in the [MASK]."]


@pytest.fixture
def served(build: Build) -> Iterator[Served]:
    with serving(build()) as one:
        yield one


def tensor(name: str, texts: list[str], **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": texts} | more


def infer(served: Served, model: str, *inputs: dict[str, Any], **body: Any) -> httpx.Response:
    return served.post(f"/v2/models/{model}/infer", {"inputs": list(inputs), **body})


def outputs(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {
        one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer.json()["outputs"]
    }


def sentence(answer: httpx.Response) -> str:
    error = answer.json()["error"]
    return str(error["message"] if isinstance(error, dict) else error)


# --- what each task gives ---------------------------------------------------------------------


def test_a_masked_language_model_fills_each_mask(served: Served) -> None:
    found = outputs(infer(served, CLOZE, tensor("text", MASKED), parameters={"top_k": 3}))
    assert found["token_str"].shape == found["sequence"].shape == (3, 3)
    assert found["text_index"].tolist() == [0, 1, 1]
    direct = served.post("/fill-mask", {"inputs": MASKED, "parameters": {"top_k": 3}}).json()
    masks = [direct[0], *direct[1]]
    assert found["token_str"].tolist() == [[one["token_str"] for one in mask] for mask in masks]
    assert found["sequence"].tolist() == [[one["sequence"] for one in mask] for mask in masks]
    np.testing.assert_allclose(
        found["token_score"], [[one["score"] for one in mask] for mask in masks], rtol=1e-6
    )


def test_any_model_embeds_where_its_vectors_are_asked_for(served: Served) -> None:
    asked = [{"name": "embedding"}]
    for model in (CLOZE, REVIEWS):
        found = outputs(infer(served, model, tensor("text", MASKED), outputs=asked))
        direct = served.post(f"/models/{model}/embed", {"inputs": MASKED}).json()
        np.testing.assert_allclose(found["embedding"], direct, atol=1e-6)
    cut = infer(served, CLOZE, tensor("text", MASKED), outputs=asked, parameters={"dimensions": 7})
    assert outputs(cut)["embedding"].shape == (2, 7)


def test_pairs_without_a_mask_are_next_sentences(served: Served) -> None:
    first, second = ["It rained.", "He sat down."], ["We got wet.", "Bananas are yellow."]
    found = outputs(infer(served, CLOZE, tensor("text", first), tensor("text_pair", second)))
    pairs = [list(pair) for pair in zip(first, second, strict=True)]
    direct = [one["probability"] for one in served.post("/nsp", {"inputs": pairs}).json()]
    np.testing.assert_allclose(found["is_next_probability"], direct, rtol=1e-5)


def test_a_classifier_gives_labels_with_scores(served: Served) -> None:
    texts = ["What a wonderful film!", "It was dull.", "Fine."]
    found = outputs(infer(served, REVIEWS, tensor("text", texts)))
    direct = served.post("/models/reviews/predict", {"inputs": [[text] for text in texts]}).json()
    assert found["label"].tolist() == [[one["label"] for one in labels] for labels in direct]
    np.testing.assert_allclose(
        found["score"], [[one["score"] for one in labels] for labels in direct], rtol=1e-5
    )
    best = outputs(infer(served, REVIEWS, tensor("text", texts), parameters={"top_k": 1}))
    assert best["label"].tolist() == found["label"][:, :1].tolist()


def test_a_tagger_gives_each_texts_entities_as_json(served: Served) -> None:
    texts = ["Clara lives in Berkeley.", "Nothing here."]
    found = outputs(infer(served, NAMES, tensor("text", texts)))["entities"]
    direct = served.post("/models/names/token-classification", {"inputs": texts}).json()
    assert [json.loads(one) for one in found] == direct


def test_questions_are_answered(served: Served) -> None:
    context = "Clara lives in Berkeley."
    asked = tensor("question", ["Where does Clara live?"]), tensor("context", [context])
    found = outputs(infer(served, ANSWERS, *asked))
    begin, end = int(found["answer_start"][0]), int(found["answer_end"][0])
    assert context[begin:end] == found["answer"][0] == "Berkeley"
    some = infer(served, ANSWERS, *asked, outputs=[{"name": "answer_end"}])
    assert [one["name"] for one in some.json()["outputs"]] == ["answer_end"]


@pytest.mark.parametrize("model", [CLOZE, REVIEWS, NAMES, ANSWERS])
def test_a_models_description_names_what_its_answers_hold(served: Served, model: str) -> None:
    told = served.get(f"/v2/models/{model}").json()
    assert (told["name"], told["versions"]) == (model, ["1"])
    kinds = {one["name"]: (one["datatype"], one["shape"]) for one in told["outputs"]}
    assert len(kinds) == len(told["outputs"]), "a name stands for one output"
    texts = {one["name"]: tensor(one["name"], ["The [MASK] is here."]) for one in told["inputs"]}
    for name, (datatype, shape) in kinds.items():
        answers = [
            infer(served, model, *(texts[one] for one in inputs), outputs=[{"name": name}])
            for inputs in (["text"], ["text", "text_pair"], ["question", "context"])
            if set(inputs) <= texts.keys()
        ]
        (output,) = next(each for each in answers if each.is_success).json()["outputs"]
        assert output["datatype"] == datatype
        assert len(output["shape"]) == len(shape)
        assert all(
            wanted in (-1, size) for size, wanted in zip(output["shape"], shape, strict=True)
        )


# --- bytes ------------------------------------------------------------------------------------


def packed(texts: list[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(one)) + one for one in encoded)


def infer_raw(
    served: Served, head: dict[str, Any], behind: bytes, **headers: str
) -> httpx.Response:
    raw = json.dumps(head).encode()
    named = {LENGTH: str(len(raw)), "content_type": "application/octet-stream"} | headers
    return served.post_raw(f"/v2/models/{CLOZE}/infer", raw + behind, **named)


def as_bytes(name: str, texts: list[str]) -> tuple[dict[str, Any], bytes]:
    data = packed(texts)
    told = {"name": name, "shape": [len(texts), 1], "datatype": "BYTES"}
    return told | {"parameters": {"binary_data_size": len(data)}}, data


def test_tensors_come_and_go_as_bytes(served: Served) -> None:
    texts = ["Ein Öl-[MASK].", "日本 [MASK] 語", "x" * 300 + " [MASK]"]
    told, data = as_bytes("text", texts)
    wanted = [{"name": "token_score", "parameters": {"binary_data": True}}, {"name": "token_str"}]
    answer = infer_raw(served, {"id": "a7", "inputs": [told], "outputs": wanted}, data)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    head = int(answer.headers[LENGTH_HEADER])
    found = json.loads(answer.content[:head])
    assert (found["id"], found["model_name"]) == ("a7", CLOZE)
    scores, words = found["outputs"]
    assert scores["parameters"] == {"binary_data_size": len(answer.content) - head}
    by_json = outputs(infer(served, CLOZE, tensor("text", texts)))
    floats = np.frombuffer(answer.content[head:], "<f4").reshape(scores["shape"])
    np.testing.assert_array_equal(floats, by_json["token_score"].astype(np.float32))
    assert words["data"] == by_json["token_str"].reshape(-1).tolist()


def test_all_outputs_are_bytes_if_the_request_says_so(served: Served) -> None:
    first, one = as_bytes("text", ["It rained."])
    second, other = as_bytes("text_pair", ["We got wet."])
    head = {"inputs": [first, second], "parameters": {"binary_data_output": True}}
    answer = infer_raw(served, head, one + other)
    length = int(answer.headers[LENGTH_HEADER])
    assert json.loads(answer.content[:length])["outputs"][0]["datatype"] == "FP32"
    assert 0 < struct.unpack("<f", answer.content[length:])[0] < 1


GOOD, DATA = as_bytes("text", ["a [MASK]"])


@pytest.mark.parametrize(
    ("changed", "behind", "length", "told"),
    [
        ({}, DATA[:-1], None, "should have 12 bytes, and 11 follow"),
        ({}, DATA + b"xy", None, "2 bytes at the end of the body belong to no tensor"),
        ({"data": ["a [MASK]"]}, DATA, None, "has both data and binary_data_size"),
        ({"shape": [2]}, DATA, None, "should have 2 elements, and 1 are there"),
        ({"shape": [0]}, DATA, None, "should have 0 elements, and 12 bytes follow these"),
        ({}, b"\xff\0\0\0" + DATA[4:], None, "the bytes end within number 0"),
        ({}, b"\x08\0\0\0\xff\xfe" + DATA[6:], None, "is not UTF-8"),
        ({}, DATA, "", "bytes of JSON"),
        ({}, DATA, "-1", "bytes of JSON"),
        ({}, DATA, "9" * 30, "bytes of JSON"),
        ({}, DATA, "100000", "bytes of JSON"),
        ({"shape": [100_000, 100_000]}, DATA, None, "may hold"),
    ],
)
def test_bytes_that_do_not_fit_are_refused_in_a_sentence(
    served: Served, changed: dict[str, Any], behind: bytes, length: str | None, told: str
) -> None:
    headers = {} if length is None else {LENGTH: length}
    answer = infer_raw(served, {"inputs": [GOOD | changed]}, behind, **headers)
    assert answer.status_code in (400, 422), answer.text
    assert told in sentence(answer)


@pytest.mark.parametrize(
    ("inputs", "more", "told"),
    [
        ([tensor("text", ["a"], datatype="FP32")], {}, "should be of datatype BYTES"),
        ([tensor("text", ["a", "b"], shape=[3])], {}, "should have 3 elements, and 2 are there"),
        ([tensor("text", [[1.5]], shape=[1])], {}, "should hold strings alone"),  # type: ignore[list-item]
        ([tensor("text", ["a"]) | {"data": None}], {}, "has no data"),
        ([tensor("text", ["a"])] * 2, {}, "was sent before"),
        ([tensor("words", ["a"])], {}, "Its outputs are: token_str"),
        ([tensor("text", ["a"])], {"outputs": [{"name": "label"}]}, "Its outputs are: token_str"),
        ([tensor("text", ["a", "b"]), tensor("text_pair", ["c"])], {}, "have [2, 1]"),
        ([tensor("text", ["a [MASK]"])], {"parameters": {"dimensions": 3}}, "says nothing to"),
        ([tensor("text", ["a [MASK]"])], {"parameters": {"sequence_id": 3}}, "not a known field"),
        ([tensor("text", [])], {}, "list of inputs is empty"),
        ([tensor("text", ["a"], shape=[1] * 33)], {}, "should have 32 entries or fewer"),
        ([tensor("text", ["a"], shape=[2**63 - 1] * 60_000)], {}, "32 entries or fewer"),
        ([tensor("text", ["no blank"])], {}, "holds no [MASK]"),
    ],
)
def test_wrong_tensors_are_refused_in_a_sentence(
    served: Served, inputs: list[dict[str, Any]], more: dict[str, Any], told: str
) -> None:
    answer = infer(served, CLOZE, *inputs, **more)
    assert answer.status_code == 422, answer.text
    assert told in sentence(answer)


def test_more_texts_than_one_request_may_hold_are_refused_unread(served: Served) -> None:
    most = served.get("/info").json()["limits"]["max_inputs"]
    answer = infer(served, CLOZE, tensor("text", ["a"] * (most + 1)))
    assert (answer.status_code, f"may hold {most} inputs" in sentence(answer)) == (422, True)


def test_nested_data_is_read_row_by_row(served: Served) -> None:
    nested = tensor("text", [["a [MASK]"], ["b [MASK]"]], shape=[2, 1])  # type: ignore[list-item]
    flat = tensor("text", ["a [MASK]", "b [MASK]"])
    assert infer(served, CLOZE, nested).json() == infer(served, CLOZE, flat).json()


# --- the server -------------------------------------------------------------------------------


def test_health_readiness_and_description(served: Served) -> None:
    assert served.get("/v2/health/live").json() == {"live": True}
    assert served.get("/v2/health/ready").json() == {"ready": True}
    assert served.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert served.get("/v2/models/reviews/ready").json() == {"name": "reviews", "ready": True}


def test_version_1_is_the_model_itself_and_there_is_no_other(served: Served) -> None:
    whole = served.get("/v2/models/names").json()
    assert served.get("/v2/models/names/versions/1").json() == whole
    assert served.get("/v2/models/names/versions/1/ready").json()["ready"]
    assert served.get("/v2/models/names/versions/2/ready").status_code == 404
    body = {"inputs": [tensor("text", ["Clara."])]}
    assert served.post("/v2/models/names/versions/1/infer", body).is_success


def test_a_model_that_is_not_there_is_404(served: Served) -> None:
    for path in ("", "/ready"):
        assert served.get(f"/v2/models/nobody{path}").status_code == 404
    assert infer(served, "nobody", tensor("text", ["a"])).status_code == 404


def test_bytes_are_taken_where_tensors_are_and_nowhere_else(served: Served) -> None:
    raw = json.dumps({"inputs": "A river."}).encode()
    headers = {"content_type": "application/octet-stream", LENGTH: str(len(raw))}
    assert served.post_raw("/embed", raw, **headers).status_code == 415
