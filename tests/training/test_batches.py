"""Batches by number."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.small_corpus import corpus_of, random_corpus
from training.batches import (
    PairBatches,
    SentenceBatches,
    group_by_length,
    masked_documents,
)
from training.corpus import Corpus
from training.errors import TrainingError
from training.masking import NO_PAIR, PairBatch, mask_pairs, mask_tokens, pad_pairs
from training.pairs import plan_pairs

CLS, SEP, PAD = 2, 3, 0


def source(corpus: Corpus | None = None, **options: Any) -> PairBatches:
    fixed: dict[str, Any] = {
        "sequence_tokens": 64,
        "batch_tokens": 1024,
        "seed": 7,
    }
    return PairBatches(corpus or random_corpus(), **(fixed | options))


def restored(batch: PairBatch) -> NDArray[np.int64]:
    """The ids before they were masked: int64 (batch, seq)."""
    ids = batch.ids.copy()
    ids.reshape(-1)[batch.masked_rows] = batch.masked_ids
    return ids


def sentences_of(corpus: Corpus) -> set[tuple[int, ...]]:
    return {tuple(part.tolist()) for part in np.split(corpus.tokens, corpus.sentences[1:-1])}


def same(first: Any, second: Any) -> bool:
    fields = [field.name for field in dataclasses.fields(first)]
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in fields)


def test_a_batch_depends_on_its_number_alone() -> None:
    walked, jumped = source(), source()
    last = walked.per_epoch + 3
    batches = [walked.batch(index) for index in range(last + 1)]
    for index in (last, 2, last - 4, 0):  # a resumed run starts anywhere
        assert same(jumped.batch(index), batches[index])
    assert not same(batches[0], batches[1])
    assert not same(source(seed=8).batch(0), batches[0])


def test_an_epoch_holds_every_pair_once() -> None:
    corpus = random_corpus()
    batches = source(corpus)
    plan = plan_pairs(corpus, sequence_tokens=64, seed=7, epoch=0)
    expected = [
        (CLS, *corpus.tokens[a:b].tolist(), SEP, *corpus.tokens[c:d].tolist(), SEP, 1 - is_next)
        for a, b, c, d, is_next in zip(
            plan.first_start,
            plan.first_end,
            plan.second_start,
            plan.second_end,
            plan.is_next.astype(int),
            strict=True,
        )
    ]
    found = []
    for index in range(batches.per_epoch):
        batch = batches.batch(index)
        for row, length, label in zip(restored(batch), batch.lengths, batch.not_next, strict=True):
            assert (row[length:] == PAD).all()
            found.append((*row[:length].tolist(), int(label)))
    assert sorted(found) == sorted(expected)
    assert found != expected


def test_sentences_alone_have_one_sep_and_no_label() -> None:
    corpus = random_corpus()
    batches, sentences = source(corpus, alone=0.5), sentences_of(corpus)
    alone = pairs = 0
    for index in range(batches.per_epoch):
        batch = batches.batch(index)
        rows = zip(restored(batch), batch.token_types, batch.lengths, batch.not_next, strict=True)
        for row, types, length, label in rows:
            assert (row[length:] == PAD).all()
            assert row[length - 1] == SEP
            if label == NO_PAIR:
                alone += 1
                assert (row == SEP).sum() == 1
                assert not types.any()
                assert tuple(row[1 : length - 1].tolist()) in sentences
            else:
                pairs += 1
                assert (row == SEP).sum() == 2
    assert min(alone, pairs) > 0.4 * (alone + pairs)


def test_the_asked_share_of_pairs_is_unmasked() -> None:
    usual, batches = source(alone=0.3), source(alone=0.3, unmasked=0.5)
    whole = pairs = 0
    for index in range(batches.per_epoch):
        batch = batches.batch(index)
        assert (restored(batch) == restored(usual.batch(index))).all()  # the same text
        masks = np.bincount(batch.masked_rows // batch.ids.shape[1], minlength=len(batch.ids))
        is_pair = batch.not_next != NO_PAIR
        assert (masks[~is_pair] > 0).all()
        pairs += is_pair.sum()
        whole += (masks[is_pair] == 0).sum()
    assert whole / pairs == pytest.approx(0.5, abs=4 * 0.5 / pairs**0.5)


def test_where_all_are_masked_no_other_random_number_is_drawn() -> None:
    corpus = random_corpus()
    rows = pad_pairs(corpus, plan_pairs(corpus, seed=7, epoch=0), np.arange(8))
    labels = np.zeros(8, np.int64)
    batch = mask_pairs(rows, labels, corpus.vocabulary, np.random.default_rng(5))
    masked = mask_tokens(rows.ids, corpus.vocabulary, np.random.default_rng(5))
    assert (batch.ids == masked.ids).all()
    assert (batch.masked_rows == masked.masked_rows).all()


def test_token_types_are_one_for_the_second_segment_and_its_sep() -> None:
    batch = source().batch(0)
    ids = restored(batch)
    for row, types, length in zip(ids, batch.token_types, batch.lengths, strict=True):
        first_sep, second_sep = np.flatnonzero(row == SEP)
        assert second_sep == length - 1
        assert types.tolist() == [int(first_sep < place <= second_sep) for place in range(row.size)]


def test_the_arrays_are_int64_and_the_masks_lie_in_the_text() -> None:
    batch = source().batch(3)
    for field in dataclasses.fields(batch):
        assert getattr(batch, field.name).dtype == np.dtype(np.int64), field.name
    rows, places = np.divmod(batch.masked_rows, batch.ids.shape[1])
    assert (places < batch.lengths[rows]).all()
    assert batch.masked_ids.min() >= 10
    share = batch.masked_rows.size / (batch.lengths - 3).sum()
    assert share == pytest.approx(0.15, abs=0.01)
    assert (np.bincount(rows, minlength=len(batch.ids)) >= 1).all()


@pytest.mark.parametrize("single", [0.0, 0.3])
def test_batches_are_full_and_hardly_padded(single: float) -> None:
    batches = source(random_corpus(documents=200), single=single, batch_tokens=1000)
    shapes, padding = [], 0
    for index in range(batches.per_epoch):
        batch = batches.batch(index)
        assert batch.ids.shape[1] == batch.lengths.max()
        shapes.append(batch.ids.size)
        padding += batch.ids.size - int(batch.lengths.sum())
    assert max(shapes) <= 1000
    assert np.mean(shapes) > 930
    assert padding / sum(shapes) < 0.05


def test_epochs_pair_mask_and_order_anew() -> None:
    batches = source()
    count = batches.per_epoch
    first, second = (
        {row.tobytes() for i in range(count) for row in restored(batches.batch(start + i))}
        for start in (0, count)
    )
    assert len(first & second) < 0.5 * len(first)


def test_masks_differ_from_batch_to_batch() -> None:
    batches = source(corpus_of([[1] * 4000] * 2), short=0)
    rows = [batches.batch(index).masked_rows.tolist() for index in range(3)]
    assert rows[0] != rows[1] != rows[2]


def test_every_epoch_has_all_its_batches() -> None:
    batches = source(random_corpus(documents=12), batch_tokens=300)
    count = batches.per_epoch
    planned = [len(batches._epoch(epoch)[1]) for epoch in range(12)]
    assert min(planned) < count < max(planned)  # some have to repeat one, some to leave one out
    for epoch in range(12):
        assert batches.batch(epoch * count + count - 1).lengths.size >= 1


def test_the_order_of_lengths_is_mixed() -> None:
    batches = source(random_corpus(documents=300), single=0.4)
    longest = [batches.batch(index).ids.shape[1] for index in range(60)]
    assert min(longest[:20]) < 50
    assert max(longest[:20]) == 64
    assert max(longest[40:]) == 64


def test_a_batch_that_cannot_hold_a_sequence_is_an_error() -> None:
    with pytest.raises(TrainingError, match="cannot hold a sequence of 64"):
        source(batch_tokens=63)


def test_groups_hold_every_sequence_once_within_the_limit() -> None:
    lengths = np.random.default_rng(0).integers(5, 65, 1003)
    batches = group_by_length(lengths, 640, 200, np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert max(len(batch) * lengths[batch].max() for batch in batches) <= 640


def test_a_group_is_gathered_from_all_over() -> None:
    batches = group_by_length(np.full(1000, 10), 100, 50, np.random.default_rng(1))
    assert min(np.ptp(batch) for batch in batches) > 300  # ten numbers of a thousand
    assert np.corrcoef(range(100), [batch.mean() for batch in batches])[0, 1] < 0.3


def test_sentences_are_drawn_uniformly_and_laid_out_whole() -> None:
    corpus = corpus_of([[3, 6, 5], [30, 4, 7]])
    source = SentenceBatches(corpus, sentences=50, max_tokens=16, min_tokens=5, seed=1)
    starts = []
    for index in range(40):
        batch = source.batch(index)
        assert batch.ids.shape == (50, batch.lengths.max())
        for row, length in zip(batch.ids, batch.lengths, strict=True):
            assert (row[0], row[length - 1]) == (CLS, SEP)
            assert (row[length:] == PAD).all()
            start = int(row[1]) - 10
            starts.append(start)
            count = {3: 6, 9: 5, 14: 14, 48: 7}[start]  # the long sentence is cut
            assert row[1 : length - 1].tolist() == list(range(start + 10, start + 10 + count))
    shares = np.unique(starts, return_counts=True)[1] / len(starts)
    assert np.abs(shares - 0.25).max() < 0.05


def test_a_batch_of_sentences_depends_on_its_number_alone() -> None:
    corpus = random_corpus()
    first, again = (SentenceBatches(corpus, seed=1) for _ in range(2))
    assert same([first.batch(n) for n in range(9)][8], again.batch(8))
    assert not same(first.batch(7), first.batch(8))


def test_batches_of_sentences_are_hardly_padded_and_mixed_in_length() -> None:
    source = SentenceBatches(random_corpus(), sentences=32, max_tokens=42, seed=1)
    batches = [source.batch(index) for index in range(64)]
    text = sum(int(batch.lengths.sum()) for batch in batches)
    assert text / sum(batch.ids.size for batch in batches) > 0.85
    longest = [batch.ids.shape[1] for batch in batches]
    assert len({tuple(longest[start : start + 8]) for start in range(0, 64, 8)}) > 1
    assert longest != sorted(longest)


def test_a_corpus_without_long_sentences_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no sentence of 5 tokens"):
        SentenceBatches(corpus_of([[3, 4], [4]]), seed=1)


def test_documents_are_masked_in_order_and_once() -> None:
    corpus = random_corpus(documents=15)
    batches = list(masked_documents(corpus, sequence_tokens=64, batch_tokens=640, seed=1))
    rows = [
        row[1 : length - 1]
        for batch in batches
        for row, length in zip(restored(batch), batch.lengths, strict=True)
    ]
    assert np.concatenate(rows).tolist() == corpus.tokens.tolist()
    bounds = set(corpus.sentences[corpus.documents].tolist())
    assert bounds <= {0, *np.cumsum([row.size for row in rows]).tolist()}  # none spans two
    assert max(batch.ids.shape[1] for batch in batches) <= 64
    assert all(batch.ids.size <= 640 and not batch.token_types.any() for batch in batches)


def test_parts_of_a_document_are_of_equal_length() -> None:
    corpus = corpus_of([[63], [4]])
    (batch,) = masked_documents(corpus, sequence_tokens=64, batch_tokens=640, seed=1)
    assert batch.lengths.tolist() == [31 + 2, 32 + 2, 4 + 2]


def test_masks_of_documents_do_not_depend_on_the_batch() -> None:
    corpus = random_corpus(documents=15)
    small, large = (
        [
            row[:length].tolist()
            for batch in masked_documents(corpus, sequence_tokens=64, batch_tokens=tokens, seed=1)
            for row, length in zip(batch.ids, batch.lengths, strict=True)
        ]
        for tokens in (64, 4096)
    )
    assert small == large
