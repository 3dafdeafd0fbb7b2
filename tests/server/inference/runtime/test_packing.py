"""The packed rows against plain loops, on ragged batches of odd sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.heads import NSP, TOKEN
from server.inference.runtime.packing import (
    Batch,
    Encoding,
    Item,
    MaskResult,
    MaskScores,
    OutputSpec,
    PooledLogits,
    Result,
    SentenceVector,
    TokenLogits,
    TokenVectors,
    WordResult,
    WordWeights,
    is_finite,
)
from tests.server.inference.samples import classified, encoding, random_item

Feeds = dict[str, NDArray[Any]]
HIDDEN = 5
WORDS = 11
LAYERS = (-2, -3)
SEEDS = range(40)


def mixed_batch(seed: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    items = [random_item(rng) for _ in range(rng.integers(1, 8))]
    if rng.random() < 0.5:  # the second of the tapped layers too
        mean = Item(encoding(rng, 7), SentenceVector("mean", -3))
        items.insert(rng.integers(len(items) + 1), mean)
        items.insert(0, Item(encoding(rng, 4), SentenceVector("max", -3)))
    for skip in range(rng.integers(3)):  # of a model whose vectors go through modules
        own = SentenceVector("max+lasttoken", skip=skip, through_modules=True)
        items.insert(rng.integers(len(items) + 1), Item(encoding(rng, 6), own))
    for _ in range(rng.integers(4)):
        items.insert(rng.integers(len(items) + 1), classified(rng))
    for _ in range(rng.integers(4)):
        tokens = encoding(rng, int(rng.integers(2, 60)))
        rows = np.flatnonzero(rng.random(len(tokens)) < 0.8)
        rows = rows if len(rows) else np.array([1])
        output = TokenVectors(rows) if rng.random() < 0.5 else WordWeights(rows, 3)
        items.insert(rng.integers(len(items) + 1), Item(tokens, output))
    return items


def small_targets(items: Sequence[Item]) -> list[Item]:
    """The same items with target ids that fit a vocabulary of `WORDS`."""
    return [
        Item(
            item.encoding,
            MaskScores(
                item.output.rows,
                item.output.top_k,
                tuple((row, token % WORDS) for row, token in item.output.targets),
            ),
        )
        if isinstance(item.output, MaskScores)
        else item
        for item in items
    ]


def rows_of(items: Sequence[Item]) -> list[list[int]]:
    """The packed rows of each item."""
    rows, start = [], 0
    for item in items:
        rows.append(list(range(start, start + len(item.encoding))))
        start += len(item.encoding)
    return rows


def read_by(item: Item, rows: list[int]) -> list[int]:
    """Packed rows of the last layer that the item reads."""
    output = item.output
    if isinstance(output, MaskScores | TokenLogits | TokenVectors | WordWeights):
        return [rows[row] for row in output.rows]
    if isinstance(output, SentenceVector) and output.layer == -1:
        left = rows[min(output.skip, len(rows) - 1) :]
        modes = set(output.mode.split("+"))
        if not modes <= {"cls", "lasttoken"}:
            return left
        return sorted({left[0 if mode == "cls" else -1] for mode in modes})
    return rows[:1]


def pooling_of(item: Item) -> SentenceVector | None:
    """What is pooled of an item, if anything."""
    return item.output if isinstance(item.output, SentenceVector) else None


def layer_values(tokens: int) -> dict[int, NDArray[np.float32]]:
    """Made-up hidden states: every row of every layer differs."""
    return {
        layer: np.random.default_rng(-layer).normal(size=(tokens, HIDDEN)).astype(np.float32)
        for layer in (-1, *LAYERS)
    }


def word_scores(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Made-up scores of WORDS words for each row."""
    return rows @ np.random.default_rng(9).normal(size=(HIDDEN, WORDS)).astype(np.float32)


def made_of(pooled: NDArray[Any]) -> NDArray[Any]:
    """What made-up modules make of pooled rows laid end to end."""
    return 1 - 2 * pooled


