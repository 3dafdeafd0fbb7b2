"""The NumPy BERT against transformers in torch, on tiny random models and on real weights."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from export.check import layers, reference
from export.check.layers import Text
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.read.config import ACTIVATIONS
from tests.export.built_graph import MemoryWeights, difference
from tests.export.torch_bert import ARCHITECTURES, LM_HEAD, TorchBert, real_texts, tiny_texts

TINY_HIDDEN = 2e-5  # absolute, hidden states of the tiny random models
TINY_LOGITS = 1e-4  # absolute, their log-probabilities and logits, which reach -20
HIDDEN = 5e-5  # absolute, hidden states of real weights
LOGITS = 1e-4  # absolute, log-probabilities and logits of real weights
ERF = 6e-7  # the approximation's 1.5e-7 and the rounding of a dozen float32 operations
ALONE = 1e-5  # one text alone against the same among others: only the order of sums differs

Save = Callable[..., Path]


def assert_outputs(
    checkpoint: Checkpoint, torch_bert: TorchBert, texts: list[Text], hidden: float, logits: float
) -> None:
    """Hidden states and heads, within their tolerances."""
    weights, config = checkpoint.weights, checkpoint.config
    encoded = reference.encode(weights, config, texts)
    assert len(encoded) == len(texts)
    for text, found in zip(texts, encoded, strict=True):
        theirs = torch_bert(text)
        assert difference(found.last, theirs.hidden[-1]) <= hidden
        assert difference(found.second_to_last, theirs.hidden[-2]) <= hidden
        for output, wanted in theirs.heads.items():
            if output == "mlm_log_probabilities":
                ours = reference.masked_language_model(weights, config, found.last)
            elif output in {"nsp_logits", "sequence_logits"}:
                pooled = reference.pooler(weights, config, found.last)
                ours = layers.linear(weights, output.removesuffix("_logits"), pooled)
            else:
                ours = layers.linear(weights, output.removesuffix("_logits"), found.last)
            assert difference(ours, wanted) <= logits, output


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, LM_HEAD])
def test_tiny_models_compute_what_transformers_does(save: Save, architecture: str) -> None:
    folder = save(architecture, num_labels=2 if "Question" in architecture else 5)
    checkpoint, torch_bert = read_checkpoint(folder), TorchBert(folder, architecture)
    assert_outputs(checkpoint, torch_bert, tiny_texts(), TINY_HIDDEN, TINY_LOGITS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_computes_what_transformers_does(save: Save, activation: str) -> None:
    folder = save("BertForPreTraining", hidden_act=activation)
    checkpoint, torch_bert = read_checkpoint(folder), TorchBert(folder, "BertForPreTraining")
    assert_outputs(checkpoint, torch_bert, tiny_texts(), TINY_HIDDEN, TINY_LOGITS)


def test_decoder_of_its_own_is_used(save: Save) -> None:
    folder = save("BertForMaskedLM", tie_word_embeddings=False)
    checkpoint = read_checkpoint(folder)
    assert "mlm.decoder.weight" in checkpoint.weights
    torch_bert = TorchBert(folder, "BertForMaskedLM")
    assert_outputs(checkpoint, torch_bert, tiny_texts(), TINY_HIDDEN, TINY_LOGITS)


def test_large_epsilon_is_obeyed(save: Save) -> None:
    folder = save("BertModel", layer_norm_eps=0.3)
    checkpoint, torch_bert = read_checkpoint(folder), TorchBert(folder, "BertModel")
    assert_outputs(checkpoint, torch_bert, tiny_texts(), TINY_HIDDEN, TINY_LOGITS)


def test_one_layer_has_the_embeddings_before_it(save: Save) -> None:
    folder = save("BertModel", num_hidden_layers=1)
    checkpoint, torch_bert = read_checkpoint(folder), TorchBert(folder, "BertModel")
    assert_outputs(checkpoint, torch_bert, tiny_texts(), TINY_HIDDEN, TINY_LOGITS)


def test_minilm_hidden_states_are_those_of_transformers(minilm_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(minilm_checkpoint)
    torch_bert = TorchBert(minilm_checkpoint, "BertModel")
    assert_outputs(checkpoint, torch_bert, real_texts(checkpoint), HIDDEN, LOGITS)


def test_standin_outputs_are_those_of_transformers(standin_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(standin_checkpoint)
    torch_bert = TorchBert(standin_checkpoint, "BertForPreTraining")
    texts = real_texts(checkpoint)
    assert {1} < {len(set(text.type_ids.tolist())) for text in texts}, "pairs among the texts"
    assert_outputs(checkpoint, torch_bert, texts, HIDDEN, LOGITS)


def test_text_is_the_same_alone_and_among_others(bert: Path) -> None:
    checkpoint, texts = read_checkpoint(bert), tiny_texts()
    together = reference.encode(checkpoint.weights, checkpoint.config, texts)
    for text, found in zip(texts, together, strict=True):
        (alone,) = reference.encode(checkpoint.weights, checkpoint.config, [text])
        assert difference(alone.last, found.last) <= ALONE


def test_encoder_weights_are_read_once_for_all_texts(bert: Path) -> None:
    checkpoint = read_checkpoint(bert)
    weights = MemoryWeights({name: checkpoint.weights[name] for name in checkpoint.weights})
    reference.encode(weights, checkpoint.config, tiny_texts())
    for name, reads in weights.reads.items():
        assert reads == name.startswith(("embeddings.", "layers.")), name


def test_result_is_float32(bert: Path) -> None:
    checkpoint = read_checkpoint(bert)
    (found,) = reference.encode(checkpoint.weights, checkpoint.config, tiny_texts()[:1])
    scores = reference.masked_language_model(checkpoint.weights, checkpoint.config, found.last)
    assert {found.last.dtype, found.second_to_last.dtype, scores.dtype} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS.values())))
def test_activation_is_torchs(name: str) -> None:
    x = np.linspace(-9, 9, 4001, dtype=np.float32)
    values = torch.from_numpy(x)
    tanh = torch.nn.functional.gelu(values, approximate="tanh")
    wanted = {
        "gelu": torch.nn.functional.gelu(values),
        "gelu_new": tanh,
        "gelu_pytorch_tanh": tanh,
        "relu": torch.relu(values),
        "silu": torch.nn.functional.silu(values),
    }[name]
    assert difference(layers.activation(name, x), wanted.numpy()) <= 2e-6


def test_exact_gelu_is_not_its_approximation() -> None:
    x = np.linspace(-4, 4, 101, dtype=np.float32)
    exact, tanh = (layers.activation(name, x) for name in ("gelu", "gelu_new"))
    assert difference(exact, tanh) > 1e-4


def test_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="found 'swish'"):
        layers.activation("swish", np.zeros(2, np.float32))


def test_erf_stays_within_its_bound() -> None:
    x = np.linspace(-6, 6, 5001, dtype=np.float32)
    wanted = np.array([math.erf(value) for value in x])
    found = layers.erf(x)
    assert difference(found, wanted) <= ERF
    np.testing.assert_array_equal(layers.erf(-x), -found)


def test_log_softmax_survives_large_scores() -> None:
    scores = np.array([[1e4, 1e4 - 1, -1e4], [0, 0, 0]], np.float32)
    found = layers.log_softmax(scores)
    wanted = torch.log_softmax(torch.from_numpy(scores), dim=-1).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1, rtol=1e-6)
