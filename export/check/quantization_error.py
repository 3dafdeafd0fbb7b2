"""An int8 or float16 graph and its checkpoint in, what rounding changed out, on real sentences.

Measured on the sentences of `data/sentences.txt`, tokenised as the server would, or on random
tokens where most of their words are unknown to the model: agreement of the best word at masks,
cosine of the mean-pooled vectors, and the mean change of a logit or score.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from export.architectures.registry import architecture_of
from export.check import parity, reference
from export.check.layers import Text
from export.check.reference import Encoded
from export.graph.packed import GraphSpec
from export.read.config import EncoderConfig
from export.read.weights import Float32, Weights
from models.heads import MLM, heads_named
from models.manifest import ON_RANDOM_TOKENS, ON_SENTENCES

SENTENCES = Path(__file__).parent / "data" / "sentences.txt"
MOST_UNKNOWN = 0.5  # of the sentences' tokens
MASK_EVERY = 6  # tokens; about the 15 % of pre-training
OFFSETS = (1, 3, 5)  # each sentence is seen three times, with other tokens masked
LONGEST = 64  # tokens of one sentence
TYPICAL = 16  # tokens of one sentence, to say what it costs
# Of the reference, about ten seconds on two cores: all sentences of a BERT-Base, fewer of a larger.
OPERATIONS = 1.3e12
TEXTS_AT_ONCE = 32  # whose scores of the whole vocabulary are in memory
_Best = tuple[NDArray[np.int64], Float32]
_Sentence = tuple[NDArray[np.int64], NDArray[np.bool_]]


def measure_quantization_error(
    session: ort.InferenceSession,
    weights: Weights,
    spec: GraphSpec,
    tokenizer_json: str,
    mask: str = "[MASK]",
) -> dict[str, float]:
    """Agreement in [0, 1], cosines, and absolute differences, by name; `mask` is its spelling."""
    texts, masks = _texts(tokenizer_json, spec, mask)
    encoded = reference.encode(weights, spec.config, texts)
    best = _best_words(encoded, masks, weights, spec) if MLM.name in spec.heads else []
    found = []
    asked = tqdm(list(zip(texts, masks, strict=True)), desc="texts", disable=None, leave=False)
    for index, (text, rows) in enumerate(asked):
        feeds = parity.packed_feeds(spec, [text], [list(range(len(text.ids)))])
        feeds["mlm_index"] = np.array(rows, np.int64)
        feeds["top_k"] = np.array([1])
        if best:
            feeds["targets"] = np.stack([np.arange(len(rows)), best[index][0]], axis=1)
        found.append(parity.run_feeds(session, feeds))
    error = _cosines(found, encoded)
    if best:
        error |= _agreement(found, best)
    return error | _mean_differences(found, encoded, weights, spec)


def _best_words(
    encoded: Sequence[Encoded], masks: Sequence[Sequence[int]], weights: Weights, spec: GraphSpec
) -> list[_Best]:
    """The reference's best word at each mask of each text, and its log-probability."""
    rows = [text.last[list(read)] for text, read in zip(encoded, masks, strict=True)]
    best: list[_Best] = []
    for start in range(0, len(rows), TEXTS_AT_ONCE):
        some = rows[start : start + TEXTS_AT_ONCE]
        scores = reference.masked_language_model(weights, spec.config, np.concatenate(some))
        parts = np.split(scores, np.cumsum([len(read) for read in some])[:-1])
        best += [(part.argmax(axis=1), part.max(axis=1)) for part in parts]
    return best


def texts_for(tokenizer_json: str) -> str:
    """What a model of this tokenizer is measured on: the sentences, where it can read them.

    They are English. A model of another language may have few of their words, and what rounding
    changes of rows that are nearly all [UNK] says nothing about the rows that it will compute.
    """
    tokenizer = Tokenizer.from_str(tokenizer_json)
    words = [np.array(ids)[inner] for ids, inner in _sentences(tokenizer)]
    share = (np.concatenate(words) == _unknown(tokenizer_json, tokenizer)).mean()
    return ON_RANDOM_TOKENS if share > MOST_UNKNOWN else ON_SENTENCES


