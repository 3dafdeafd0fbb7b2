"""Batches, modes and scores that every measure shares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.errors import TrainingError
from training.evaluate.inference import evaluating, length_batches, score_tokens
from training.evaluate.subject import Subject


def test_batches_hold_every_sequence_once_and_stay_within_the_budget() -> None:
    lengths = np.random.default_rng(4).integers(1, 50, 137)
    batches = length_batches(lengths, batch_tokens=120)
    assert sorted(np.concatenate(batches).tolist()) == list(range(137))
    assert all(len(batch) * lengths[batch].max() <= 120 for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.06 * lengths.sum(), "like lengths go together"


def test_no_sequences_make_no_batches() -> None:
    assert length_batches(np.zeros(0, np.int64)) == []


@pytest.mark.parametrize("training", [True, False])
def test_model_is_as_it_was_after_evaluation(subject: Subject, training: bool) -> None:
    subject.model.train(training)
    with evaluating(subject.model):
        assert not subject.model.bert.encoder.training
        assert torch.is_inference_mode_enabled()
    assert subject.model.training is subject.model.bert.encoder.training is training


def test_evaluation_is_in_float32_within_autocast(subject: Subject) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        rows = torch.randn(3, 12)
        assert subject.model.mlm_logits(rows).dtype == torch.bfloat16
        with evaluating(subject.model):
            assert subject.model.mlm_logits(rows).dtype == torch.float32


def test_scores_are_ranks_and_log_probabilities_of_the_wanted(subject: Subject) -> None:
    generator = torch.Generator().manual_seed(5)
    hidden = torch.randn(700, 12, generator=generator)  # more than are scored at once
    wanted = np.random.default_rng(5).integers(0, subject.model.config.vocab_size, 700)
    with evaluating(subject.model):
        found = score_tokens(subject.model, hidden, wanted)
        logits = subject.model.mlm_logits(hidden)
    order = logits.argsort(dim=1, descending=True).numpy()
    assert all(order[i, rank] == wanted[i] for i, rank in enumerate(found.ranks))
    logs = functional.log_softmax(logits.double(), dim=1).numpy()[np.arange(700), wanted]
    np.testing.assert_allclose(found.log_probabilities, logs, atol=1e-6)


def test_model_that_says_nothing_finds_nothing(subject: Subject) -> None:
    for parameter in subject.model.parameters():
        torch.nn.init.zeros_(parameter)
    with evaluating(subject.model):
        found = score_tokens(subject.model, torch.ones(2, 12), np.array([0, 9]))
    assert found.ranks.tolist() == [subject.model.config.vocab_size - 1] * 2


def test_logits_that_are_no_numbers_are_refused(subject: Subject) -> None:
    torch.nn.init.constant_(subject.model.get_parameter("cls.predictions.bias"), float("nan"))
    with evaluating(subject.model), pytest.raises(TrainingError, match="not finite"):
        score_tokens(subject.model, torch.ones(2, 12), np.array([0, 9]))