def follow_the_feeds(feeds: Feeds) -> dict[str, NDArray[Any]]:
    """What the graph does after its encoder, written out with the feeds."""
    layers = layer_values(len(feeds["input_ids"]))
    read = layers[-1][feeds["read_index"]]
    tapped = [layers[layer][feeds[f"layer_{layer}_index"]] for layer in LAYERS]
    rows = np.concatenate([read, *tapped])
    scores = word_scores(read[feeds["mlm_index"]])
    order = np.argsort(-scores, axis=1)[:, : feeds["top_k"][0]]
    sums = np.einsum("gxs,gsh->gh", feeds["pool_weights"], rows[feeds["pool_index"]])
    maxima = rows[feeds["max_index"]].max(axis=1)
    laid = np.concatenate([sums, maxima])[feeds["sentence_index"]]
    return {
        "pooled": sums,
        "pooled_max": maxima,
        "sentence_vectors": made_of(laid.reshape(len(laid), HIDDEN * laid.shape[1])),
        "nsp_logits": read[feeds["pooler_index"]][:, :2],
        "sequence_logits": read[feeds["pooler_index"]][:, 1:],
        "token_logits": read[feeds["token_index"]][:, :3],
        "qa_logits": read[feeds["token_index"]][:, 3:],
        "token_vectors": read[feeds["token_index"]],
        "mlm_maxima": word_scores(read[feeds["sparse_index"]]).max(axis=1),
        "mlm_ids": order,
        "mlm_log_probabilities": np.take_along_axis(scores, order, axis=1),
        "target_log_probabilities": scores[feeds["targets"][:, 0], feeds["targets"][:, 1]],
    }


def plainly(item: Item, rows: list[int], layers: dict[int, NDArray[np.float32]]) -> Result:
    """One item's result, computed from its own rows alone."""
    output = item.output
    if isinstance(output, PooledLogits):
        row: NDArray[np.float32] = layers[-1][rows[0]]
        return row[:2] if output.head is NSP else row[1:]
    if isinstance(output, TokenLogits):
        own: NDArray[np.float32] = layers[-1][rows][output.rows]
        return own[:, :3] if output.head is TOKEN else own[:, 3:]
    if isinstance(output, TokenVectors):
        plain: NDArray[np.float32] = layers[-1][rows][output.rows]
        return plain
    if isinstance(output, WordWeights):
        largest = word_scores(layers[-1][rows][output.rows]).max(axis=0)
        weights = np.log(1 + np.maximum(largest, 0))
        kept = sorted(np.argsort(-weights)[: min(output.most, (weights > 0).sum())])
        return WordResult(np.array(kept, np.int64), weights[kept], int((weights > 0).sum()))
    if isinstance(output, SentenceVector):
        hidden = layers[output.layer][rows][min(output.skip, len(rows) - 1) :]
        places = np.arange(len(rows) - len(hidden), len(rows)) + 1
        by_mode = {
            "cls": hidden[0],
            "mean": hidden.mean(axis=0),
            "max": hidden.max(axis=0),
            "mean_sqrt_len_tokens": hidden.sum(axis=0) / np.sqrt(len(hidden)),
            "weightedmean": np.average(hidden, axis=0, weights=places).astype(np.float32),
            "lasttoken": hidden[-1],
        }
        result: NDArray[np.float32] = np.concatenate([by_mode[m] for m in output.mode.split("+")])
        return made_of(result) if output.through_modules else result
    scores = word_scores(layers[-1][[rows[row] for row in output.rows]])
    order = np.argsort(-scores, axis=1)[:, : output.top_k]
    targets = np.array([scores[row, token] for row, token in output.targets], np.float32)
    return MaskResult(order, np.take_along_axis(scores, order, axis=1), targets)


@pytest.mark.parametrize("seed", SEEDS)
def test_tokens_are_packed_end_to_end_with_positions_of_their_own(seed: int) -> None:
    items = mixed_batch(seed)
    feeds = Batch(items, LAYERS).feeds()
    assert feeds["input_ids"].tolist() == [i for item in items for i in item.encoding.ids.tolist()]
    types = [t for item in items for t in item.encoding.type_ids.tolist()]
    assert feeds["token_type_ids"].tolist() == types
    positions = [p for item in items for p in range(len(item.encoding))]
    assert feeds["position_ids"].tolist() == positions
    assert feeds["lengths"].tolist() == [len(item.encoding) for item in items]


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_and_unpadding_follow_plain_loops(seed: int) -> None:
    items = mixed_batch(seed)
    feeds = Batch(items, LAYERS).feeds()
    rows = rows_of(items)
    read = [read_by(item, own) for item, own in zip(items, rows, strict=True)]
    assert feeds["read_index"].tolist() == [row for own in read for row in own]
    numbers = iter(range(len(feeds["read_index"])))
    numbered = [[next(numbers) for _ in own] for own in read]
    for groups, prefix in ((rows, ""), (numbered, "read_")):
        longest = max(len(own) for own in groups)
        padded = feeds[f"{prefix}pad_index"]
        assert padded.shape == (len(items), longest)
        for line, own in zip(padded.tolist(), groups, strict=True):
            assert line[: len(own)] == own
        slots = [g * longest + slot for g, own in enumerate(groups) for slot in range(len(own))]
        assert feeds[f"{prefix}unpad_index"].tolist() == slots
        assert padded.ravel()[slots].tolist() == [row for own in groups for row in own]