def _texts(
    tokenizer_json: str, spec: GraphSpec, spelled: str = "[MASK]"
) -> tuple[list[Text], list[list[int]]]:
    """The sentences as texts, with masks where the vocabulary has one, and the masks' rows."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    mask = tokenizer.token_to_id(spelled)
    longest = min(LONGEST, architecture_of(spec.config).max_tokens(spec.config))
    sentences = _sentences(tokenizer)[: _affordable(spec.config)]
    if texts_for(tokenizer_json) == ON_RANDOM_TOKENS:
        sentences = _with_random_tokens(sentences, tokenizer)
    texts, masks = [], []
    for original, _ in sentences:
        for offset in OFFSETS if mask is not None else OFFSETS[:1]:
            ids = np.array(original[:longest], np.int64)
            rows = [] if mask is None else list(range(offset, len(ids) - 1, MASK_EVERY))
            ids[rows] = mask or 0
            texts.append(Text(ids, np.zeros(len(ids), np.int64)))
            masks.append(rows)
    return texts, masks


def _sentences(tokenizer: Tokenizer) -> list[_Sentence]:
    """Each sentence's ids, and which of them are not special tokens."""
    encodings = tokenizer.encode_batch(SENTENCES.read_text(encoding="utf-8").splitlines())
    return [(np.array(each.ids), np.array(each.special_tokens_mask) == 0) for each in encodings]


def _with_random_tokens(sentences: Sequence[_Sentence], tokenizer: Tokenizer) -> list[_Sentence]:
    """Sentences of the same lengths, of any tokens of the vocabulary but those that were added."""
    added = tokenizer.get_added_tokens_decoder().keys()
    pool = sorted(set(tokenizer.get_vocab().values()) - added)
    random = np.random.default_rng(parity.SEED)
    changed = []
    for ids, inner in sentences:
        other = ids.copy()
        other[inner] = random.choice(pool, inner.sum())
        changed.append((other, inner))
    return changed


def _unknown(tokenizer_json: str, tokenizer: Tokenizer) -> int:
    """The id of what stands for words that a vocabulary lacks; -1 where it lacks none."""
    model = json.loads(tokenizer_json)["model"]
    found = tokenizer.token_to_id(model.get("unk_token") or "")
    return int(model.get("unk_id", -1) if found is None else found)


def _affordable(config: EncoderConfig) -> int:
    """How many sentences to measure: what the reference computes in `OPERATIONS`, one at least."""
    H, layers = config.hidden_size, config.num_hidden_layers
    encoder = 2 * layers * (4 * H * H + 2 * H * config.intermediate_size)  # operations of a token
    vocabulary = 2 * config.vocab_size * H / MASK_EVERY
    return max(1, int(OPERATIONS / (TYPICAL * len(OFFSETS) * (encoder + vocabulary))))


def _cosines(
    found: Sequence[dict[str, NDArray[Any]]], encoded: Sequence[Encoded]
) -> dict[str, float]:
    cosines = []
    for outputs, text in zip(found, encoded, strict=True):
        ours, theirs = outputs["pooled"][0], text.last.mean(axis=0)
        cosines.append(float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)))
    return {
        "embedding_cosine_mean": float(np.mean(cosines)),
        "embedding_cosine_worst": float(np.min(cosines)),
    }


def _agreement(found: Sequence[dict[str, NDArray[Any]]], best: Sequence[_Best]) -> dict[str, float]:
    pairs = list(zip(found, best, strict=True))
    same = np.concatenate([out["mlm_ids"][:, 0] == ids for out, (ids, _) in pairs])
    change = np.concatenate([out["target_log_probabilities"] - most for out, (_, most) in pairs])
    return {
        "mlm_masks": float(len(same)),
        "mlm_top1_agreement": float(same.mean()),
        "mlm_log_probability_mean_abs": float(np.abs(change).mean()),
    }


def _mean_differences(
    found: Sequence[dict[str, NDArray[Any]]],
    encoded: Sequence[Encoded],
    weights: Weights,
    spec: GraphSpec,
) -> dict[str, float]:
    """By how much the logits of heads that are one product change, on average."""
    heads = tuple(name for name in spec.heads if name != MLM.name)
    reads = [list(range(len(text.last))) for text in encoded]
    wanted = parity.expected(weights, GraphSpec(spec.config, heads), encoded, reads)
    differences = {}
    for head in heads_named(heads):
        if head.is_product:
            ours = np.concatenate([outputs[head.output] for outputs in found])
            difference = np.abs(ours - wanted[head.output]).mean()
            differences[f"{head.output}_mean_abs"] = float(difference)
    return differences
