"""Entities against transformers' pipeline in every strategy, and texts longer than the model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import transformers

from server.errors import InvalidParameter, TooLong, TooManyInputs, TooManyTokens
from server.inference.pipeline import Pipeline
from server.inference.tasks.entities import Entity, Strategy
from server.inference.tasks.token_classification import TOKEN_CLASSIFICATION, EntityOptions
from server.inference.tokenizer import STRETCH
from server.settings import Limits
from tests.fine_tuned import LONGEST, PEOPLE, PLACES, WORDS
from tests.server.inference.conftest import proceed, run_task, value_of

PARITY = 1e-4  # largest difference of a score from transformers in float32
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Load = Callable[[str], Pipeline]


def random_texts() -> Iterator[str]:
    """Known and unknown words, names, punctuation and what the vocabulary cannot spell."""
    draw = random.Random(7)  # noqa: S311 - to be repeatable
    words = [*PEOPLE, *PLACES, *(word for word in WORDS if "#" not in word)]
    words += ["Clara", "NEW YORK", "banana", "na\u00efve", "\u6771\u4eac", "\U0001f600", "it's"]
    for count in (1, 2, 3, 5, 8, 9) * 3:
        yield " ".join(draw.choice(words) + draw.choice(["", "", ",", "!"]) for _ in range(count))


TEXTS = (
    "Clara lives in Berkeley, and Yuki Chen works in New York.",
    "Maria Lopez!Omar",
    "  oslo  ",
    *random_texts(),
)
LONG = " ".join([TEXTS[0], "The film was great.", "Maria Lopez works in Kyoto."] * 6)


@pytest.fixture(scope="module")
def names(classifier: Load) -> Pipeline:
    return classifier("names")


@pytest.fixture(scope="module")
def reference(classifiers: Path) -> Any:
    """Transformers' pipeline."""
    return transformers.pipeline(
        "token-classification", str(classifiers / "checkpoints" / "names"), device="cpu"
    )


def entities(pipeline: Pipeline, *texts: str, **options: Any) -> list[list[Entity]]:
    return value_of(pipeline, TOKEN_CLASSIFICATION, texts, EntityOptions(**options))