@pytest.mark.parametrize("seed", SEEDS)
def test_short_groups_never_point_at_rows_of_another_text(seed: int) -> None:
    items = mixed_batch(seed)
    feeds = Batch(items, LAYERS).feeds()
    owner = np.array([i for i, own in enumerate(rows_of(items)) for _ in own])
    read_owner = owner[feeds["read_index"]]
    tapped = [owner[feeds[f"layer_{layer}_index"]] for layer in LAYERS]
    pool_owner = np.concatenate([read_owner, *tapped])
    everyone = np.arange(len(items))[:, None]
    assert (owner[feeds["pad_index"]] == everyone).all()
    assert (read_owner[feeds["read_pad_index"]] == everyone).all()
    for name in ("pool_index", "max_index"):
        groups = pool_owner[feeds[name]]
        assert (groups == groups[:, :1]).all()
        owners = groups[:, 0].tolist()
        assert sorted(owners) == sorted(
            index
            for index, item in enumerate(items)
            if (output := pooling_of(item)) is not None
            for mode in output.mode.split("+")
            if (mode == "max") == (name == "max_index")
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_results_read_from_the_packed_layout_equal_plain_loops(seed: int) -> None:
    items = small_targets(mixed_batch(seed))
    batch = Batch(items, LAYERS)
    results = batch.split(follow_the_feeds(batch.feeds()))
    layers = layer_values(sum(len(item.encoding) for item in items))
    for item, rows, result in zip(items, rows_of(items), results, strict=True):
        expected = plainly(item, rows, layers)
        if isinstance(expected, MaskResult):
            assert isinstance(result, MaskResult)
            assert result.ids.tolist() == expected.ids.tolist()
            pairs = [
                (result.log_probabilities, expected.log_probabilities),
                (result.target_log_probabilities, expected.target_log_probabilities),
            ]
        elif isinstance(expected, WordResult):
            assert isinstance(result, WordResult)
            assert result.words.tolist() == expected.words.tolist()
            assert result.found == expected.found
            pairs = [(result.weights, expected.weights)]
        else:
            assert not isinstance(result, MaskResult | WordResult)
            pairs = [(result, expected)]
        for found, wanted in pairs:
            np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_feeds_have_the_types_and_ranks_of_the_graph(seed: int) -> None:
    feeds = Batch(mixed_batch(seed), LAYERS).feeds()
    ranks = {"pad_index": 2, "read_pad_index": 2, "pool_index": 2, "max_index": 2, "targets": 2}
    ranks |= {"sentence_index": 2, "sparse_index": 2}
    for name, feed in feeds.items():
        assert feed.dtype == (np.float32 if name == "pool_weights" else np.int64), name
        assert feed.ndim == (3 if name == "pool_weights" else ranks.get(name, 1)), name
    assert feeds["pool_weights"].shape == (
        len(feeds["pool_index"]),
        1,
        feeds["pool_index"].shape[1],
    )


def test_pool_weights_average_each_text_and_give_padding_nothing() -> None:
    rng = np.random.default_rng(0)
    items = [Item(encoding(rng, length), SentenceVector("mean")) for length in (5, 3, 9)]
    weights = Batch(items).feeds()["pool_weights"][:, 0]
    for line, length in zip(weights, (5, 3, 9), strict=True):
        np.testing.assert_allclose(line[:length], 1 / length, rtol=1e-6)
        assert not line[length:].any()


def test_what_is_skipped_of_the_beginning_keeps_the_places_of_the_rest() -> None:
    item = Item(encoding(np.random.default_rng(0), 6), SentenceVector("weightedmean", skip=3))
    feeds = Batch([item]).feeds()
    assert feeds["read_index"].tolist() == [3, 4, 5]
    np.testing.assert_allclose(feeds["pool_weights"][0, 0], np.array([4, 5, 6]) / 15, rtol=1e-6)


def test_the_last_token_is_pooled_whatever_is_skipped() -> None:
    item = Item(encoding(np.random.default_rng(0), 6), SentenceVector("max+cls", skip=60))
    assert Batch([item]).feeds()["read_index"].tolist() == [5]


def test_a_pooler_of_means_gets_every_row_of_its_texts_and_of_no_other() -> None:
    rng = np.random.default_rng(0)
    specs: list[OutputSpec] = [PooledLogits(NSP), SentenceVector("cls"), PooledLogits(NSP)]
    items = [Item(encoding(rng, n), spec) for n, spec in zip((5, 3, 9), specs, strict=True)]
    feeds = Batch(items, classifier_pooling="mean").feeds()
    # The text in between gives one row, its [CLS].
    assert feeds["read_index"].tolist() == [*range(5), 5, *range(8, 17)]
    assert feeds["pooler_index"].tolist() == [[0, 1, 2, 3, 4, 0, 0, 0, 0], [*range(6, 15)]]
    weights = feeds["pooler_weights"]
    assert (weights.shape, weights.dtype) == ((2, 1, 9), np.dtype(np.float32))
    np.testing.assert_allclose(weights[0, 0], [0.2] * 5 + [0] * 4, rtol=1e-6)
    np.testing.assert_allclose(weights[1, 0], 1 / 9, rtol=1e-6)
    none = Batch(items[1:2], classifier_pooling="mean").feeds()
    assert (none["pooler_index"].shape, none["pooler_weights"].shape) == ((0, 1), (0, 1, 1))


def test_groups_of_words_are_no_wider_than_the_shortest_text_and_hold_no_other() -> None:
    rng = np.random.default_rng(0)
    rows = [np.arange(7), np.array([1, 2, 3]), np.arange(1, 6)]
    texts = [
        Item(encoding(rng, n), WordWeights(r, 9)) for n, r in zip((7, 5, 6), rows, strict=True)
    ]
    feeds = Batch(texts).feeds()
    # Of 7, 3 and 5 rows, threes: the last of a text repeats its first row.
    assert feeds["sparse_index"].tolist() == [
        *([0, 1, 2], [3, 4, 5], [6, 0, 0]),
        [7, 8, 9],
        *([10, 11, 12], [13, 14, 10]),
    ]


def test_top_k_of_a_batch_is_the_largest_and_each_item_gets_its_own() -> None:
    rng = np.random.default_rng(0)
    items = [Item(encoding(rng, 7), MaskScores((2,), top_k)) for top_k in (3, 8, 1)]
    batch = Batch(items, LAYERS)
    feeds = batch.feeds()
    assert feeds["top_k"].tolist() == [8]
    results = batch.split(follow_the_feeds(feeds))
    assert [r.ids.shape for r in results if isinstance(r, MaskResult)] == [(1, 3), (1, 8), (1, 1)]


def test_a_batch_without_a_kind_of_output_has_empty_feeds_for_it() -> None:
    ids = np.array([101, 7, 102])
    item = Item(Encoding(ids, np.zeros(3, np.int64)), SentenceVector("cls"))
    feeds = Batch([item], LAYERS).feeds()
    assert feeds["mlm_index"].shape == feeds["pooler_index"].shape == (0,)
    assert feeds["token_index"].shape == (0,)
    assert feeds["targets"].shape == (0, 2)
    assert feeds["top_k"].tolist() == [0]
    assert feeds["max_index"].shape == feeds["sentence_index"].shape == (0, 1)
    assert feeds["sparse_index"].shape == (0, 1)
    assert feeds["layer_-2_index"].shape == feeds["layer_-3_index"].shape == (0,)
    assert feeds["read_index"].tolist() == [0]  # a row for [CLS] alone


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_found(bad: float) -> None:
    fine, broken = np.ones(3, np.float32), np.array([1, bad, 1], np.float32)
    ids = np.zeros((1, 3), np.int64)
    assert is_finite(fine)
    assert is_finite(MaskResult(ids, fine[None], fine))
    assert is_finite(WordResult(ids[0], fine, 3))
    assert not is_finite(WordResult(ids[0], broken, 3))
    assert not is_finite(broken)
    assert not is_finite(MaskResult(ids, broken[None], fine))
    assert not is_finite(MaskResult(ids, fine[None], broken))
