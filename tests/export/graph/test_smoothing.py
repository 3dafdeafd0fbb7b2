"""Columns that go far out, brought near: the same function, less of it lost in int8."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.check import parity, reference
from export.check.quantization_error import measure_quantization_error
from export.graph.quantize import Int8Linear, quantise_rows
from export.graph.smoothing import (
    EXPONENT,
    NEAREST,
    SmoothedWeights,
    factor_name,
    factor_of,
    measure_factors,
    smoothed,
)
from export.read.checkpoint import Checkpoint, read_checkpoint
from tests.export.built_graph import MemoryWeights, build_graph

SAME = 2e-6  # absolute, of rows whose columns were multiplied and divided again
COSINE = 0.99  # least, of vectors of the tiny models in int8 and float32
FAR = 12  # times as far out as the others, as in trained models
COLUMNS = (3, 7)
READ_BY_HEADS = ("layers.2.output.norm.weight", "mlm.norm.weight")

Save = Callable[..., Path]


def lopsided(checkpoint: Checkpoint) -> Checkpoint:
    """The same where two columns of each norm that layers read are far out, and read by less."""
    arrays = {name: checkpoint.weights[name].copy() for name in checkpoint.weights}
    for name, array in arrays.items():
        if name.endswith("norm.weight") and name not in READ_BY_HEADS:
            array[list(COLUMNS)] = FAR
        elif factor_name(name):
            array[:, list(COLUMNS)] /= FAR
    return dataclasses.replace(checkpoint, weights=MemoryWeights(arrays))


def drift(checkpoint: Checkpoint, near: Checkpoint, folder: Path) -> dict[str, float]:
    """How far the int8 graph of `near` is from the reference of `checkpoint`."""
    graph = build_graph(near, folder, linear=Int8Linear)
    return measure_quantization_error(
        graph.session, checkpoint.weights, graph.spec, checkpoint.tokenizer_json
    )


def near(checkpoint: Checkpoint) -> Checkpoint:
    return dataclasses.replace(checkpoint, weights=smoothed(checkpoint.weights, checkpoint.config))


@pytest.fixture
def checkpoint(bert: Path) -> Checkpoint:
    """The tiny BertForPreTraining."""
    return read_checkpoint(bert)


def test_smoothed_weights_compute_the_same_function(checkpoint: Checkpoint) -> None:
    weights = smoothed(checkpoint.weights, checkpoint.config)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, 12), dtype=np.float32)
    factored = [name for name in checkpoint.weights if factor_name(name)]
    assert len(factored) == 4 * 3, "query, key, value and intermediate of three layers"
    for name in factored:
        found = x * weights[factor_name(name)] @ weights[name].T
        np.testing.assert_allclose(found, x @ checkpoint.weights[name].T, atol=SAME * 10)


def test_other_weights_are_the_checkpoints(checkpoint: Checkpoint) -> None:
    weights = smoothed(checkpoint.weights, checkpoint.config)
    factors = {
        f"layers.{i}.{part}.factor" for i in range(3) for part in ("attention", "intermediate")
    }
    assert set(weights) == set(checkpoint.weights) | factors
    assert len(weights) == len(list(weights))
    for name in checkpoint.weights:
        assert weights[name].shape == checkpoint.weights[name].shape
        if not factor_name(name):
            assert weights[name].tobytes() == checkpoint.weights[name].tobytes(), name
    assert {weights[name].shape for name in factors} == {(12,)}
    assert "layers.0.output.factor" not in weights


def test_columns_that_go_far_out_get_a_small_factor(checkpoint: Checkpoint) -> None:
    for name, factor in measure_factors(lopsided(checkpoint).weights, checkpoint.config).items():
        others = np.delete(factor, COLUMNS)
        assert factor[list(COLUMNS)].max() < others.min(), name


def test_factors_are_one_or_one_and_a_half_times_a_power_of_two(checkpoint: Checkpoint) -> None:
    for factor in measure_factors(checkpoint.weights, checkpoint.config).values():
        assert factor.dtype == np.float32
        assert set(np.frexp(factor)[0].tolist()) <= {0.5, 0.75}


def test_factors_are_the_same_every_time(checkpoint: Checkpoint) -> None:
    first, second = (measure_factors(checkpoint.weights, checkpoint.config) for _ in range(2))
    assert {name: factor.tobytes() for name, factor in first.items()} == {
        name: factor.tobytes() for name, factor in second.items()
    }


def test_weights_that_came_back_from_int8_give_the_same_factors(checkpoint: Checkpoint) -> None:
    factors = measure_factors(checkpoint.weights, checkpoint.config)
    weights = SmoothedWeights(checkpoint.weights, factors)
    back = {name: checkpoint.weights[name] for name in checkpoint.weights}
    for name, weight in back.items():
        if (name.startswith("layers.") and weight.ndim > 1) or name == "embeddings.word":
            quantised = quantise_rows(weights[name])
            back[name] = quantised.values * quantised.scale[:, None]
            if factor_name(name):
                back[name] = back[name] * factors[factor_name(name)]
    again = measure_factors(MemoryWeights(back), checkpoint.config)
    for name, factor in factors.items():
        np.testing.assert_array_equal(again[name], factor)
        assert factor_name(name) == ""


def test_each_weight_is_read_once(checkpoint: Checkpoint) -> None:
    weights = MemoryWeights({name: checkpoint.weights[name] for name in checkpoint.weights})
    measure_factors(weights, checkpoint.config)
    assert set(weights.reads.values()) <= {0, 1}


def test_column_of_zeros_has_a_factor_with_a_bound() -> None:
    factor = factor_of(np.array([[0, 1, 1], [0, -1, 0.5]], np.float32))
    assert 1 < factor[0] <= NEAREST**EXPONENT * 1.25
    nothing = factor_of(np.zeros((4, 3), np.float32))
    assert np.isfinite(nothing).all()


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_int8_of_lopsided_norms_loses_less_when_smoothed(
    save: Save, tmp_path: Path, activation: str
) -> None:
    sizes = {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 76}
    folder = save("BertForPreTraining", hidden_act=activation, **sizes)
    checkpoint = lopsided(read_checkpoint(folder))
    before = drift(checkpoint, checkpoint, tmp_path / "before")
    after = drift(checkpoint, near(checkpoint), tmp_path / "after")
    assert 1 - after["embedding_cosine_mean"] < 0.5 * (1 - before["embedding_cosine_mean"])
    name = "mlm_log_probability_mean_abs"
    assert after[name] < 0.7 * before[name]


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("layers", [1, 3])
def test_vectors_in_int8_are_near_the_references(
    save: Save, tmp_path: Path, activation: str, layers: int
) -> None:
    folder = save("BertForPreTraining", hidden_act=activation, num_hidden_layers=layers)
    checkpoint = read_checkpoint(folder)
    weights, config = checkpoint.weights, checkpoint.config
    taps = (-2,) if layers > 1 else ()  # those rows are handed out as they were, not near
    graph = build_graph(near(checkpoint), tmp_path / "graph", linear=Int8Linear, layers=taps)
    texts = parity.random_texts(config)
    everything = [range(len(text.ids)) for text in texts]
    encoded = reference.encode(weights, config, texts)
    wanted = parity.expected(weights, graph.spec, encoded, everything)["pooled"]
    found = graph.run(texts)["pooled"]
    assert len(found) == len(wanted) == len(texts) * (1 + len(taps))
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    assert ((found * wanted).sum(axis=1) / lengths).min() > COSINE
