"""Next-sentence probabilities against transformers, and truncation of pairs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from server.inference.tasks.plan import Limits

from server.errors import TooLong
from server.inference.pipeline import Pipeline
from server.inference.tasks.nsp import longest_first, plan_nsp
from server.inference.tokenizer import Tokenizer

PARITY = 1e-4  # largest difference of a probability from transformers in float32
LIMITS = Limits(
    max_tokens=128,
    max_embed_tokens=128,
    max_items=512,
    max_masks=512,
    max_targets=1000,
    max_top_k=1000,
    max_chars=4096,
)
PAIRS = [
    ("The man went to the store.", "He bought a gallon of milk."),
    ("The man went to the store.", "Penguins are flightless birds of the southern hemisphere."),
    ("He bought a gallon of milk.", "The man went to the store."),
    ("a", "b"),
    ("na\u00efve caf\u00e9", "\u6771\u4eac \U0001f600 !"),
    ("It rained all day, and " * 20, "so they stayed in."),
    ("short.", "It rained all day, and " * 40),
]


@pytest.fixture(scope="module")
def reference_tokenizer(standin_checkpoint: Path) -> Any:
    """Transformers' tokenizer of the stand-in."""
    return transformers.AutoTokenizer.from_pretrained(standin_checkpoint)


def expected(model: Any, tokenizer: Any, pair: tuple[str, str], key: str) -> float:
    feeds = tokenizer(*pair, return_tensors="pt")
    assert set(feeds["token_type_ids"][0].tolist()) == {0, 1}
    with torch.inference_mode():
        logits = model(**feeds)[key]
    return float(torch.softmax(logits[0], dim=0)[0])


@pytest.mark.parametrize(
    ("architecture", "key"),
    [
        ("BertForNextSentencePrediction", "logits"),
        ("BertForPreTraining", "seq_relationship_logits"),
    ],
)
def test_probabilities_agree_with_transformers(
    standin: Pipeline,
    standin_checkpoint: Path,
    reference_tokenizer: Any,
    architecture: str,
    key: str,
) -> None:
    model = getattr(transformers, architecture).from_pretrained(
        standin_checkpoint, dtype=torch.float32
    )
    found = asyncio.run(standin.nsp(PAIRS)).value
    wanted = [expected(model.eval(), reference_tokenizer, pair, key) for pair in PAIRS]
    assert found == pytest.approx(wanted, abs=PARITY)
    assert max(wanted) - min(wanted) > 100 * PARITY


def test_segments_reach_the_model(standin: Pipeline) -> None:
    """With both texts in segment 0 the answer would be another one."""
    plan = plan_nsp(standin._tokenizer, PAIRS[:1], False, standin.limits)
    encoding = plan.items[0].encoding
    (with_segments,) = plan.finish(standin._session.run(plan.items))
    encoding.type_ids[:] = 0
    (without,) = plan.finish(standin._session.run(plan.items))
    assert abs(with_segments - without) > 10 * PARITY


def test_a_follower_is_likelier_than_a_stranger(cloze: Pipeline) -> None:
    follower, stranger = asyncio.run(cloze.nsp(PAIRS[:2])).value
    assert follower > 0.5
    assert follower > stranger + 0.2


def test_pairs_are_answered_in_order(cloze: Pipeline) -> None:
    together = asyncio.run(cloze.nsp(PAIRS)).value
    alone = [asyncio.run(cloze.nsp([pair])).value[0] for pair in PAIRS]
    assert together == pytest.approx(alone, abs=1e-5)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(2, 300))
def test_tokens_are_dropped_from_the_longer_text_first(first: int, second: int, room: int) -> None:
    left, right = longest_first(first, second, room)
    assert left + right == min(first + second, room)
    assert 0 <= left <= first
    assert 0 <= right <= second
    # Plainly: drop from the longer one. Which of two equals gives its token up is not said.
    a, b = first, second
    while a + b > room:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    assert abs(left - a) <= 1
    assert {left, right} == {a, b} or left == a


@given(st.integers(1, 400), st.integers(1, 400), st.integers(2, 300))
def test_neither_text_of_a_truncated_pair_is_lost(first: int, second: int, room: int) -> None:
    assert min(longest_first(first, second, room)) >= 1


def test_a_pair_that_is_too_long_is_refused_or_cut(tokenizer: Tokenizer) -> None:
    room = LIMITS.max_tokens - 3
    fits = [("word " * (room - 5), "five " * 5)]
    plan = plan_nsp(tokenizer, fits, False, LIMITS)
    assert (len(plan.items[0].encoding), plan.truncated) == (128, (False,))
    over = [("a", "b"), ("word " * (room - 4), "five " * 5)]
    with pytest.raises(TooLong) as error:
        plan_nsp(tokenizer, over, False, LIMITS)
    assert error.value.param == "inputs[1]"
    plan = plan_nsp(tokenizer, over, True, LIMITS)
    assert plan.truncated == (False, True)
    encoding = plan.items[1].encoding
    assert len(encoding) == 128
    assert encoding.type_ids.sum() == 6  # the short text whole, with its [SEP]
