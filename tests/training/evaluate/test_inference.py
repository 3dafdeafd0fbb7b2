"""Which checkpoints can be evaluated; batches, modes and scores that every measure shares."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from tests.training.evaluate.conftest import save_tiny
from training.errors import TrainingError
from training.evaluate.inference import (
    Subject,
    check_same_vocabulary,
    evaluating,
    length_batches,
    load_subject,
    score_tokens,
)


@pytest.mark.parametrize(
    ("architecture", "heads"),
    [
        ("BertForPreTraining", {"mlm", "nsp"}),
        ("BertForMaskedLM", {"mlm"}),
        ("BertForNextSentencePrediction", {"nsp"}),
        ("BertModel", set()),
        ("BertForSequenceClassification", set()),
    ],
)
def test_checkpoint_is_evaluated_for_the_heads_it_has(
    tmp_path: Path, architecture: str, heads: set[str]
) -> None:
    assert load_subject(save_tiny(tmp_path / "checkpoint", architecture)).heads == heads


def test_head_with_a_part_missing_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["cls.seq_relationship.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=r"lacks nsp\.bias"):
        load_subject(folder)


def test_weights_have_one_digest_wherever_they_lie(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "copy")
    other = save_tiny(tmp_path / "other", seed=4)
    digests = [load_subject(folder).weights_sha256 for folder in (tiny, tmp_path / "copy", other)]
    assert digests[0] == digests[1] != digests[2]


def test_tokenizer_neither_pads_nor_truncates(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "limited"
    shutil.copytree(tiny, folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    document["truncation"] = {
        "direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(document))
    encodings = load_subject(folder).tokenizer.encode_batch(["cat " * 9, "cat"])
    assert [len(encoding.ids) for encoding in encodings] == [11, 3]


def test_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(
    tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "short"
    shutil.copytree(tiny, folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    document["model"]["vocab"] |= {f"more{i}": 100 + i for i in range(3)}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(TrainingError, match="has 103 ids and the model only 32"):
        load_subject(folder)


def test_corpus_of_another_vocabulary_is_refused(
    tiny: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    subject = load_subject(tiny)
    check_same_vocabulary(subject, corpus_folder)
    text = (corpus_folder / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(text.replace('"girl"', '"lad"'))
    with pytest.raises(TrainingError, match="another vocabulary"):
        check_same_vocabulary(subject, tmp_path)


def test_weights_are_float32_and_those_of_the_file(tiny: Path) -> None:
    model = load_subject(tiny).model
    stored = load_file(tiny / "model.safetensors")
    name = "bert.encoder.layer.1.output.dense.weight"
    assert torch.equal(model.state_dict()[name], stored[name])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


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
