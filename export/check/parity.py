"""An exported graph and its checkpoint in, the largest difference per output out.

The graph runs a ragged batch once with every row read and once with a few, and both must be what
`reference` computes for each text alone. The index inputs are built here by plain loops, apart from
the server's own vectorised code, so that an error in one shows against the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from export.architectures.registry import architecture_of
from export.check import reference
from export.check.layers import Text
from export.check.reference import Encoded
from export.graph.builder import GRAPH_FILE
from export.graph.packed import GraphSpec
from export.read.config import EncoderConfig
from export.read.weights import Float32, Weights
from models.heads import MAXIMA, MLM, POOLER, Reads, products_of
from models.opening import open_session
from models.pooling import SENTENCE_VECTORS

TOLERANCE = 1e-4  # largest absolute difference of any output in float32
# By precision. In float16 all-MiniLM-L6-v2 differs by 0.006, a BERT with heads by 0.014.
TOLERANCES = {"fp32": TOLERANCE, "fp16": 0.1}
# Numbers up to this may differ by the tolerance, larger ones by as much more: floating point rounds
# in proportion. Of numbers of 100 to 1,000 float32 was seen to lose 2e-7, and float16 4e-4.
MAGNITUDE = 10
# Outputs whose columns are those of the encoder's rows, each as large as its norm makes it.
VECTORS = ("token_vectors", "pooled", "pooled_max")
# Output -> the one that it is made of, whose rounding it has.
MADE_OF = {
    "pooled": "token_vectors",
    "pooled_max": "token_vectors",
    "target_log_probabilities": "mlm_log_probabilities",
}
LENGTHS = ((7, 0), (12, 9), (3, 0), (19, 14))  # tokens of each segment: ragged, pairs among them
SEED = 20181011  # the day of the paper
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Difference:
    """How far one output of a graph is from the reference; NaN is infinitely far."""

    largest: float
    """The largest absolute difference of a number."""
    scaled: float
    """The same, but in proportion where the column or output has numbers beyond `MAGNITUDE`."""

    def explained(self, precision: str) -> bool:
        """Whether rounding may be the reason, in a precision that has a tolerance."""
        return self.scaled <= TOLERANCES[precision]


def open_graph(folder: Path) -> ort.InferenceSession:
    """The graph in `folder`, as the server opens it, with all cores."""
    return open_session(folder / GRAPH_FILE)


def random_texts(config: EncoderConfig) -> list[Text]:
    """Four ragged texts of random tokens, two of them pairs, within the model's positions."""
    rng = np.random.default_rng(SEED)
    texts = []
    for first, second in LENGTHS:
        pair = config.type_vocab_size > 1
        total = min(first + second * pair, architecture_of(config).max_tokens(config))
        types = (np.arange(total) >= first).astype(np.int64)
        texts.append(Text(rng.integers(0, config.vocab_size, total), types))
    return texts


def measure_parity(
    session: ort.InferenceSession, weights: Weights, spec: GraphSpec
) -> dict[str, float]:
    """Largest absolute difference from the reference, by output, over both batches; NaN is inf."""
    return {name: found.largest for name, found in compare(session, weights, spec).items()}


def compare(
    session: ort.InferenceSession, weights: Weights, spec: GraphSpec
) -> dict[str, Difference]:
    """The difference of each output from the reference, over both batches."""
    texts = random_texts(spec.config)
    encoded = reference.encode(weights, spec.config, texts)
    everything = [list(range(len(text.ids))) for text in texts]
    a_few = [[0, len(text.ids) - 1] for text in texts]
    worst: dict[str, Difference] = {}
    for reads in (everything, a_few):
        found = run(session, spec, texts, reads)
        wanted = expected(weights, spec, encoded, reads)
        for name, values in wanted.items():
            apart = np.abs(found[name] - values)
            scale = np.maximum(1, _magnitude(name, wanted) / MAGNITUDE)
            seen = worst.get(name, Difference(0, 0))
            worst[name] = Difference(
                max(seen.largest, _most(apart)), max(seen.scaled, _most(apart / scale))
            )
    return worst


