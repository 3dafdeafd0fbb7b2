"""Sentence similarity: the file, the vectors against sentence-transformers, the correlation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from scipy import stats
from sentence_transformers import SentenceTransformer

from training.errors import TrainingError
from training.evaluate.inference import Subject, load_subject
from training.evaluate.similarity import (
    RatedPairs,
    measure_similarity,
    read_rated_pairs,
    sentence_vectors,
)

TEXTS = ["The cat sat.", "A dog ran and ran, and then the boy saw the red tree.", "Paris", ""]


def test_vectors_are_means_over_all_tokens_of_each_text_alone(
    subject: Subject, reference: transformers.BertForPreTraining
) -> None:
    found = sentence_vectors(subject.model.bert, subject.tokenizer, TEXTS)
    for vector, text in zip(found, TEXTS, strict=True):
        ids = torch.tensor([subject.tokenizer.encode(text).ids])
        with torch.no_grad():
            hidden = reference.bert(input_ids=ids).last_hidden_state[0]
        np.testing.assert_allclose(vector, hidden.mean(dim=0).numpy(), atol=1e-5)


def test_overlong_text_loses_its_end_but_not_its_last_token(
    subject: Subject, reference: transformers.BertForPreTraining
) -> None:
    (found,) = sentence_vectors(subject.model.bert, subject.tokenizer, ["the cat " * 40])
    ids = subject.tokenizer.encode("the cat " * 40).ids
    with torch.no_grad():
        kept = torch.tensor([[*ids[:36], subject.vocabulary.sep]])
        hidden = reference.bert(input_ids=kept).last_hidden_state[0]
    np.testing.assert_allclose(found, hidden.mean(dim=0).numpy(), atol=1e-5)


def test_figure_is_scipys_correlation_of_cosines_and_ratings(subject: Subject) -> None:
    rng = np.random.default_rng(8)
    words = ["the", "cat", "dog", "ran", "tree", "blue"]
    texts = [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(80)]
    ratings = rng.integers(0, 6, 40).astype(np.float64)
    pairs = RatedPairs(tuple(texts[:40]), tuple(texts[40:]), ratings)
    (figure,) = measure_similarity(subject.model.bert, subject.tokenizer, pairs)
    vectors = torch.from_numpy(sentence_vectors(subject.model.bert, subject.tokenizer, texts))
    cosines = torch.cosine_similarity(vectors[:40], vectors[40:]).double().numpy()
    wanted = stats.spearmanr(np.round(cosines, 6), ratings).statistic
    assert figure.interval.value == pytest.approx(wanted, abs=5e-3)
    assert figure.count == 40


def test_vectors_of_a_real_encoder_point_where_sentence_transformers_point(
    minilm_checkpoint: Path,
) -> None:
    texts = ["A man is playing a guitar.", "Two dogs run through a field of high grass.", "Yes!"]
    real = load_subject(minilm_checkpoint)
    assert not real.heads
    found = sentence_vectors(real.model.bert, real.tokenizer, texts)
    wanted = SentenceTransformer(str(minilm_checkpoint), device="cpu").encode(texts)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose((unit * wanted).sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("header", ["", "sentence1,sentence2,score\n"])
def test_file_is_read_with_and_without_a_header(tmp_path: Path, header: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(header + 'A cat.,A dog.,2.5\n"One, two.","Said ""three"".",0\n')
    pairs = read_rated_pairs(path)
    assert pairs.first == ("A cat.", "One, two.")
    assert pairs.second == ("A dog.", 'Said "three".')
    assert pairs.ratings.tolist() == [2.5, 0.0]


@pytest.mark.parametrize("line", ["secret,words", "secret,words,many", "secret,words,nan"])
def test_bad_line_is_named_by_number_and_never_shown(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(f"A cat.,A dog.,2.5\nA cat.,A dog.,1\n{line}\n")
    with pytest.raises(TrainingError, match="line 3: expected two sentences") as caught:
        read_rated_pairs(path)
    assert "secret" not in str(caught.value)


def test_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none\.csv cannot be read"):
        read_rated_pairs(tmp_path / "none.csv")
