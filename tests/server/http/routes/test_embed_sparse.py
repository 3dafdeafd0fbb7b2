"""POST /embed_sparse, against sentence-transformers' SparseEncoder and FlagEmbedding's formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.running_server import RunningServer
from tests.sentence_folders import HIDDEN, TEXTS

PARITY = 1e-5  # largest difference of a weight in float32
VOCABULARY = 61


def post(server: RunningServer, path: str, **body: object) -> Any:
    response = server.post(path, body)
    assert response.status_code == 200, response.text
    return response.json()


def dense(weights: list[dict[str, Any]]) -> np.ndarray:
    """The weights of all words of the vocabulary."""
    vector = np.zeros(VOCABULARY)
    vector[[one["index"] for one in weights]] = [one["value"] for one in weights]
    return vector


def test_weights_are_those_of_splade(
    library_server: RunningServer, library: Callable[[str], Any]
) -> None:
    wanted = library("splade").encode(list(TEXTS), convert_to_sparse_tensor=False).numpy()
    found = post(library_server, "/models/splade/embed_sparse", inputs=list(TEXTS), truncate=True)
    np.testing.assert_allclose([dense(one) for one in found], wanted, rtol=0, atol=PARITY)
    for one, other in zip(found, wanted, strict=True):
        indices = [word["index"] for word in one]
        assert indices == np.flatnonzero(other).tolist()
    assert 0 < sum(map(len, found)) < wanted.size


def test_a_prompt_is_put_in_front(
    library_server: RunningServer, library: Callable[[str], Any]
) -> None:
    wanted = library("splade").encode_query(TEXTS[0], convert_to_sparse_tensor=False).numpy()
    (found,) = post(
        library_server, "/models/splade/embed_sparse", inputs=TEXTS[0], prompt_name="query"
    )
    np.testing.assert_allclose(dense(found), wanted, rtol=0, atol=PARITY)
    (plain,) = post(library_server, "/models/splade/embed_sparse", inputs=TEXTS[0])
    assert np.abs(dense(plain) - wanted).max() > PARITY


def test_a_text_has_the_same_weights_alone(library_server: RunningServer) -> None:
    path = "/models/splade/embed_sparse"
    together = post(library_server, path, inputs=list(TEXTS), truncate=True)
    for text, wanted in zip(TEXTS, together, strict=True):
        (alone,) = post(library_server, path, inputs=text, truncate=True)
        np.testing.assert_allclose(dense(alone), dense(wanted), rtol=0, atol=PARITY)


def test_the_heaviest_words_are_kept(library_server: RunningServer) -> None:
    path = "/models/splade/embed_sparse"
    (whole,) = post(library_server, path, inputs=TEXTS[0])
    (few,) = post(library_server, path, inputs=TEXTS[0], max_active_dims=5)
    heaviest = sorted(whole, key=lambda word: -word["value"])[:5]
    assert few == sorted(heaviest, key=lambda word: int(word["index"]))


def test_tokens_are_weighed_as_bge_m3_does_it(
    library_server: RunningServer, library: Callable[[str], Any]
) -> None:
    tokenizer, model, head = library("m3")
    unused = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.unk_token_id}
    texts = [TEXTS[0], TEXTS[2], TEXTS[3]]
    found = post(library_server, "/models/m3/embed_sparse", inputs=texts)
    for text, weights in zip(texts, found, strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            rows = model(**encoded).last_hidden_state[0]
            logits = torch.relu(head["sparse_linear"](rows))[:, 0].tolist()
        wanted: dict[int, float] = {}
        for token, weight in zip(encoded["input_ids"][0].tolist(), logits, strict=True):
            if token not in unused and weight > wanted.get(token, 0):
                wanted[token] = weight
        assert [word["index"] for word in weights] == sorted(wanted)
        values = [word["value"] for word in weights]
        assert values == pytest.approx([wanted[token] for token in sorted(wanted)], abs=PARITY)


def test_vectors_of_late_interaction_are_those_of_bge_m3(
    library_server: RunningServer, library: Callable[[str], Any]
) -> None:
    tokenizer, model, head = library("m3")
    (found,) = post(library_server, "/models/m3/embed_all", inputs=TEXTS[0], multi_vector=True)
    with torch.no_grad():
        rows = model(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state[0, 1:]
        wanted = torch.nn.functional.normalize(head["colbert_linear"](rows), dim=-1).numpy()
    assert wanted.shape[1] == HIDDEN
    np.testing.assert_allclose(found, wanted, rtol=0, atol=PARITY)


def test_a_model_that_was_not_exported_for_it_says_so(
    library_server: RunningServer, server: RunningServer
) -> None:
    without = library_server.post("/models/labse/embed_sparse", {"inputs": "a"}).json()
    assert without["code"] == "missing_head"
    assert without["error"].endswith(" /embed_sparse is answered by: m3, splade.")
    masked = server.post("/embed_sparse", {"inputs": "a"}).json()
    assert masked["code"] == "missing_head"
    assert masked["error"].startswith("The checkpoint of cloze-small-en was exported without")
    assert masked["error"].endswith("with --sparse. No loaded model answers /embed_sparse.")
    named = server.post("/embed_sparse", {"inputs": ["a"], "model": "cloze-small-en"}).json()
    assert named == masked


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_active_dims": 62}, "max_active_dims"),
        ({"max_active_dims": 0}, "max_active_dims"),
        ({"prompt_name": "nothing"}, "prompt_name"),
        ({"inputs": [[5, 61]]}, "inputs[0]"),
        ({"inputs": ["a", "\n"]}, "inputs[1]"),
        ({"inputs": "word " * 60}, "inputs"),
    ],
)
def test_what_cannot_be_weighed_is_refused_by_name(
    library_server: RunningServer, more: dict[str, object], param: str
) -> None:
    response = library_server.post("/models/splade/embed_sparse", {"inputs": "a", **more})
    assert (response.status_code, response.json()["param"]) == (422, param)


def test_the_tokenizer_of_the_reference_is_the_models(library: Callable[[str], Any]) -> None:
    tokenizer, _, _ = library("m3")
    assert isinstance(tokenizer, transformers.PreTrainedTokenizerFast)
    assert len(tokenizer) == VOCABULARY
