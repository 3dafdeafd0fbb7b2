"""Training's rounded products against the export's, on a small BERT with columns far out."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.check import parity
from export.check.layers import Text
from export.graph.quantize import Int8Linear as ExportedLinear
from export.graph.quantize import quantise_rows
from export.graph.smoothing import SmoothedWeights, smoothed
from export.read.checkpoint import Checkpoint, read_checkpoint
from tests.export.built_graph import build_graph
from tests.training.small_corpus import write_tokenizer
from training import int8
from training.checkpoint import save_checkpoint
from training.config import BertConfig
from training.int8 import (
    Int8Linear,
    factor_of,
    factors_of,
    measure_factors,
    round_gelu_rows,
    round_products,
    round_rows,
)
from training.model import BertForPreTraining

CONFIG = BertConfig(
    vocab_size=64,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    max_position_embeddings=40,
    initializer_range=0.15,
).with_dropout(0.0)
FAR, COLUMNS = 8.0, (3, 7)  # norms of these columns are so much larger, as in trained models
# Of how far rounding moves a row: what is left between two ways to compute the same.
SHARE = 1e-3


@pytest.fixture
def model() -> BertForPreTraining:
    torch.manual_seed(3)
    made = BertForPreTraining(CONFIG).eval()
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.2)
        if name.endswith("LayerNorm.weight") and name.startswith("bert."):
            parameter.data[list(COLUMNS)] *= FAR
    return made


@pytest.fixture
def exported(model: BertForPreTraining, tmp_path: Path) -> Checkpoint:
    """The model's checkpoint as the export reads it."""
    write_tokenizer(tmp_path)
    save_checkpoint(tmp_path / "saved", model, tmp_path)
    return read_checkpoint(tmp_path / "saved")


def smoothed_weights(checkpoint: Checkpoint) -> SmoothedWeights:
    return smoothed(checkpoint.weights, checkpoint.config)


def their_name(name: str) -> str:
    """encoder.layer.1.attention.self.key -> layers.1.attention.factor, that of the export."""
    _, _, number, part, *_ = name.split(".")
    return f"layers.{number}.{part}.factor"


@torch.no_grad()
def run(model: BertForPreTraining, text: Text) -> tuple[torch.Tensor, torch.Tensor]:
    """The last rows of a text, and the log-probabilities of the vocabulary at them."""
    ids, types = torch.from_numpy(text.ids)[None], torch.from_numpy(text.type_ids)[None]
    rows = model.bert(ids, types, torch.tensor([len(text.ids)]))
    return rows, model.mlm_logits(rows).log_softmax(-1)


def test_it_computes_what_the_int8_graph_does(
    model: BertForPreTraining, exported: Checkpoint, tmp_path: Path
) -> None:
    weights = smoothed_weights(exported)
    near = dataclasses.replace(exported, weights=weights)
    graph = build_graph(near, tmp_path / "graph", linear=ExportedLinear)
    texts = parity.random_texts(exported.config)
    plain = [run(model, text) for text in texts]
    factors = {name: torch.from_numpy(weights[their_name(name)]) for name in measure_factors(model)}
    round_products(model, factors)
    rounded = [run(model, text) for text in texts]
    said = [graph.run([text]) for text in texts]
    for place, name in enumerate(("token_vectors", "mlm_log_probabilities")):
        theirs = torch.cat([torch.from_numpy(outputs[name]) for outputs in said])
        moved = (theirs - torch.cat([both[place] for both in plain])).norm(dim=1)
        left = (theirs - torch.cat([both[place] for both in rounded])).norm(dim=1)
        # A sum in another order may round a level otherwise, so a few rows are further.
        assert float((left / moved).median()) < SHARE


def test_factors_are_the_exports(model: BertForPreTraining, exported: Checkpoint) -> None:
    factors, theirs = measure_factors(model), smoothed_weights(exported)
    assert len(factors) == 4 * CONFIG.num_hidden_layers
    same = [np.mean(factor.numpy() == theirs[their_name(name)]) for name, factor in factors.items()]
    assert np.mean(same) > 0.98
    assert all(set(COLUMNS) == set(np.argsort(factor.numpy())[:2]) for factor in factors.values())


def test_levels_are_the_exports() -> None:
    matrix = np.random.default_rng(4).normal(size=(30, 50)).astype(np.float32)
    matrix[3] = 0
    levels = quantise_rows(matrix)
    expected = levels.values * levels.scale[:, None]
    assert np.abs(round_rows(torch.from_numpy(matrix)).numpy() - expected).max() < 1e-4
    assert not round_rows(torch.zeros(2, 5)).any()


def test_rows_after_gelu_keep_what_is_below_zero() -> None:
    rows = nn.functional.gelu(torch.linspace(-4, 6, 3000).reshape(10, 300))
    rounded = round_gelu_rows(rows)
    # Half a step of the row: its top has 231 levels, or what -0.1701 has in 24.
    step = rows.amax(1).clamp_min(0.1701 / 24 * 231) / 231
    assert bool(((rounded - rows).abs().amax(1) <= step / 2 + 1e-6).all())
    assert float(rounded.min()) < -0.16


def test_gradients_pass_as_if_nothing_was_rounded() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(8, 5)
    layer = Int8Linear(plain, factor_of(torch.randn(20, 8)), after_gelu=False)
    rows = torch.randn(6, 8, requires_grad=True)
    upstream = torch.randn(6, 5)
    layer(rows).backward(upstream)
    assert rows.grad is not None
    assert plain.weight.grad is not None
    torch.testing.assert_close(rows.grad, upstream @ plain.weight, atol=0.05, rtol=0.05)
    torch.testing.assert_close(plain.weight.grad, upstream.T @ rows, atol=0.05, rtol=0.05)


def test_parameters_and_their_names_stay(model: BertForPreTraining) -> None:
    before = dict(model.named_parameters())
    assert factors_of(model) == {}
    factors = measure_factors(model)
    round_products(model, factors)
    after = dict(model.named_parameters())
    assert list(model.state_dict()) == list(before)
    assert all(after[name] is parameter for name, parameter in before.items())
    kept = factors_of(model)
    assert kept.keys() == factors.keys()
    assert all(torch.equal(kept[name], factors[name]) for name in factors)


def test_training_through_the_rounding_loses_less_by_it(
    model: BertForPreTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few levels that a model this small shows what 127 cost a trained one.
    for levels, count in (("LEVELS", 3), ("LEVELS_ABOVE", 6), ("LEVELS_BELOW", 1)):
        monkeypatch.setattr(int8, levels, count)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, CONFIG.vocab_size, (40, 12), generator=generator)
    types, lengths = torch.zeros_like(ids), torch.full((40,), 12)
    wanted = (ids * 5 + 1).flatten() % CONFIG.vocab_size

    def loss_of(trained: BertForPreTraining) -> torch.Tensor:
        logits = trained.mlm_logits(trained.bert(ids, types, lengths))
        return nn.functional.cross_entropy(logits, wanted)

    def train(trained: BertForPreTraining) -> None:
        optimiser = torch.optim.AdamW(trained.parameters(), lr=2e-3)
        for _ in range(60):
            loss_of(trained).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()

    train(model)
    rounded_late = copy.deepcopy(model)
    round_products(model, measure_factors(model))
    train(model)
    train(rounded_late)
    round_products(rounded_late, measure_factors(rounded_late))
    assert loss_of(model).item() < 0.8 * loss_of(rounded_late).item()
