"""Joint fillings against a search through all of them, on an exported model of 12 words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import torch
import transformers

from benchmarks.joint import Hidden, Search
from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from server.errors import (
    AnswerTooLarge,
    InvalidParameter,
    NoMask,
    TooLong,
    TooManyMasks,
    TooManyTokens,
)
from server.inference.pipeline import Pipeline
from server.inference.runtime.packing import MaskResult
from server.inference.tasks.fill_mask import FILL_MASK, FillMaskOptions
from server.inference.tasks.joint_filling import (
    FILL_JOINTLY,
    JointFilling,
    JointOptions,
    Order,
    Width,
)
from server.inference.tasks.task import Plan
from server.settings import Limits
from tests.server.inference.conftest import proceed, resources, run_task, value_of

PARITY = 1e-5  # largest difference of one word's log-probability from transformers in float64
BY_HAND = 1e-4  # and of an int8 model from separate runs of the same session
WORDS = ("the", "a", "cat", "dog", "sat", "on", "mat")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
SIZE, MASK = len(VOCABULARY), 4
ALL = 2000  # beams: more than three masks have fillings
TEXTS = ("the [MASK] sat on [MASK] [MASK]", "[MASK] cat sat on [MASK]", "[MASK] a [MASK]", "[MASK]")
ORDERS: tuple[Order, ...] = get_args(Order)


class Found(NamedTuple):
    """A filling's log-probability, and the order in which its masks were filled."""

    log_probability: float
    order: tuple[int, ...]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT whose words depend on each other."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=SIZE,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=32,
        initializer_range=0.3,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    tokenizer: Any = transformers.BertTokenizerFast.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The same, exported and running, with room for every filling."""
    out = tmp_path_factory.mktemp("models") / "tiny"
    read = replace(read_checkpoint(checkpoint), name="tiny")
    export_model(read, out, precision="fp32", progress=lambda _: None)
    pipeline = Pipeline(out, resources(threads=1, max_beams=ALL, max_top_k=ALL))
    pipeline.start()
    yield pipeline
    pipeline.close()


@pytest.fixture(scope="module")
def every_filling(checkpoint: Path) -> dict[tuple[str, Order], dict[tuple[int, ...], Found]]:
    """Of each text, in each order: all fillings, by going through them with transformers."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(checkpoint).eval().double()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    return {
        (text, order): fillings(model, tokenizer(text)["input_ids"], order)
        for text in TEXTS
        for order in ORDERS
    }


def fillings(model: Any, ids: Sequence[int], order: Order) -> dict[tuple[int, ...], Found]:
    """Every word at every mask, one mask after the other."""
    masks = [place for place, token in enumerate(ids) if token == MASK]
    partial = [([*ids], Found(0.0, ()))]
    for _ in masks:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([filled for filled, _ in partial])).logits
        logs = logits.log_softmax(-1)
        further = []
        for (filled, found), rows in zip(partial, logs, strict=True):
            left = [number for number in range(len(masks)) if number not in found.order]
            if order == "confidence":
                left.sort(key=lambda number: -float(rows[masks[number]].max()))
            place = masks[left[0]]
            for word in range(SIZE):
                log = found.log_probability + float(rows[place, word])
                more = [*filled[:place], word, *filled[place + 1 :]]
                further.append((more, Found(log, (*found.order, left[0]))))
        partial = further
    return {tuple(filled[place] for place in masks): found for filled, found in partial}


def fill(pipeline: Pipeline, *texts: str, **options: Any) -> list[list[JointFilling]]:
    return value_of(pipeline, FILL_JOINTLY, texts, JointOptions(**options))


@pytest.mark.parametrize("order", ORDERS)
def test_a_wide_search_finds_what_a_search_through_all_fillings_finds(
    order: Order, tiny: Pipeline, every_filling: Any
) -> None:
    answers = fill(tiny, *TEXTS, order=order, num_beams=ALL, top_k=ALL)
    for text, found in zip(TEXTS, answers, strict=True):
        expected = every_filling[text, order]
        assert len(found) == len(expected) == SIZE ** text.count("[MASK]")
        assert {filling.tokens for filling in found} == expected.keys()
        for filling in found:
            log, masks = expected[filling.tokens]
            assert abs(filling.log_probability - log) <= PARITY * len(masks)
            assert filling.order == masks
        logs = [filling.log_probability for filling in found]
        assert logs == sorted(logs, reverse=True)
        assert sum(math.exp(log) for log in logs) == pytest.approx(1, abs=PARITY)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("beams", [1, 2, 5, 12, 13])
