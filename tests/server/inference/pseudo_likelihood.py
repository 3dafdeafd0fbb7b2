"""A text in, how likely each of its tokens is out, by a loop over a model of transformers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from server.inference.tasks.score import Metric, Score


class Expected(NamedTuple):
    """One token as the loop scores it."""

    id: int
    start: int
    stop: int
    log_probability: float


def pseudo_likelihood(tokenizer: Any, model: Any, text: str, metric: Metric) -> list[Expected]:
    """Hide each token in turn, run the model on that copy alone, and read the token's place."""
    encoded = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
    offsets, words = encoded["offset_mapping"][0].tolist(), encoded.word_ids()
    ids = encoded["input_ids"][0]
    special = {
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
        tokenizer.mask_token_id,
        tokenizer.pad_token_id,
    }
    found = []
    for place, word in enumerate(words):
        token = int(ids[place])
        if word is None or token in special:
            continue
        hidden = ids.clone()
        hidden[place] = tokenizer.mask_token_id
        if metric == "within_word_l2r":
            for later in range(place + 1, len(words)):
                if words[later] == word:
                    hidden[later] = tokenizer.mask_token_id
        with torch.inference_mode():
            out = model(input_ids=hidden[None])
        logits = out["logits" if "logits" in out else "prediction_logits"][0, place]
        log = float(logits.log_softmax(-1)[token])
        start, stop = offsets[place]
        found.append(Expected(token, start, stop, log))
    return found


def assert_same_scores(found: Score, expected: list[Expected], tolerance: float) -> None:
    """Compare token by token; the sums differ by no more than the tokens may together."""
    assert [(one.id, one.start, one.stop) for one in found.tokens] == [one[:3] for one in expected]
    for one, other in zip(found.tokens, expected, strict=True):
        assert abs(one.log_probability - other.log_probability) <= tolerance, one.token
    total = sum(one.log_probability for one in expected)
    assert abs(found.log_probability - total) <= tolerance * len(expected)
