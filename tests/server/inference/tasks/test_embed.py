"""Embeddings: pooling and layers against transformers, then prompts, dimensions and truncation."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
import transformers
from numpy.typing import NDArray

from models.manifest import load_manifest, write_manifest
from server.errors import EmptyText, InvalidParameter, TooLong, WrongType
from server.inference.pipeline import Pipeline
from server.inference.tasks.embed import EMBED, EmbedOptions, shape_vectors
from server.inference.tasks.pairs import Cut, Direction
from tests.server.inference.conftest import resources, run_task, value_of

PARITY = 1e-4  # largest difference of a number of a vector from transformers in float32
TEXTS = ("a", "The man went to the store.", "na\u00efve caf\u00e9 \u6771\u4eac!", "word " * 77)
PROMPTS = {"query": "search for this: ", "none": ""}


@pytest.fixture(scope="module")
def reference(minilm_checkpoint: Path) -> Callable[[str, int], NDArray[np.float32]]:
    """`reference(text, layer)`: hidden states of transformers, float32 (tokens, hidden)."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(minilm_checkpoint)
    model: Any = transformers.BertModel.from_pretrained(minilm_checkpoint, dtype=torch.float32)
    model.eval()

    def hidden(text: str, layer: int) -> NDArray[np.float32]:
        with torch.inference_mode():
            outputs = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        states: NDArray[np.float32] = outputs.hidden_states[layer][0].numpy()
        return states

    return hidden


@pytest.fixture(scope="module")
def prompted(minilm_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """MiniLM with a default prompt and another one."""
    folder = tmp_path_factory.mktemp("prompted") / "minilm"
    shutil.copytree(minilm_model, folder)
    manifest = load_manifest(folder)
    pooling = replace(manifest.pooling, prompts=PROMPTS, default_prompt="query")
    write_manifest(folder, replace(manifest, pooling=pooling))
    pipeline = Pipeline(folder, resources(threads=1))
    pipeline.start()
    yield pipeline
    pipeline.close()


def embed(pipeline: Pipeline, *inputs: Any, **options: Any) -> NDArray[np.float32]:
    return value_of(pipeline, EMBED, inputs, EmbedOptions(**options))


@pytest.mark.parametrize("layer", [-1, -2])
@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
def test_pooling_of_a_layer_agrees_with_transformers(
    minilm: Pipeline,
    reference: Callable[[str, int], NDArray[np.float32]],
    mode: str,
    layer: int,
) -> None:
    found = embed(minilm, *TEXTS, pooling=mode, layer=layer, normalize=False)
    for text, vector in zip(TEXTS, found, strict=True):
        hidden = reference(text, layer)
        pooled = {"mean": hidden.mean(axis=0), "cls": hidden[0], "max": hidden.max(axis=0)}[mode]
        np.testing.assert_allclose(vector, pooled, atol=PARITY)


def test_vectors_are_normalised_as_the_model_says_unless_asked_otherwise(minilm: Pipeline) -> None:
    plain = embed(minilm, *TEXTS, normalize=False)
    default = embed(minilm, *TEXTS)
    np.testing.assert_allclose(np.linalg.norm(default, axis=1), 1, atol=1e-6)
    expected = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(default, expected, atol=1e-6)
    assert (np.abs(np.linalg.norm(plain, axis=1) - 1) > 0.1).all()


def test_dimensions_are_cut_before_normalising(minilm: Pipeline) -> None:
    whole = embed(minilm, *TEXTS)
    cut = embed(minilm, *TEXTS, dimensions=17)
    assert cut.shape == (4, 17)
    np.testing.assert_allclose(np.linalg.norm(cut, axis=1), 1, atol=1e-6)
    expected = whole[:, :17] / np.linalg.norm(whole[:, :17], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, expected, atol=1e-6)
    plain = embed(minilm, *TEXTS, normalize=False)
    assert (embed(minilm, *TEXTS, normalize=False, dimensions=17) == plain[:, :17]).all()


def test_a_vector_of_zeros_is_not_divided_by_zero() -> None:
    assert shape_vectors(np.zeros((2, 5), np.float32), 3, normalize=True).tolist() == [[0] * 3] * 2


def test_prompts_are_put_before_the_text_as_sentence_transformers_does(
    prompted: Pipeline, minilm_checkpoint: Path
) -> None:
    model = sentence_transformers.SentenceTransformer(str(minilm_checkpoint), device="cpu")
    expected = model.encode(list(TEXTS), prompt=PROMPTS["query"])
    for options in ({}, {"prompt_name": "query"}):
        np.testing.assert_allclose(embed(prompted, *TEXTS, **options), expected, atol=PARITY)
    bare = embed(prompted, *TEXTS, prompt_name="none")
    np.testing.assert_allclose(bare, model.encode(list(TEXTS)), atol=PARITY)
    assert np.abs(bare - expected).max() > 100 * PARITY


@pytest.mark.parametrize("text", ["", "  \t\n"])
def test_an_empty_text_is_empty_whatever_the_prompt(prompted: Pipeline, text: str) -> None:
    with pytest.raises(EmptyText) as error:
        embed(prompted, "a", text)
    assert error.value.param == "inputs[1]"


def test_truncation_keeps_the_end_that_is_asked_for(minilm: Pipeline) -> None:
    room = minilm.manifest.pooling.max_tokens - 2
    text = "first " + "word " * room + "last"
    tokens = minilm.model.tokenizer.word(text)
    cases: dict[Direction, tuple[int, ...]] = {"right": tokens[:room], "left": tokens[-room:]}
    vectors = []
    for direction, kept in cases.items():
        found = run_task(minilm, EMBED, [text], EmbedOptions(Cut(True, direction)))
        assert found.usage.truncated == (True,)
        assert found.usage.tokens == room + 2
        np.testing.assert_allclose(found.value, embed(minilm, list(kept)), atol=1e-5)
        vectors.append(found.value)
    assert np.abs(vectors[0] - vectors[1]).max() > 100 * 1e-5
    with pytest.raises(TooLong):
        embed(minilm, text)


def test_a_text_of_just_the_limit_is_not_truncated(minilm: Pipeline) -> None:
    room = minilm.manifest.pooling.max_tokens - 2
    texts = ["word " * room, "word " * (room + 1)]
    found = run_task(minilm, EMBED, texts, EmbedOptions(Cut(truncate=True)))
    assert found.usage.truncated == (False, True)


def test_ids_give_the_vector_of_their_text(minilm: Pipeline) -> None:
    words = list(minilm.model.tokenizer.word(TEXTS[1]))
    vectors = embed(minilm, TEXTS[1], words, [101, *words, 102])
    np.testing.assert_allclose(vectors[1:], vectors[[0, 0]], atol=1e-5)
    with pytest.raises(WrongType):
        embed(minilm, [5, 30522])
    with pytest.raises(EmptyText):
        embed(minilm, [5], [])


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 385}, "dimensions"),
        ({"pooling": "median"}, "pooling"),
        ({"layer": -3}, "layer"),
        ({"layer": 0}, "layer"),
        ({"prompt_name": "query"}, "prompt_name"),
    ],
)
def test_options_that_the_model_cannot_satisfy_are_refused(
    minilm: Pipeline, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidParameter) as error:
        embed(minilm, "a", **options)
    assert error.value.param == param
