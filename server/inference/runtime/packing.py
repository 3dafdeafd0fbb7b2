"""Encodings and what is read of them in, the feeds of one packed run and its results out.

`Item` is one encoding with one `OutputSpec`. `Batch` lays items end to end and computes the index
inputs of the packed read-rows graph, so that the session computes only rows that some item reads.
Knows nothing of queues, threads or HTTP.

Letters: B items, T tokens of all items, S longest item, R read rows, Q most read rows of an item.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.heads import MAXIMA, Head
from models.pooling import SENTENCE_VECTORS, PoolingSpec, modes_of

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Feeds = Mapping[str, NDArray[np.generic]]
"""What the session is fed, by name."""
Outputs = Mapping[str, NDArray[Any]]
"""What the session returned, by name."""
LAST_LAYER = -1
_ROWS: Final = "token_vectors"  # the graph's output of the rows of single tokens
_ENDS: Final = frozenset({"cls", "lasttoken"})  # modes that pool one row
_GROUP: Final = 16  # rows whose logits are one line of the graph's output
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text or pair as token ids. Positions are 0..n-1 and therefore not stored."""

    ids: Int64
    """(n,) with [CLS] first and [SEP] last."""
    type_ids: Int64
    """(n,) 0 up to the first [SEP], 1 after it."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class MaskScores:
    """The vocabulary's best `top_k` at each of `rows`, and log-probabilities of given ids."""

    rows: tuple[int, ...]
    """Positions in the encoding."""
    top_k: int
    targets: tuple[tuple[int, int], ...] = ()
    """(number of the row in `rows`, token id)."""

    @property
    def masks(self) -> int:
        """Rows that are multiplied by the whole vocabulary."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class SentenceVector:
    """One vector for the whole text."""

    mode: str
    """As `PoolingSpec.mode`: "mean", or "cls+mean" for both laid end to end."""
    layer: int = LAST_LAYER
    """-1 for the last layer, or one of the manifest's extra layers."""
    skip: int = 0
    """Tokens at the beginning that are not pooled; the last token always is."""
    through_modules: bool = False
    """Whether the pooled rows go through the model's modules, all of them or none."""

    masks: ClassVar[int] = 0

    @classmethod
    def usual(cls, pooling: PoolingSpec, skip: int = 0) -> "SentenceVector":
        """The model's own."""
        return cls(pooling.mode, skip=skip, through_modules=bool(pooling.modules))

    def rows(self, tokens: int) -> Int64:
        """Positions of the rows that are pooled, rising; the first is "cls", the last "lasttoken".

        >>> SentenceVector("mean", skip=2).rows(5).tolist()
        [2, 3, 4]
        >>> SentenceVector("lasttoken+cls").rows(5).tolist()
        [0, 4]
        """
        last = tokens - 1
        first = min(self.skip, last)
        if not _ENDS.issuperset(modes_of(self.mode)):
            return np.arange(first, tokens)
        ends = {"cls": first, "lasttoken": last}
        return np.array(sorted({ends[mode] for mode in modes_of(self.mode)}), np.int64)


@dataclass(frozen=True, slots=True)
class PooledLogits:
    """The logits of a whole text or pair by a head that reads [CLS] through the pooler."""

    head: Head

    masks: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class TokenLogits:
    """The logits of single tokens."""

    head: Head
    rows: Int64
    """(m,) positions in the encoding, rising."""

    masks: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """Rows of the last layer as they are."""

    rows: Int64
    """(m,) positions in the encoding, rising."""

    masks: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class WordWeights:
    """How much each word of the vocabulary stands for some rows: log(1 + its largest logit)."""

    rows: Int64
    """(m,) positions in the encoding, rising."""
    most: int
    """Words that are kept, the heaviest ones."""

    @property
    def masks(self) -> int:
        """Rows that are multiplied by the whole vocabulary, as those of masks are."""
        return len(self.rows)


OutputSpec = MaskScores | SentenceVector | PooledLogits | TokenLogits | TokenVectors | WordWeights
"""What is read of a text: which rows, and what a head makes of them."""