def test_a_narrow_search_scores_what_it_finds_as_the_wide_one_does(
    order: Order, beams: int, tiny: Pipeline, every_filling: Any
) -> None:
    answers = fill(tiny, *TEXTS, order=order, num_beams=beams)
    for text, found in zip(TEXTS, answers, strict=True):
        expected = every_filling[text, order]
        assert len(found) == min(5, beams)
        assert len({filling.tokens for filling in found}) == len(found)
        for filling in found:
            log, masks = expected[filling.tokens]
            assert abs(filling.log_probability - log) <= PARITY * len(masks)
        logs = [filling.log_probability for filling in found]
        assert logs == sorted(logs, reverse=True)
        if beams >= SIZE and text.count("[MASK]") <= 2:  # nothing was left out
            best = max(one.log_probability for one in expected.values())
            assert abs(logs[0] - best) <= PARITY * 2


def test_one_beam_takes_the_likeliest_word_at_each_step(tiny: Pipeline, every_filling: Any) -> None:
    for text in TEXTS:
        (found,) = fill(tiny, text, num_beams=1)[0]
        likely: tuple[int, ...] = ()
        for _ in range(text.count("[MASK]")):
            of_word = dict.fromkeys(range(SIZE), 0.0)  # the next one's, given those before it
            for words, (log, _) in every_filling[text, "left_to_right"].items():
                if words[: len(likely)] == likely:
                    of_word[words[len(likely)]] += math.exp(log)
            likely = (*likely, max(of_word, key=of_word.__getitem__))
        assert found.tokens == likely


def test_the_orders_differ_and_so_do_their_scores(every_filling: Any) -> None:
    """Or the comparison with either of them would say little."""
    first, other = (every_filling[TEXTS[0], order] for order in ORDERS)
    assert any(first[words].order != other[words].order for words in first)
    assert any(abs(first[w].log_probability - other[w].log_probability) > 0.01 for w in first)
    assert len({found.order for found in other.values()}) > 1  # it depends on the words


@pytest.mark.parametrize("order", ORDERS)
def test_the_benchmark_settles_what_the_best_filling_is(
    order: Order, tiny: Pipeline, every_filling: Any
) -> None:
    tokenizer = tiny.model.tokenizer
    search = Search(tiny._sessions.usual.run, tokenizer, most=10**6)
    for text in TEXTS:
        ids = tuple(tokenizer.word(text))
        masks = tuple(place for place, token in enumerate(ids) if token == MASK)
        sentence = Hidden(text, ids, masks, ())
        best = max(found.log_probability for found in every_filling[text, order].values())
        for known in (-1e9, best - 1):
            assert search.likeliest(sentence, order, known) == pytest.approx(best, abs=PARITY * 3)
        assert search.likeliest(sentence, order, best) == best  # nothing is likelier
        if len(masks) > 1:
            assert search._replace(most=2).likeliest(sentence, order, -1e9) is None


def test_a_filling_is_shown_in_its_text(cloze: Pipeline) -> None:
    (found, *_) = fill(cloze, "Paris is the [MASK] of [MASK].")[0]
    assert len(found.tokens) == len(found.token_strs) == 2
    first, second = found.token_strs
    assert found.sequence == f"paris is the {first} of {second}."


@pytest.mark.parametrize("order", ORDERS)
def test_the_score_is_the_sum_of_runs_made_by_hand(order: Order, cloze: Pipeline) -> None:
    tokenizer, text = cloze.model.tokenizer, "The [MASK] and the queen lived in a [MASK]."
    for filling in fill(cloze, text, order=order, num_beams=3)[0]:
        parts, total = text.split("[MASK]"), 0.0
        words = ["[MASK]"] * 2
        for number in filling.order:
            target = tokenizer.token(filling.tokens[number])
            left = words[:number].count("[MASK]")
            joined = parts[0] + words[0] + parts[1] + words[1] + parts[2]
            masks = value_of(cloze, FILL_MASK, [joined], FillMaskOptions(targets=[[target]]))[0]
            total += math.log(masks[left][0].score)
            words[number] = filling.token_strs[number]
        assert filling.log_probability == pytest.approx(total, abs=BY_HAND)


# --- what it costs --------------------------------------------------------------------------------