def _magnitude(name: str, outputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The largest absolute number of an output and what it is made of: by column for vectors."""
    axis = 0 if name in VECTORS else None
    made_of = [outputs[each] for each in (name, MADE_OF.get(name, name))]
    one, other = (np.abs(values).max(axis=axis) for values in made_of)
    return np.asarray(np.maximum(one, other))


def _most(differences: NDArray[Any]) -> float:
    """The largest of them; `max` alone would pass over a NaN."""
    most = float(differences.max())
    return np.inf if np.isnan(most) else most


def run(
    session: ort.InferenceSession,
    spec: GraphSpec,
    texts: Sequence[Text],
    reads: Sequence[Sequence[int]],
) -> dict[str, NDArray[Any]]:
    """Run all heads: MLM and token heads at all read rows, [CLS] heads and pooling for all texts.

    Returns the graph's outputs, with MLM as log-probabilities (rows, V) in the vocabulary's order.
    """
    outputs = run_feeds(session, packed_feeds(spec, texts, reads))
    if MLM.name in spec.heads:
        by_token = np.empty_like(outputs["mlm_log_probabilities"])
        ranked = outputs["mlm_log_probabilities"]
        np.put_along_axis(by_token, outputs["mlm_ids"], ranked, axis=1)
        outputs["mlm_log_probabilities"] = by_token
    return outputs


def run_feeds(session: ort.InferenceSession, feeds: Arrays) -> dict[str, NDArray[Any]]:
    """All outputs by name. Feeds of heads that the graph lacks are left out."""
    names = [node.name for node in session.get_outputs()]
    wanted = {node.name for node in session.get_inputs()}
    found = session.run(names, {name: feed for name, feed in feeds.items() if name in wanted})
    return dict(zip(names, found, strict=True))


def packed_feeds(spec: GraphSpec, texts: Sequence[Text], reads: Sequence[Sequence[int]]) -> Arrays:
    """The graph's inputs for `texts`, reading the rows `reads` of each; [CLS] must be the first."""
    lengths = [len(text.ids) for text in texts]
    counts = [len(rows) for rows in reads]
    starts = _starts(lengths)
    pad, unpad = _rectangle(lengths)
    read_pad, read_unpad = _rectangle(counts)
    pool, weights = _pooling(spec, counts)
    feeds: Arrays = {
        "input_ids": np.concatenate([text.ids for text in texts]),
        "token_type_ids": np.concatenate([text.type_ids for text in texts]),
        "position_ids": np.concatenate([np.arange(length) for length in lengths]),
        "pad_index": pad,
        "unpad_index": unpad,
        "lengths": np.array(lengths),
        "read_index": np.array(
            [start + row for start, rows in zip(starts, reads, strict=True) for row in rows]
        ),
        "read_pad_index": read_pad,
        "read_unpad_index": read_unpad,
        "mlm_index": np.arange(sum(counts)),
        "token_index": np.arange(sum(counts)),
        "top_k": np.array([spec.config.vocab_size]),
        "targets": np.array([[row, 0] for row in range(sum(counts))]),
        "pool_index": pool,
        "pool_weights": weights,
        "max_index": read_pad,
    }
    if spec.config.classifier_pooling == "mean":
        feeds |= {"pooler_index": read_pad, "pooler_weights": weights[: len(texts)]}
    else:
        feeds["pooler_index"] = np.array(_starts(counts))
    if spec.sparse:
        feeds["sparse_index"] = read_pad
    if spec.modules:
        feeds["sentence_index"] = _sentences(spec, len(texts), sums=len(pool))
    return feeds | {name: np.array(starts) for name in spec.tap_inputs}


def expected(
    weights: Weights, spec: GraphSpec, encoded: Sequence[Encoded], reads: Sequence[Sequence[int]]
) -> dict[str, NDArray[Any]]:
    """What the reference says of the outputs of `run`."""
    rows = [text.last[list(read)] for text, read in zip(encoded, reads, strict=True)]
    packed = np.concatenate(rows)
    pooled = [text.mean(axis=0) for text in rows]
    if spec.layers:
        pooled += [text.second_to_last[0] for text in encoded]
    outputs: dict[str, NDArray[Any]] = {
        "token_vectors": packed,
        "pooled": np.stack(pooled),
        "pooled_max": np.stack([text.max(axis=0) for text in rows]),
    }
    if spec.modules:
        both = np.concatenate([outputs["pooled"], outputs["pooled_max"]])
        laid = both[_sentences(spec, len(rows), sums=len(pooled))].reshape(len(rows), -1)
        outputs[SENTENCE_VECTORS] = reference.sentence_vectors(weights, spec.modules, laid)
    if MLM.name in spec.heads:
        scores = reference.masked_language_model(weights, spec.config, packed)
        outputs["mlm_log_probabilities"] = scores
        outputs["target_log_probabilities"] = scores[:, 0]
    if spec.sparse:
        logits = [reference.vocabulary_logits(weights, spec.config, own) for own in rows]
        outputs[MAXIMA] = np.stack([own.max(axis=0) for own in logits])
    read_by = {Reads.TOKENS: packed}
    if POOLER.name in spec.heads:
        read_by[Reads.POOLED] = np.stack([reference.pooler(weights, spec.config, r) for r in rows])
    for kind, values in read_by.items():
        for head in products_of(spec.heads, kind):
            outputs[head.output] = reference.head_product(weights, spec.config, head, values)
    return outputs


def _starts(counts: Sequence[int]) -> list[int]:
    return [sum(counts[:index]) for index in range(len(counts))]


def _rectangle(counts: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Packed row of each slot of a (groups, longest) rectangle, and the flat slot of each row."""
    longest = max(counts)
    index = np.zeros((len(counts), longest), np.int64)
    flat = []
    for group, (start, count) in enumerate(zip(_starts(counts), counts, strict=True)):
        for slot in range(longest):
            index[group, slot] = start + (slot if slot < count else 0)
        flat += [group * longest + slot for slot in range(count)]
    return index, np.array(flat)


def _pooling(spec: GraphSpec, counts: Sequence[int]) -> tuple[NDArray[np.int64], Float32]:
    """Means over each text's read rows, then [CLS] of each text in the extra layer."""
    index, _ = _rectangle(counts)
    weights = np.zeros((len(counts), 1, max(counts)), np.float32)
    for text, count in enumerate(counts):
        weights[text, 0, :count] = 1 / count
    if not spec.layers:
        return index, weights
    taps = sum(counts) + np.arange(len(counts))
    index = np.concatenate([index, np.repeat(taps[:, None], index.shape[1], axis=1)])
    only_first = np.zeros_like(weights)
    only_first[:, 0, 0] = 1
    return index, np.concatenate([weights, only_first])


def _sentences(spec: GraphSpec, texts: int, *, sums: int) -> NDArray[np.int64]:
    """Which pooled rows make each text's vector: its mean and its maximum in turn."""
    return np.array(
        [
            [text + (sums if part % 2 else 0) for part in range(spec.poolings)]
            for text in range(texts)
        ]
    )