@dataclass(frozen=True, slots=True)
class Item:
    """One encoding and what is read of it: the unit that is queued and batched."""

    encoding: Encoding
    output: OutputSpec


@dataclass(frozen=True, slots=True)
class MaskResult:
    """Answer to `MaskScores` with m rows and t targets; log-probabilities over the vocabulary."""

    ids: Int64
    """(m, top_k), best first."""
    log_probabilities: Float32
    """(m, top_k)."""
    target_log_probabilities: Float32
    """(t,)."""


@dataclass(frozen=True, slots=True)
class WordResult:
    """Answer to `WordWeights`: the words whose weight is above 0."""

    words: Int64
    """(w,) rising."""
    weights: Float32
    """(w,)."""
    found: int
    """How many there were before the heaviest were kept."""


Result = MaskResult | WordResult | Float32
"""A `MaskResult`, a `WordResult`, the vector of a text, (H,) for each of its modes together, logits
of a head: (width,) for a text, (m, width) for m tokens, or the rows of m tokens, (m, H)."""
Results = Sequence[Result]
"""One per item, in the items' order."""

_NOTHING = np.zeros(0, np.int64)
_NO_TARGETS = np.zeros((0, 2), np.int64)
_NO_SENTENCES = np.zeros((0, 1), np.int64)
_CLS = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How packed rows are laid out as (groups, longest), each group's rows in order."""

    starts: Int64
    counts: Int64
    index: Int64
    """(groups, longest): the packed row in each slot; short groups repeat their first row."""
    filled: NDArray[np.bool_]
    """(groups, longest): whether a slot is more than such a repetition."""

    @classmethod
    def packed(cls, counts: Sequence[int]) -> "_Layout":
        """Groups of `counts` rows, end to end.

        >>> _Layout.packed([2, 3]).index.tolist()
        [[0, 1, 0], [2, 3, 4]]
        """
        sizes = np.array(counts)
        return cls.of(sizes.cumsum() - sizes, sizes)

    @classmethod
    def of(cls, starts: Int64, counts: Int64) -> "_Layout":
        """Groups of `counts` rows, wherever they start."""
        columns = np.arange(counts.max())
        filled = columns < counts[:, None]
        return cls(starts, counts, starts[:, None] + columns * filled, filled)

    @property
    def flat(self) -> Int64:
        """(rows,): the flat slot of each packed row."""
        return self.filled.ravel().nonzero()[0]

    @property
    def means(self) -> Float32:
        """(groups, 1, longest): what each slot counts for in the mean of its group.

        A short group's repetitions have weight 0, so that nothing of another text, not even a NaN,
        can reach it.
        """
        return (self.filled / self.counts[:, None]).astype(np.float32)[:, None, :]

    def rows(self, groups: Sequence[int]) -> Int64:
        """The packed rows of some groups."""
        if not groups:
            return _NOTHING
        chosen = list(groups)
        return self.index[chosen][self.filled[chosen]]


_NO_GROUPS: Final = _Layout(_NOTHING, _NOTHING, np.zeros((0, 1), np.int64), np.zeros((0, 1), bool))


