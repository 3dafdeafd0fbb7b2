"""One wrong number in a graph's copy of a weight: found for every tensor, whatever the magnitude.

And a right graph with large numbers, which float32 itself rounds by more than the tolerance.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from export.check import parity
from export.check.layers import Text
from export.check.parity import Difference, _magnitude
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.read.weights import Float32, Weights
from tests import families
from tests.export.built_graph import MemoryWeights, build_graph
from tests.families import FAMILIES, with_every_head

COLUMN = 3  # of each norm's weight, which is far larger than the others in models with such numbers
READERS = (".query.weight", ".key.weight", ".value.weight", "intermediate.weight")

Save = Callable[..., Path]


def with_far_column(checkpoint: Checkpoint, far: float) -> Checkpoint:
    """The checkpoint with one column `far` times as large as the others.

    As in trained models, what reads the rows counts on it, else attention would see nothing else.
    """
    arrays = {name: checkpoint.weights[name].copy() for name in checkpoint.weights}
    for name, array in arrays.items():
        if name.endswith("norm.weight") and name != "mlm.norm.weight":
            array[COLUMN] = far
        if name.endswith(READERS) or name in {"pooler.weight", "mlm.transform.weight"}:
            array[:, COLUMN] /= far
    return dataclasses.replace(checkpoint, weights=MemoryWeights(arrays))


def with_wrong_number(
    checkpoint: Checkpoint, name: str, share: float, column: int = -1
) -> Checkpoint:
    """The checkpoint with one number of a tensor, which the texts read, off by a `share` of it."""
    value = checkpoint.weights[name]
    seen = parity.random_texts(checkpoint.config)[0].ids[3]
    row = len(value) // 2
    if name.startswith("embeddings."):  # tables have rows that no text reads
        row = int(seen) if name == "embeddings.word" else min(5, len(value) - 1)
    wrong: Float32 = value.copy().reshape(len(value), -1)
    wrong[row, column] += np.float32(share * max(value.std(), 0.01))
    arrays = dict(checkpoint.weights) | {name: wrong.reshape(value.shape)}
    return dataclasses.replace(checkpoint, weights=MemoryWeights(arrays))


# The width; how far the far column is; by which share of its standard deviation a tensor is wrong.
@pytest.mark.parametrize(("hidden", "far", "share"), [(12, 1, 0.1), (64, 18, 1)])
def test_wrong_number_in_any_tensor_is_found(
    drawn: Save, tmp_path: Path, hidden: int, far: float, share: float
) -> None:
    folder = drawn("BertForPreTraining", hidden_size=hidden)
    checkpoint = with_far_column(with_every_head(read_checkpoint(folder)), far)
    missed = []
    for name in checkpoint.weights:
        wrong = with_wrong_number(checkpoint, name, share)
        graph = build_graph(wrong, tmp_path / name, layers=(-2,))
        found = parity.compare(graph.session, checkpoint.weights, graph.spec)
        if all(difference.explained("fp32") for difference in found.values()):
            missed.append(name)
    # softmax(Q (K + b)ᵀ) = softmax(Q Kᵀ): the bias of keys changes no answer.
    assert missed == [name for name in checkpoint.weights if name.endswith("attention.key.bias")]
    right = build_graph(checkpoint, tmp_path / "right", layers=(-2,))
    found = parity.compare(right.session, checkpoint.weights, right.spec)
    assert all(difference.explained("fp32") for difference in found.values())
    rows = right.run(parity.random_texts(checkpoint.config))["token_vectors"]
    assert (np.abs(rows).max() > 100) == (far > 1)


# Where a key's bias is turned by its position, or meets vectors of distances, it does count.
KEY_BIAS_COUNTS = {
    "Roberta relative_key_query",
    "modernbert mean",
    "deberta-v3",
    "deberta-v3 segments",
}
WRONG = 3  # standard deviations of a tensor, of a small encoder whose rows are hardly apart


@pytest.mark.parametrize("name", FAMILIES)
def test_wrong_number_in_any_tensor_of_any_family_is_found(tmp_path: Path, name: str) -> None:
    made = families.make(name, FAMILIES[name].classes[0], tmp_path / "checkpoint")
    checkpoint = with_every_head(made.checkpoint)
    graph = build_graph(checkpoint, tmp_path / "graph", layers=(-2,))

    def found(weights: Weights) -> bool:
        differences = parity.compare(graph.session, weights, graph.spec).values()
        return not all(difference.explained("fp32") for difference in differences)

    assert not found(checkpoint.weights)
    missed = [
        each
        for each in checkpoint.weights
        # One of two: a number may meet a unit that ReLU shuts for all texts, and changes nothing.
        if not any(
            found(with_wrong_number(checkpoint, each, WRONG, column).weights) for column in (-1, 0)
        )
    ]
    counts = name in KEY_BIAS_COUNTS
    keys = [each for each in checkpoint.weights if each.endswith("attention.key.bias")]
    assert missed == ([] if counts else keys)


def test_right_graph_with_large_numbers_is_as_far_as_pytorch_is(save: Save, tmp_path: Path) -> None:
    folder = save("BertModel", hidden_size=96, num_hidden_layers=6, intermediate_size=192)
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith("LayerNorm.weight"):
            tensor[COLUMN] *= 300
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    checkpoint = read_checkpoint(folder)
    graph = build_graph(checkpoint, tmp_path / "graph")
    found = parity.compare(graph.session, checkpoint.weights, graph.spec)["token_vectors"]
    assert found.largest > parity.TOLERANCE
    assert found.scaled < parity.TOLERANCE / 5
    text = parity.random_texts(checkpoint.config)[3]
    single, double = (rows_of(folder, text, dtype) for dtype in (torch.float32, torch.float64))
    assert np.abs(single - double).max() > parity.TOLERANCE


def rows_of(folder: Path, text: Text, dtype: torch.dtype) -> NDArray[Any]:
    """The rows that transformers computes in one type of numbers: (n, H)."""
    model = transformers.BertModel.from_pretrained(folder, dtype=dtype).eval()
    ids, types = (torch.from_numpy(each)[None] for each in (text.ids, text.type_ids))
    with torch.no_grad():
        rows = model(input_ids=ids, token_type_ids=types).last_hidden_state[0]
    return np.asarray(rows.numpy())


def test_tolerance_is_in_proportion_by_column_and_by_output() -> None:
    outputs = {
        "token_vectors": np.array([[1.0, -20.0], [2.0, 5.0]]),
        "pooled": np.array([[-4.0, 1.0]]),
        "mlm_log_probabilities": np.array([[-1.0, -30.0]]),
        "target_log_probabilities": np.array([-1.0]),
    }
    found = {name: _magnitude(name, outputs).tolist() for name in outputs}
    assert found == {
        "token_vectors": [2, 20],
        "pooled": [4, 20],
        "mlm_log_probabilities": 30,
        "target_log_probabilities": 30,
    }


@pytest.mark.parametrize("scaled", [np.inf, 1e-4 + 1e-9])
def test_what_rounding_does_not_explain(scaled: float) -> None:
    assert not Difference(largest=0.0, scaled=scaled).explained("fp32")
    assert Difference(largest=1.0, scaled=1e-4).explained("fp32")