def rounds(pipeline: Pipeline, plan: Plan[Any]) -> Iterator[tuple[Plan[Any], Any]]:
    """Run a plan and those that follow it: each, and what came of it."""
    value: Any = plan
    while isinstance(value, Plan):
        plan, value = value, value.answer(pipeline._sessions.usual.run(value.items()))
        yield plan, value


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("beams", [1, 3, 40, 150])
def test_the_price_has_the_tokens_of_all_rounds(order: Order, beams: int, tiny: Pipeline) -> None:
    options = JointOptions(order=order, num_beams=beams)
    plan = FILL_JOINTLY.plan(TEXTS, options, tiny.model, proceed)
    lengths = [[len(item.encoding) for item in one.items()] for one, _ in rounds(tiny, plan)]
    assert len(lengths) == 3  # as many as the text with the most masks has
    assert sum(map(sum, lengths)) == plan.price.tokens
    answered = run_task(tiny, FILL_JOINTLY, TEXTS, options)
    assert answered.usage.tokens == answered.price.tokens == plan.price.tokens


def test_copies_are_counted_as_they_will_be_made() -> None:
    assert Width(10, 10).copies(4) == 1 + 3 * 10
    assert Width(100, 12).copies(4) == 1 + 12 + 2 * 100
    assert Width(1, 1).copies(512) == 512


def test_what_is_looked_at_takes_no_more_than_the_price_says(tiny: Pipeline) -> None:
    options = JointOptions(order="confidence", num_beams=60, top_k=60)
    plan = FILL_JOINTLY.plan([TEXTS[0]], options, tiny.model, proceed)
    for one, _ in rounds(tiny, plan):
        results = tiny._sessions.usual.run(one.items())
        held = [
            r.ids.nbytes + r.log_probabilities.nbytes for r in results if isinstance(r, MaskResult)
        ]
        assert 0 < sum(held) <= plan.price.answer_bytes


def test_texts_of_a_request_are_filled_as_alone(tiny: Pipeline) -> None:
    together = fill(tiny, *TEXTS, num_beams=4)
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = fill(tiny, text, num_beams=4)
        assert [filling.tokens for filling in found] == [filling.tokens for filling in alone]


def test_a_search_that_would_cost_too_much_is_refused_with_its_copies(cloze: Pipeline) -> None:
    text = "[MASK] " * 40 + "word " * 100
    few = replace(cloze.model, limits=Limits(max_request_tokens=65_536))
    with pytest.raises(TooManyTokens) as error:
        FILL_JOINTLY.plan(["a [MASK]", text], JointOptions(num_beams=20), few, proceed)
    assert error.value.param == "inputs[1]"
    told = f"781 copies of 142 tokens, {781 * 142} together, and 65536 are allowed"
    assert told in error.value.message
    plan = FILL_JOINTLY.plan([text], JointOptions(num_beams=2), cloze.model, proceed)
    assert plan.price.tokens == 79 * 142


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 65}, "num_beams"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 65}, "top_k"),
        ({"top_k": 4, "num_beams": 3}, "top_k"),
    ],
)
def test_options_that_no_text_could_satisfy_are_refused(
    cloze: Pipeline, options: dict[str, int], param: str
) -> None:
    with pytest.raises(InvalidParameter) as error:
        fill(cloze, "a [MASK]", **options)
    assert error.value.param == f"parameters.{param}"


def test_as_many_fillings_as_asked_for_are_looked_for(cloze: Pipeline) -> None:
    (found,) = fill(cloze, "a [MASK] [MASK]", top_k=23)
    assert len(found) == 23
    (few,) = fill(cloze, "a [MASK] [MASK]", num_beams=3)
    assert len(few) == 3
    model = replace(cloze.model, limits=Limits(max_beams=3))
    plan = FILL_JOINTLY.plan(["a [MASK] [MASK]"], JointOptions(), model, proceed)
    assert plan.price.tokens == 4 * 5


def test_masks_are_found_as_fill_mask_finds_them(cloze: Pipeline) -> None:
    few = replace(cloze.model, limits=Limits(max_masks=5))
    with pytest.raises(TooManyMasks):
        FILL_JOINTLY.plan(["[MASK] " * 3] * 2, JointOptions(), few, proceed)
    with pytest.raises(NoMask) as error:
        fill(cloze, "a [MASK]", "none")
    assert error.value.param == "inputs[1]"
    with pytest.raises(TooLong):
        fill(cloze, "[MASK] " + "word " * 600)
    cut = run_task(
        cloze, FILL_JOINTLY, ["[MASK] " + "word " * 600], JointOptions(truncate=True, top_k=1)
    )
    assert cut.usage.truncated == (True,)


def test_an_answer_beyond_what_is_allowed_is_refused_before_anything_runs(
    cloze: Pipeline,
) -> None:
    before = cloze.stats().items_total
    with pytest.raises(AnswerTooLarge):
        fill(cloze, *["[MASK] " + "\u6771" * 400] * 400, num_beams=64, top_k=64)
    assert cloze.stats().items_total == before