class Batch:
    """Items laid end to end: `feeds` for the session, `split` for its outputs."""

    def __init__(
        self, items: Sequence[Item], layers: Sequence[int] = (), *, classifier_pooling: str = "cls"
    ) -> None:
        self.items = items
        self._layers = layers
        self._classifier_pooling = classifier_pooling
        specs = [(i, item.output) for i, item in enumerate(items)]
        self._masks = [(i, spec) for i, spec in specs if isinstance(spec, MaskScores)]
        self._pooled = [(i, spec) for i, spec in specs if isinstance(spec, PooledLogits)]
        self._tokens = [
            (i, spec) for i, spec in specs if isinstance(spec, TokenLogits | TokenVectors)
        ]
        self._words = [(i, spec) for i, spec in specs if isinstance(spec, WordWeights)]
        self._vectors = [(i, spec) for i, spec in specs if isinstance(spec, SentenceVector)]
        pooled = [(i, mode) for i, spec in self._vectors for mode in modes_of(spec.mode)]
        self._sums = [(i, mode) for i, mode in pooled if mode != "max"]
        self._maxima = [(i, mode) for i, mode in pooled if mode == "max"]

    def feeds(self) -> dict[str, NDArray[np.generic]]:
        """The inputs of the graph: int64 arrays and the float32 `pool_weights`.

        Few calls of NumPy: after a run the processor's caches hold none of it any more, which makes
        each of them several times dearer than it is when measured by itself.
        """
        encodings = [item.encoding for item in self.items]
        texts = _Layout.packed([len(encoding.ids) for encoding in encodings])
        read_rows = [_rows_read(item, self._classifier_pooling) for item in self.items]
        reads = _Layout.packed([len(rows) for rows in read_rows])
        unpad = texts.flat
        feeds: dict[str, NDArray[np.generic]] = {
            "input_ids": np.concatenate([encoding.ids for encoding in encodings]),
            "token_type_ids": np.concatenate([encoding.type_ids for encoding in encodings]),
            "position_ids": unpad % texts.index.shape[1],
            "pad_index": texts.index,
            "unpad_index": unpad,
            "lengths": texts.counts,
            "read_index": np.concatenate(read_rows) + texts.starts.repeat(reads.counts),
            "read_pad_index": reads.index,
            "read_unpad_index": reads.flat,
            "token_index": reads.rows([i for i, _ in self._tokens]),
            "mlm_index": reads.rows([i for i, _ in self._masks]),
            "targets": self._targets(),
            "top_k": np.array([max((spec.top_k for _, spec in self._masks), default=0)], np.int64),
        }
        feeds["sparse_index"] = self._word_groups(reads)
        feeds.update(self._pooler_feeds(reads))
        feeds.update(self._pool_feeds(texts, reads))
        return feeds

    @property
    def unmasked_tokens(self) -> int:
        """Tokens of texts with masks that are no masks, so that the vocabulary is not read."""
        return sum([len(self.items[i].encoding.ids) - spec.masks for i, spec in self._masks])

    def _word_groups(self, reads: _Layout) -> Int64:
        """Groups of rows, a few of one text each: int64 (groups, rows).

        A group for each text would be as wide as the longest; so they are no longer than the
        shortest text, and a text has some of them. Its last one repeats the first of its rows.
        """
        if not self._words:
            return _NO_SENTENCES
        width, counts = self._word_counts()
        groups = []
        for (i, spec), count in zip(self._words, counts, strict=True):
            rows = np.arange(count * width)
            rows[len(spec.rows) :] = 0
            groups.append(reads.starts[i] + rows.reshape(count, width))
        return np.concatenate(groups)

    def _word_counts(self) -> tuple[int, list[int]]:
        """Rows of a group, and groups of each text whose words are weighed."""
        width = min([_GROUP, *(len(spec.rows) for _, spec in self._words)])
        return width, [-(-len(spec.rows) // width) for _, spec in self._words]

    def _pooler_feeds(self, reads: _Layout) -> dict[str, NDArray[np.generic]]:
        """What the pooler reads: the first row of each text, or all of them and their weights."""
        chosen = [i for i, _ in self._pooled]
        if self._classifier_pooling == "cls":
            return {"pooler_index": reads.starts[chosen] if chosen else _NOTHING}
        rows = _Layout.of(reads.starts[chosen], reads.counts[chosen]) if chosen else _NO_GROUPS
        return {"pooler_index": rows.index, "pooler_weights": rows.means}

    def _targets(self) -> Int64:
        targets: list[tuple[int, int]] = []
        count = 0
        for _, spec in self._masks:
            targets.extend((count + row, token) for row, token in spec.targets)
            count += len(spec.rows)
        return np.array(targets, np.int64) if targets else _NO_TARGETS

    def _pool_feeds(self, texts: _Layout, reads: _Layout) -> dict[str, NDArray[np.generic]]:
        """Rows to pool: of the last layer among the read rows, of tapped layers behind those."""
        starts, counts = reads.starts.copy(), reads.counts.copy()
        feeds: dict[str, NDArray[np.generic]] = {}
        offset = int(reads.counts.sum())
        for layer in self._layers:
            tapped = [_NOTHING]
            for i, spec in self._vectors:
                if spec.layer == layer:
                    rows = spec.rows(int(texts.counts[i]))
                    tapped.append(texts.starts[i] + rows)
                    starts[i], counts[i] = offset, len(rows)
                    offset += len(rows)
            feeds[f"layer_{layer}_index"] = np.concatenate(tapped)
        pooled = self._groups(self._sums, starts, counts)
        feeds["pool_index"] = pooled.index
        feeds["pool_weights"] = self._weights(pooled)[:, None, :]
        feeds["max_index"] = self._groups(self._maxima, starts, counts).index
        feeds["sentence_index"] = self._sentences()
        return feeds

    def _groups(self, pooled: Sequence[tuple[int, str]], starts: Int64, counts: Int64) -> _Layout:
        """The rows of each pooled vector, among those that its text pools."""
        if not pooled:
            return _NO_GROUPS
        chosen = [i for i, _ in pooled]
        starts, counts = starts[chosen], counts[chosen]
        for group, (_, mode) in enumerate(pooled):
            if mode in _ENDS:
                starts[group] += counts[group] - 1 if mode == "lasttoken" else 0
                counts[group] = 1
        return _Layout.of(starts, counts)

    def _weights(self, pooled: _Layout) -> Float32:
        """What each row of a group counts: float32 (groups, longest).

        A short group's repetitions have weight 0, so that nothing of another text, not even a NaN,
        can reach it.
        """
        weights = pooled.filled / pooled.counts[:, None]
        for group, (i, mode) in enumerate(self._sums):
            if mode == "mean_sqrt_len_tokens":
                weights[group] *= np.sqrt(pooled.counts[group])
            elif mode == "weightedmean":
                # By the place in the text, whatever of its beginning is not pooled.
                count = int(pooled.counts[group])
                places = len(self.items[i].encoding) - count + 1 + np.arange(count)
                weights[group, :count] = places / places.sum()
        return weights.astype(np.float32)

    def _sentences(self) -> Int64:
        """For each vector that goes through modules, its pooled rows: sums, and maxima behind."""
        through = [(i, spec) for i, spec in self._vectors if spec.through_modules]
        if not through:
            return _NO_SENTENCES
        place = {pooled: row for row, pooled in enumerate((*self._sums, *self._maxima))}
        return np.array([[place[i, mode] for mode in modes_of(spec.mode)] for i, spec in through])

    def split(self, outputs: Outputs) -> list[Result]:
        """The outputs of the run, one result per item in order."""
        results: dict[int, Result] = dict(self._split_masks(outputs))
        # Every head that reads pooled rows has computed all of them, and so with token rows.
        for row, (i, pooled) in enumerate(self._pooled):
            results[i] = outputs[pooled.head.output][row]
        start = 0
        for i, tokens in self._tokens:
            end = start + len(tokens.rows)
            name = tokens.head.output if isinstance(tokens, TokenLogits) else _ROWS
            results[i] = outputs[name][start:end]
            start = end
        results.update(self._split_vectors(outputs))
        results.update(self._split_words(outputs))
        return [results[i] for i in range(len(self.items))]

    def _split_vectors(self, outputs: Outputs) -> Iterator[tuple[int, Float32]]:
        sums, maxima = iter(outputs["pooled"]), iter(outputs["pooled_max"])
        made = iter(outputs.get(SENTENCE_VECTORS, ()))
        for i, spec in self._vectors:
            rows = [next(maxima if mode == "max" else sums) for mode in modes_of(spec.mode)]
            if spec.through_modules:
                yield i, next(made)
            else:
                yield i, np.concatenate(rows) if len(rows) > 1 else rows[0]

    def _split_words(self, outputs: Outputs) -> Iterator[tuple[int, WordResult]]:
        start, (_, counts) = 0, self._word_counts()
        for (i, spec), count in zip(self._words, counts, strict=True):
            end = start + count
            largest = outputs[MAXIMA][start:end].max(axis=0)
            weights = np.log1p(np.maximum(largest, 0))
            yield i, heaviest(np.flatnonzero(weights), weights, spec.most)
            start = end

    def _split_masks(self, outputs: Outputs) -> Iterator[tuple[int, MaskResult]]:
        row = target = 0
        for i, spec in self._masks:
            rows = slice(row, row + len(spec.rows))
            targets = slice(target, target + len(spec.targets))
            yield (
                i,
                MaskResult(
                    outputs["mlm_ids"][rows, : spec.top_k],
                    outputs["mlm_log_probabilities"][rows, : spec.top_k],
                    outputs["target_log_probabilities"][targets],
                ),
            )
            row, target = rows.stop, targets.stop


def _rows_read(item: Item, classifier_pooling: str) -> Int64:
    """Rows of the last layer that the item reads; at least [CLS], so that no item has none."""
    match item.output:
        case MaskScores(rows=rows):
            return np.array(rows, np.int64)
        case TokenLogits(rows=rows) | TokenVectors(rows=rows) | WordWeights(rows=rows):
            return rows
        case SentenceVector(layer=-1):
            return item.output.rows(len(item.encoding))
        case PooledLogits() if classifier_pooling == "mean":
            return np.arange(len(item.encoding))
        case _:
            return _CLS


def heaviest(words: Int64, weights: Float32, most: int) -> WordResult:
    """The heaviest of some words, in their order; `weights` are those of all of the vocabulary.

    >>> found = heaviest(np.array([1, 3, 4]), np.array([0, 0.5, 0, 2, 1], np.float32), 2)
    >>> found.words.tolist(), found.weights.tolist(), found.found
    ([3, 4], [2.0, 1.0], 3)
    """
    kept = words
    if len(words) > most:
        kept = np.sort(words[np.argpartition(-weights[words], most - 1)[:most]])
    return WordResult(kept, weights[kept], len(words))


def is_finite(result: Result) -> bool:
    """Whether a result holds neither NaN nor infinity, which JSON could not carry."""
    if isinstance(result, WordResult):
        return bool(np.isfinite(result.weights).all())
    if isinstance(result, MaskResult):
        ranked = np.isfinite(result.log_probabilities).all()
        return bool(ranked and np.isfinite(result.target_log_probabilities).all())
    return bool(np.isfinite(result).all())


def fits(result: Result, output: OutputSpec, *, hidden: int, labels: int, vector: int) -> bool:
    """Whether a result is finite and of the shape that its task reads.

    `vector` counts the numbers of a vector that went through the model's modules.
    """
    match output:
        case MaskScores(rows=rows, top_k=top_k):
            shape: tuple[int, ...] = len(rows), top_k
        case TokenLogits(head=head, rows=rows):
            shape = len(rows), head.numbers(hidden=hidden, labels=labels)
        case TokenVectors(rows=rows):
            shape = len(rows), hidden
        case WordWeights():
            return isinstance(result, WordResult) and is_finite(result)
        case PooledLogits(head=head):
            shape = (head.numbers(hidden=hidden, labels=labels),)
        case SentenceVector(through_modules=True):
            shape = (vector,)
        case _:
            shape = (hidden * len(modes_of(output.mode)),)
    if isinstance(result, WordResult):
        return False
    numbers = result.log_probabilities if isinstance(result, MaskResult) else result
    return numbers.shape == shape and is_finite(result)


def results_as(kind: type[R], results: Results) -> list[R]:
    """The results, all of which must be of one kind.

    Raises:
        TypeError: one is not, which would be a fault of ours.
    """
    found: list[R] = [result for result in results if isinstance(result, kind)]
    if len(found) < len(results):
        raise TypeError(f"expected {kind.__name__} of each item, found {set(map(type, results))}")
    return found