def assert_same(found: list[Entity], wanted: list[dict[str, Any]]) -> None:
    assert [(one.start, one.end, one.word) for one in found] == [
        (one["start"], one["end"], one["word"]) for one in wanted
    ]
    labels = [one.get("entity_group") or one["entity"] for one in wanted]
    assert [one.label for one in found] == labels
    assert [one.score for one in found] == pytest.approx(
        [float(one["score"]) for one in wanted], abs=PARITY
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_are_those_of_transformers(
    strategy: Strategy, names: Pipeline, reference: Any
) -> None:
    found = entities(names, *TEXTS, strategy=strategy)
    for text, own in zip(TEXTS, found, strict=True):
        assert_same(own, reference(text, aggregation_strategy=strategy))
    assert sum(map(len, found)) > len(TEXTS)


def test_tokens_are_numbered_as_the_model_reads_them(names: Pipeline, reference: Any) -> None:
    ((*tokens,),) = entities(names, TEXTS[0], strategy="none")
    wanted = [one["index"] for one in reference(TEXTS[0], aggregation_strategy="none")]
    assert [token.first + 1 for token in tokens] == wanted


def test_what_was_learnt_is_known(names: Pipeline) -> None:
    (found,) = entities(names, TEXTS[0])
    assert [(one.label, TEXTS[0][one.start : one.end]) for one in found] == [
        ("PER", "Clara"),
        ("LOC", "Berkeley"),
        ("PER", "Yuki Chen"),
        ("LOC", "New York"),
    ]


@pytest.mark.parametrize("ignore", [["O", "LOC"], [], ["B-PER"]])
def test_the_labels_to_ignore_are_left_out(
    ignore: list[str], names: Pipeline, reference: Any
) -> None:
    for strategy in ("none", "simple"):
        options = {"ignore_labels": ignore, "aggregation_strategy": strategy}
        (found,) = entities(names, TEXTS[0], strategy=strategy, ignore=frozenset(ignore))
        assert_same(found, reference(TEXTS[0], **options))


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("stride", [0, 3, 12, LONGEST - 4])
def test_a_long_text_is_read_in_parts_as_transformers_does(
    stride: int, strategy: Strategy, names: Pipeline, reference: Any
) -> None:
    (found,) = entities(names, LONG, stride=stride, strategy=strategy)
    assert_same(found, reference(LONG, stride=stride, aggregation_strategy=strategy))


def test_entities_of_all_parts_stand_in_order_beside_each_other(names: Pipeline) -> None:
    (found,) = entities(names, LONG, stride=12)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert found[-1].start > len(LONG) - 30


def test_a_short_text_needs_no_parts(names: Pipeline) -> None:
    assert entities(names, TEXTS[0], stride=3) == entities(names, TEXTS[0])


def test_a_long_text_is_refused_or_cut_without_a_stride(names: Pipeline, reference: Any) -> None:
    with pytest.raises(TooLong) as error:
        entities(names, "a", LONG)
    assert error.value.param == "inputs[1]"
    for text in (LONG, LONG * 50):
        options = EntityOptions(truncate=True)
        found = run_task(names, TOKEN_CLASSIFICATION, ["a", text], options)
        assert found.usage.truncated == (False, True)
        assert_same(found.value[1], reference(LONG, aggregation_strategy="simple"))


def test_only_the_rows_of_the_text_are_read(names: Pipeline) -> None:
    plan = TOKEN_CLASSIFICATION.plan(["Ada lives"], EntityOptions(), names.model, proceed)
    (result,) = names._sessions.usual.run(plan.items())
    assert getattr(result, "shape", None) == (2, 5)  # two tokens, without [CLS] and [SEP]


@pytest.mark.parametrize("stride", [-1, LONGEST - 2, 10**9])
def test_a_stride_must_leave_a_step(stride: int, names: Pipeline) -> None:
    with pytest.raises(InvalidParameter) as error:
        TOKEN_CLASSIFICATION.check(["a"], EntityOptions(stride=stride), names.model)
    assert error.value.param == "parameters.stride"


def test_a_stride_needs_entities(names: Pipeline) -> None:
    options = EntityOptions(stride=3, strategy="none")
    with pytest.raises(InvalidParameter):
        TOKEN_CLASSIFICATION.check(["a"], options, names.model)


def test_too_many_parts_are_refused_before_they_are_made(names: Pipeline) -> None:
    few = replace(names.model, limits=Limits(max_inputs=5))
    options = EntityOptions(stride=LONGEST - 3)
    with pytest.raises(TooManyInputs):
        TOKEN_CLASSIFICATION.plan([LONG], options, few, proceed)


@pytest.mark.parametrize(("stride", "refused"), [(LONGEST - 3, True), (0, False)])
def test_what_parts_share_counts_for_each_of_them(
    names: Pipeline, stride: int, refused: bool
) -> None:
    text = "a " * 64
    few = replace(names.model, limits=Limits(max_request_tokens=1000))  # the 27 parts have 1,080
    with pytest.raises(TooManyTokens) if refused else nullcontext():
        TOKEN_CLASSIFICATION.plan([text], EntityOptions(stride=stride), few, proceed)


def test_a_long_text_is_given_up_between_its_stretches(names: Pipeline) -> None:
    heard = []
    text = "a " * (2 * STRETCH)  # four of them
    few = replace(names.model, limits=Limits(max_inputs=512))
    with pytest.raises(TooManyInputs):
        TOKEN_CLASSIFICATION.plan([text], EntityOptions(stride=0), few, lambda: heard.append(1))
    assert len(heard) == 4  # before each stretch
