"""Next-sentence probabilities against transformers, and what becomes of long pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from server.errors import TooLong
from server.inference.pipeline import Pipeline
from server.inference.tasks.nsp import NEXT_SENTENCE
from server.inference.tasks.pairs import Cut
from server.inference.tasks.task import ServedModel
from tests.server.inference.conftest import proceed, value_of

PARITY = 1e-4  # largest difference of a probability from transformers in float32
LIMIT = 128  # tokens
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
def reference_tokenizer(pretraining_checkpoint: Path) -> Any:
    """Transformers' tokenizer of the checkpoint."""
    return transformers.AutoTokenizer.from_pretrained(pretraining_checkpoint)


@pytest.fixture(scope="module")
def narrow(cloze: Pipeline) -> ServedModel:
    """The committed model, as if it read `LIMIT` tokens."""
    return replace(cloze.model, manifest=replace(cloze.manifest, max_tokens=LIMIT))


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
    pretraining: Pipeline,
    pretraining_checkpoint: Path,
    reference_tokenizer: Any,
    architecture: str,
    key: str,
) -> None:
    model = getattr(transformers, architecture).from_pretrained(
        pretraining_checkpoint, dtype=torch.float32
    )
    found = value_of(pretraining, NEXT_SENTENCE, PAIRS, Cut())
    wanted = [expected(model.eval(), reference_tokenizer, pair, key) for pair in PAIRS]
    assert found == pytest.approx(wanted, abs=PARITY)
    assert max(wanted) - min(wanted) > 100 * PARITY


def test_segments_reach_the_model(pretraining: Pipeline) -> None:
    """With both texts in segment 0 the answer would be another one."""
    plan = NEXT_SENTENCE.plan(PAIRS[:1], Cut(), pretraining.model, proceed)
    session, items = pretraining._sessions.usual, plan.items()
    with_segments = plan.answer(session.run(items))
    items[0].encoding.type_ids[:] = 0
    without = plan.answer(session.run(items))
    assert isinstance(with_segments, list)
    assert isinstance(without, list)
    assert abs(with_segments[0] - without[0]) > 10 * PARITY


def test_a_follower_is_likelier_than_a_stranger(cloze: Pipeline) -> None:
    follower, stranger = value_of(cloze, NEXT_SENTENCE, PAIRS[:2], Cut())
    assert follower > 0.5
    assert follower > stranger + 0.2


def test_pairs_are_answered_in_order(cloze: Pipeline) -> None:
    together = value_of(cloze, NEXT_SENTENCE, PAIRS, Cut())
    alone = [value_of(cloze, NEXT_SENTENCE, [pair], Cut())[0] for pair in PAIRS]
    assert together == pytest.approx(alone, abs=1e-5)


def test_a_pair_that_is_too_long_is_refused_or_cut(narrow: ServedModel) -> None:
    room = LIMIT - 3
    fits = [("word " * (room - 5), "five " * 5)]
    plan = NEXT_SENTENCE.plan(fits, Cut(), narrow, proceed)
    assert (len(plan.items()[0].encoding), plan.truncated) == (LIMIT, (False,))
    over = [("a", "b"), ("word " * (room - 4), "five " * 5)]
    with pytest.raises(TooLong) as error:
        NEXT_SENTENCE.plan(over, Cut(), narrow, proceed)
    assert error.value.param == "inputs[1]"
    plan = NEXT_SENTENCE.plan(over, Cut(truncate=True), narrow, proceed)
    assert plan.truncated == (False, True)
    encoding = plan.items()[1].encoding
    assert len(encoding) == LIMIT
    assert encoding.type_ids.sum() == 6  # the short text whole, with its [SEP]
