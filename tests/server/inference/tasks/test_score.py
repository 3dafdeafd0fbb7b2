"""Pseudo-log-likelihoods against a loop over transformers, and what they cost."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from export.write.model_folder import export_model
from server.errors import DeadlineExceeded, EmptyText, TooLong, TooManyTokens
from server.inference.pipeline import Pipeline
from server.inference.runtime.packing import MaskScores
from server.inference.tasks.score import SCORE, Metric, Score, ScoredToken, ScoreOptions
from server.inference.tokenizer import CHARACTERS_PER_TOKEN
from server.settings import Limits
from tests.families import make
from tests.server.inference.conftest import proceed, resources, run_task, value_of
from tests.server.inference.pseudo_likelihood import assert_same_scores, pseudo_likelihood

PARITY = 1e-5  # largest difference of a log-probability from transformers in float32
MOST = 512  # tokens that the committed model reads
METRICS: tuple[Metric, ...] = ("original", "within_word_l2r")
TEXTS = (
    "The souvenirs were antidisestablishmentarianism, unbelievably.",
    "He doesn't know it's 3.50!",
    "na\u00efve \u6771\u4eac \u306e\u732b caf\u00e9",
    "a \U0001f600 [SEP] b [MASK] xylophonists",
    "word",
)


def score(pipeline: Pipeline, *texts: str, **options: Any) -> list[Score]:
    return value_of(pipeline, SCORE, texts, ScoreOptions(**options))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_a_loop_over_transformers(
    metric: Metric, pretraining: Pipeline, pretraining_checkpoint: Path
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(pretraining_checkpoint)
    model = transformers.AutoModelForMaskedLM.from_pretrained(pretraining_checkpoint).eval()
    for text, found in zip(TEXTS, score(pretraining, *TEXTS, metric=metric), strict=True):
        assert_same_scores(found, pseudo_likelihood(tokenizer, model, text, metric), PARITY)


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "albert", "modernbert"])
def test_other_families_score_as_transformers_does(family: str, tmp_path: Path) -> None:
    made = make(family, "ForMaskedLM", tmp_path / "checkpoint")
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.folder)
    out = tmp_path / "served"
    checkpoint = replace(made.checkpoint, name="served")
    export_model(checkpoint, out, precision="fp32", progress=lambda _: None)
    pipeline = Pipeline(out, resources(threads=1))
    pipeline.start()
    texts = ["The unwanted cats sat on a mat.", "\u5317\u4eac\u5927\u5b66, naive dogs"]
    for metric in METRICS:
        for text, found in zip(texts, score(pipeline, *texts, metric=metric), strict=True):
            expected = pseudo_likelihood(tokenizer, made.model, text, metric)
            assert_same_scores(found, expected, PARITY)
    pipeline.close()


def test_pieces_behind_hide_only_those_of_their_word(cloze: Pipeline) -> None:
    text = "He saw xylophonists, who played."
    options = ScoreOptions("within_word_l2r")
    items = SCORE.plan([text], options, cloze.model, proceed).items()
    tokenizer = cloze.model.tokenizer
    shown = [[tokenizer.token(i) for i in item.encoding.ids.tolist()][1:-1] for item in items]
    pieces = [tokenizer.token(i) for i in tokenizer.word(text)]
    of_word = [n for n, piece in enumerate(pieces) if n == 2 or piece.startswith("##")]
    assert len(of_word) > 2
    for place, copy in enumerate(shown):
        hidden = [n for n, piece in enumerate(copy) if piece == "[MASK]"]
        assert hidden == ([n for n in of_word if n >= place] if place in of_word else [place])
    (usual,), (within,) = (score(cloze, text, metric=metric) for metric in METRICS)
    assert within.log_probability < usual.log_probability - 1
    (alike,), (same,) = (score(cloze, "He saw it.", metric=metric) for metric in METRICS)
    assert alike.log_probability == pytest.approx(same.log_probability, abs=1e-3)


def test_special_tokens_are_read_and_never_scored(cloze: Pipeline) -> None:
    (with_them,) = score(cloze, "[CLS] a [SEP] cat [MASK] [PAD] sat")
    assert [token.token for token in with_them.tokens] == ["a", "cat", "sat"]
    (without,) = score(cloze, "a cat sat")
    assert [token.id for token in without.tokens] == [token.id for token in with_them.tokens]
    assert with_them.log_probability != pytest.approx(without.log_probability, abs=1e-3)
    with pytest.raises(EmptyText, match="special tokens only") as error:
        score(cloze, "a", "[MASK] [SEP]")
    assert error.value.param == "inputs[1]"


def test_a_word_that_the_vocabulary_lacks_is_scored_as_unknown(cloze: Pipeline) -> None:
    (found,) = score(cloze, "a \U0001f600 cat")
    assert [token.token for token in found.tokens] == ["a", "[UNK]", "cat"]
    assert (found.tokens[1].start, found.tokens[1].stop) == (2, 3)


def test_tokens_say_where_they_stand_and_of_which_word_they_are(cloze: Pipeline) -> None:
    text = "Caf\u00e9 xylophonists!"
    (found,) = score(cloze, text)
    assert text[found.tokens[0].start : found.tokens[0].stop] == "Caf\u00e9"
    words = [token.word for token in found.tokens]
    assert words == sorted(words)
    assert len(set(words)) == 3 < len(words)
    joined = "".join(text[token.start : token.stop] for token in found.tokens if token.word == 1)
    assert joined == "xylophonists"


def test_sum_and_perplexity_follow_from_the_tokens(cloze: Pipeline) -> None:
    (found,) = score(cloze, TEXTS[0])
    logs = [token.log_probability for token in found.tokens]
    assert found.log_probability == pytest.approx(sum(logs))
    assert found.pseudo_perplexity == pytest.approx(math.exp(-sum(logs) / len(logs)))


@pytest.mark.parametrize("log", [-1e4, -1e30])
def test_a_perplexity_beyond_all_numbers_is_the_largest_one(log: float) -> None:
    found = Score([ScoredToken(7, "a", 0, 1, 0, log)])
    assert 1e300 < found.pseudo_perplexity < math.inf


def test_texts_of_one_request_are_scored_as_alone(cloze: Pipeline) -> None:
    together = score(cloze, *TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = score(cloze, text)
        assert [token[:5] for token in found.tokens] == [token[:5] for token in alone.tokens]
        assert found.log_probability == pytest.approx(alone.log_probability, abs=0.05)  # int8


# --- what it costs --------------------------------------------------------------------------------


def test_the_price_is_a_copy_of_the_text_for_each_token(cloze: Pipeline) -> None:
    text = "one two three [SEP] four"
    answered = run_task(cloze, SCORE, [text, "five"], ScoreOptions())
    assert answered.price.tokens == answered.usage.tokens == 4 * 7 + 1 * 3
    items = SCORE.plan([text], ScoreOptions(), cloze.model, proceed).items()
    assert all(isinstance(item.output, MaskScores) for item in items)
    assert [item.output.rows for item in items if isinstance(item.output, MaskScores)] == [
        (1,),
        (2,),
        (3,),
        (5,),
    ]
    assert {item.output.top_k for item in items if isinstance(item.output, MaskScores)} == {1}


@pytest.mark.parametrize("words", [256, 300, 510])
def test_a_text_of_too_many_copies_is_refused_with_their_number(
    cloze: Pipeline, words: int
) -> None:
    few = replace(cloze.model, limits=Limits(max_request_tokens=65_536))
    with pytest.raises(TooManyTokens) as error:
        SCORE.plan(["fine", "word " * words], ScoreOptions(), few, proceed)
    assert error.value.param == "inputs[1]"
    told = f"{words} copies of {words + 2} tokens, {words * (words + 2)} together, and 65536 are"
    assert told in error.value.message


def test_the_longest_text_that_may_be_scored_is_planned(cloze: Pipeline) -> None:
    plan = SCORE.plan(["word " * 255], ScoreOptions(), cloze.model, proceed)
    assert plan.price.tokens == 255 * 257
    assert len(plan.items()) == 255


def test_texts_together_are_refused_as_each_alone_would_not_be(cloze: Pipeline) -> None:
    model = replace(cloze.model, limits=Limits(max_request_tokens=70_000))
    text = "word " * 200
    SCORE.plan([text], ScoreOptions(), model, proceed)
    with pytest.raises(TooManyTokens, match="split it"):
        SCORE.plan([text] * 2, ScoreOptions(), model, proceed)


@pytest.mark.parametrize("text", ["word " * 600, "x" * (MOST * CHARACTERS_PER_TOKEN + 1)])
def test_a_text_that_is_too_long_to_read_is_refused_or_cut(cloze: Pipeline, text: str) -> None:
    with pytest.raises(TooLong):
        score(cloze, text)
    model = replace(cloze.model, limits=Limits(max_request_tokens=10**6))
    plan = SCORE.plan([text], ScoreOptions(truncate=True), model, proceed)
    assert plan.truncated == (True,)
    assert plan.price.tokens in {510 * 512, 1 * 3}  # of the second all is one unknown word


def test_copies_of_a_text_share_batches(cloze: Pipeline) -> None:
    before = cloze.stats()
    score(cloze, "a text of some ten words, and a few more")
    after = cloze.stats()
    copies = after.items_total - before.items_total
    assert copies == 11
    assert after.batches_total - before.batches_total <= copies // 2


def test_copies_nobody_waits_for_are_never_computed(default_model: Path) -> None:
    pipeline = Pipeline(default_model, resources(threads=1))
    pipeline.start()
    text = "word " * 200

    async def leave() -> None:
        waiting = asyncio.create_task(pipeline.run(SCORE, [text], ScoreOptions()))
        while not pipeline.stats().running_batches:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        late = pipeline.run(SCORE, [text], ScoreOptions(), deadline=time.monotonic() + 0.3)
        with pytest.raises(DeadlineExceeded):
            await late

    asyncio.run(leave())
    stats = pipeline.stats()
    assert stats.cancelled_total > 100
    assert stats.expired_total > 20
    assert stats.queued_items == 0
    pipeline.close()
