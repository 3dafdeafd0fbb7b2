"""The whole flow of a request on real models: the same for every task."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers

from models.manifest import ManifestError
from server.errors import (
    DeadlineExceeded,
    Draining,
    EmptyText,
    InvalidParameter,
    MissingHead,
    QueueFull,
    TooLong,
    TooManyInputs,
    TooManyTokens,
)
from server.inference.admission import Admission
from server.inference.options import batch_tokens, run_bytes, worker_count
from server.inference.pipeline import SMALL, Pipeline
from server.inference.runtime.devices import choose_device, cpu_device
from server.inference.runtime.packing import Item, OutputSpec, Result, SentenceVector
from server.inference.runtime.session import Session
from server.inference.runtime.sessions import Sessions
from server.inference.tasks import TASKS
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.inference.tasks.fill_mask import FILL_MASK, FillMaskOptions
from server.inference.tasks.nsp import NEXT_SENTENCE
from server.inference.tasks.pairs import Cut, TextOrPair
from server.inference.tasks.task import Plan, Price, Proceed, ServedModel, Task, supports
from server.inference.tasks.tokenization import TOKENIZATION, TokenizationOptions
from server.inference.tokenizer import CHARACTERS_PER_TOKEN, Tokenizer
from server.settings import InferenceOptions
from tests.server.inference.conftest import resources, run_task, value_of
from tests.server.inference.samples import TEXTS

PARITY = 1e-4  # largest difference of a number of a vector from sentence-transformers in float32
SAMENESS = 1e-5  # and from the same text in another request
HALF = 0.002  # of a number of a normalised vector in float16 from float32; 0.0003 was measured
GPU = choose_device("cuda", ["CUDAExecutionProvider"])
CUT = EmbedOptions(Cut(truncate=True))
HELLO = ["hello world"]  # 4 tokens

Load = Callable[..., Pipeline]


@pytest.fixture
def load(default_model: Path) -> Iterator[Load]:
    """`load(queue_tokens=50)`: the committed model with these settings; not started."""
    loaded: list[Pipeline] = []

    def load(**options: Any) -> Pipeline:
        loaded.append(Pipeline(default_model, resources(**options)))
        return loaded[-1]

    yield load
    for pipeline in loaded:
        pipeline.close()


def test_embeddings_equal_those_of_sentence_transformers(
    minilm: Pipeline, minilm_checkpoint: Path
) -> None:
    model = sentence_transformers.SentenceTransformer(str(minilm_checkpoint), device="cpu")
    texts = [*TEXTS, "cut off at the end, " * 200, "\u6771" * 300]
    answer = run_task(minilm, EMBED, texts, CUT)
    np.testing.assert_allclose(answer.value, model.encode(texts), atol=PARITY)
    assert answer.value.dtype == np.float32
    assert answer.usage.truncated[-2:] == (True, True)


def test_float16_embeds_nearly_as_float32_does(
    minilm: Pipeline, minilm_half_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline(minilm_half_model, resources(threads=1))
    assert "minilm-half is float16" in caplog.text
    pipeline.start()
    half, whole = (value_of(each, EMBED, TEXTS, CUT) for each in (pipeline, minilm))
    pipeline.close()
    assert half.dtype == np.float32
    assert 0 < np.abs(half - whole).max() <= HALF


def test_tasks_that_run_together_get_the_answers_that_they_get_alone(cloze: Pipeline) -> None:
    pairs = [("He went home.", "It was late."), ("One.", "Two.")]
    masked = ["Paris is the [MASK] of France.", "[MASK] [MASK]"]
    vectors = value_of(cloze, EMBED, TEXTS, CUT)
    probabilities = value_of(cloze, NEXT_SENTENCE, pairs, Cut())
    fillings = value_of(cloze, FILL_MASK, masked, FillMaskOptions())

    async def together() -> None:
        requests = [
            work
            for _ in range(5)
            for work in (
                cloze.run(EMBED, TEXTS, CUT),
                cloze.run(NEXT_SENTENCE, pairs, Cut()),
                cloze.run(FILL_MASK, masked, FillMaskOptions()),
            )
        ]
        answers: list[Any] = await asyncio.gather(*requests)
        for answer in answers[0::3]:
            np.testing.assert_allclose(answer.value, vectors, atol=SAMENESS)
        for answer in answers[1::3]:
            assert answer.value == pytest.approx(probabilities, abs=SAMENESS)
        for answer in answers[2::3]:
            assert scores(answer.value) == pytest.approx(scores(fillings), abs=SAMENESS)

    asyncio.run(together())


def scores(texts: Any) -> list[float]:
    return [filling.score for masks in texts for found in masks for filling in found]


def test_what_a_request_cost_is_told(cloze: Pipeline) -> None:
    answer = run_task(cloze, EMBED, ["hello world", "hello"], EmbedOptions())
    assert answer.usage.tokens == answer.price.tokens == 4 + 3
    assert answer.usage.truncated == (False, False)
    assert answer.usage.compute_s > 0
    assert answer.usage.tokenise_s > 0
    assert answer.usage.queue_s >= 0


def test_short_and_long_requests_are_tokenised_alike(cloze: Pipeline) -> None:
    text = "A sentence of some length, for a request that is tokenised on a thread. "
    few, many = [text], [text] * (SMALL.characters // len(text) + 5)
    alone, together = (value_of(cloze, EMBED, texts, EmbedOptions()) for texts in (few, many))
    np.testing.assert_allclose(together, np.repeat(alone, len(many), axis=0), atol=SAMENESS)
    (shown,) = value_of(cloze, TOKENIZATION, [(text, None)], TokenizationOptions())
    assert value_of(cloze, TOKENIZATION, [(text, None)] * len(many), TokenizationOptions()) == [
        shown
    ] * len(many)


def test_the_event_loop_is_free_while_a_large_request_is_tokenised(load: Load) -> None:
    pipeline = load(max_answer_bytes=10**9, pending_answer_bytes=10**9)
    text = "word " * (pipeline.manifest.max_tokens * CHARACTERS_PER_TOKEN // 5)

    async def work() -> float:
        many: list[TextOrPair] = [(text, None)] * 60
        request = asyncio.create_task(pipeline.run(TOKENIZATION, many, TokenizationOptions()))
        longest, last = 0.0, time.perf_counter()
        while not request.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        assert len((await request).value) == 60
        begun = time.perf_counter()
        await pipeline.run(TOKENIZATION, [("word", None)], TokenizationOptions())
        assert time.perf_counter() - begun < 0.1
        return longest

    assert asyncio.run(work()) < 0.75


class Places(Task[Price, None, list[str]]):
    """Inputs are the prices that it claims, at first and exactly; answers where each step ran."""

    name = title = "places"

    def price(self, inputs: Sequence[Price], options: None, model: ServedModel) -> Price:
        return inputs[0]

    def plan(
        self, inputs: Sequence[Price], options: None, model: ServedModel, proceed: Proceed
    ) -> Plan[list[str]]:
        places = [threading.current_thread().name]

        def items() -> list[Any]:
            places.append(threading.current_thread().name)
            return []

        def answer(_: Sequence[Result]) -> list[str]:
            return [*places, threading.current_thread().name]

        return Plan(inputs[-1], items, answer, (False,))


@pytest.mark.parametrize("step", range(3), ids=["plan", "items", "answer"])
def test_each_step_of_a_large_request_is_done_beside_the_event_loop(
    cloze: Pipeline, step: int
) -> None:
    for large in (False, True):
        over = [0, 0, 0]
        over[step] += large
        price = Price(
            SMALL.characters + over[0], SMALL.tokens + over[1], SMALL.answer_bytes + over[2]
        )
        places = value_of(cloze, Places(), [price], None)
        beside = [not place.startswith(threading.main_thread().name) for place in places]
        assert beside == [large and number == step for number in range(3)]
        assert all(place.startswith("offload") for place in places if beside[places.index(place)])


Round = Callable[[int], None]


class InRounds(Task[int, Round, list[int]]):
    """Runs as many rounds of three items as its input says; answers the results of each round.

    Its options are told the number of each round that is over.
    """

    name = title = "in-rounds"

    def price(self, inputs: Sequence[int], options: Round, model: ServedModel) -> Price:
        return Price(1, 12 * inputs[0], 1)

    def plan(
        self, inputs: Sequence[int], options: Round, model: ServedModel, proceed: Proceed
    ) -> Plan[list[int]]:
        def rounds(found: list[int]) -> Plan[list[int]]:
            item = Item(model.tokenizer.assemble([5, 6]), SentenceVector("cls"))

            def answer(results: Sequence[Result]) -> list[int] | Plan[list[int]]:
                options(len(found))
                more = [*found, len(results)]
                return more if len(more) == inputs[0] else rounds(more)

            return Plan(Price(0, 12 * inputs[0], 1), lambda: [item] * 3, answer, (False,))

        return rounds([])


def test_a_task_in_rounds_holds_what_they_all_cost_until_they_are_computed(load: Load) -> None:
    pipeline = load()
    admission, held = admission_of(pipeline), list[int]()
    pipeline.start()
    answered = run_task(pipeline, InRounds(), [4], lambda _: held.append(admission.tokens))
    assert answered.value == [3] * 4
    assert held == [36, 24, 12, 0]
    assert (answered.usage.tokens, answered.price.tokens) == (48, 48)
    assert pipeline.stats().items_total == 12
    assert answered.usage.compute_s > 0
    assert is_empty(admission)


def test_a_task_in_rounds_is_refused_by_all_of_them_together(load: Load) -> None:
    pipeline = load(max_request_tokens=40)
    pipeline.start()
    assert run_task(pipeline, InRounds(), [3], lambda _: None).value == [3] * 3
    with pytest.raises(TooManyTokens):
        run_task(pipeline, InRounds(), [4], lambda _: None)


@pytest.mark.parametrize(("queue", "rounds"), [(40, 4), (12, 2), (8, 5)])
def test_rounds_of_more_tokens_than_the_queue_holds_are_fed_in_parts(
    load: Load, queue: int, rounds: int
) -> None:
    pipeline = load(queue_tokens=queue)
    admission, most = admission_of(pipeline), list[int]()
    pipeline.start()
    answered = run_task(pipeline, InRounds(), [rounds], lambda _: most.append(admission.tokens))
    assert answered.value == [3] * rounds
    assert answered.usage.tokens == 12 * rounds > queue
    assert max(most) <= queue
    assert is_empty(admission)


def test_a_round_of_nothing_is_over_at_once_also_where_the_others_are_fed(load: Load) -> None:
    pipeline = load(queue_tokens=40)
    pipeline.start()
    places = run_task(pipeline, Places(), [Price(1, 41, 1)], None)
    assert (len(places.value), places.usage.tokens) == (3, 0)
    assert is_empty(admission_of(pipeline))


@pytest.mark.parametrize("rounds", [2, 5])
def test_no_round_is_computed_after_the_deadline(load: Load, rounds: int) -> None:
    pipeline = load()
    pipeline.start()

    async def work() -> None:
        deadline = time.monotonic() + 2

        def late(number: int) -> None:
            if number == rounds - 2:
                time.sleep(max(0, deadline - time.monotonic()))

        with pytest.raises(DeadlineExceeded):
            await pipeline.run(InRounds(), [rounds], late, deadline=deadline)

    asyncio.run(work())
    assert pipeline.stats().items_total == 3 * (rounds - 1)
    assert is_empty(admission_of(pipeline))


@pytest.mark.parametrize("last", [0, 2])
def test_no_round_is_computed_for_a_client_that_left(load: Load, last: int) -> None:
    pipeline = load()
    pipeline.start()

    async def work() -> None:
        def leave(number: int) -> None:
            if number == last:
                pipeline.close()  # or a worker might be faster
                assert request.cancel()

        request = asyncio.create_task(pipeline.run(InRounds(), [4], leave))
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(work())
    stats = pipeline.stats()
    assert (stats.items_total, stats.cancelled_total, stats.queued_items) == (3 * (last + 1), 3, 0)
    assert is_empty(admission_of(pipeline))


def test_a_text_beyond_the_character_limit_is_not_tokenised(
    cloze: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tokenizer, "whole", None)
    too_long = "x" * (cloze.manifest.max_tokens * CHARACTERS_PER_TOKEN + 1)
    with pytest.raises(TooLong) as refused:
        value_of(cloze, TOKENIZATION, [("fine", None), (too_long, None)], TokenizationOptions())
    assert refused.value.param == "inputs[1]"


def test_an_empty_part_of_a_pair_is_refused_by_tokenize(cloze: Pipeline) -> None:
    with pytest.raises(EmptyText) as error:
        value_of(cloze, TOKENIZATION, [("a", "b"), ("hello", "")], TokenizationOptions())
    assert error.value.param == "inputs[1]"


def test_pairs_are_tokenised_with_segments(cloze: Pipeline) -> None:
    texts: list[TextOrPair] = [("hello", None), ("hello", "world")]
    single, pair = value_of(cloze, TOKENIZATION, texts, TokenizationOptions())
    assert single.tokens.tokens == ("[CLS]", "hello", "[SEP]")
    assert pair.tokens.token_type_ids == (0, 0, 0, 1, 1)


def test_a_model_without_a_head_refuses_its_task(minilm: Pipeline) -> None:
    lacking = [task for task in TASKS if task.head is not None]
    assert len(lacking) == 8
    for task in lacking:
        with pytest.raises(MissingHead, match=task.title):
            value_of(minilm, task, ["a [MASK]"], None)


def test_lists_of_none_and_of_too_many_are_refused(load: Load) -> None:
    pipeline = load(max_inputs=3)
    for task in TASKS:
        if supports(task, pipeline.manifest):
            with pytest.raises(EmptyText) as empty:
                value_of(pipeline, task, [], None)
            assert empty.value.param == "inputs"
            with pytest.raises(TooManyInputs):
                value_of(pipeline, task, [None] * 4, None)  # nobody has looked at one of them


def test_a_request_beyond_the_most_of_one_is_refused_for_good(load: Load) -> None:
    pipeline = load(queue_tokens=50, max_request_tokens=50)
    pipeline.start()
    with pytest.raises(TooManyTokens):
        value_of(pipeline, EMBED, HELLO * 20, EmbedOptions())
    # Whole words cost a run per piece: they count as what they cost.
    whole_word = FillMaskOptions(targets=[["antidisestablishmentarianism"]])
    with pytest.raises(TooManyTokens):
        value_of(pipeline, FILL_MASK, ["a [MASK]"], whole_word)
    assert run_task(pipeline, EMBED, HELLO * 10, EmbedOptions()).usage.tokens == 40


def test_an_estimate_refuses_nothing_for_good(load: Load) -> None:
    """Blanks are long and have no tokens: only the exact price tells."""
    pipeline = load(queue_tokens=1000, max_request_tokens=1000, max_answer_bytes=400_000)
    pipeline.start()
    blanks = " " * 4000
    many = run_task(pipeline, EMBED, [f"hello{blanks}world"] * 40, EmbedOptions())
    assert many.usage.tokens == 40 * 4
    filled = run_task(pipeline, FILL_MASK, [f"a{blanks * 10}[MASK]"], FillMaskOptions(top_k=100))
    assert len(filled.value[0][0]) == 100
    assert filled.price.answer_bytes < 100_000


def test_a_full_queue_refuses_before_tokenising(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = load(queue_tokens=4800)  # its workers are not started: what is queued stays

    async def work() -> None:
        waiting = asyncio.create_task(pipeline.run(EMBED, ["hello " * 400], EmbedOptions()))
        await queued(pipeline, 402)
        monkeypatch.setattr(Tokenizer, "pieces", None)
        begun = time.perf_counter()
        with pytest.raises(QueueFull) as full:
            await pipeline.run(EMBED, ["word " * 400] * 9, CUT)
        assert time.perf_counter() - begun < 0.05
        assert full.value.retry_after_s is not None
        assert full.value.retry_after_s >= 1
        assert admission_of(pipeline).tokens == 402  # nothing of it was kept
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert pipeline.stats().queued_tokens == 0
        assert is_empty(admission_of(pipeline))

    asyncio.run(work())


def admission_of(pipeline: Pipeline) -> Admission:
    return pipeline._resources.admission


def is_empty(admission: Admission) -> bool:
    held = (admission.tokens, admission.answer_bytes, admission.body_bytes, admission.requests)
    return held == (0, 0, 0, 0)


async def queued(pipeline: Pipeline, tokens: int) -> None:
    """Wait until so many tokens are in the queue."""
    async with asyncio.timeout(30):
        while pipeline.stats().queued_tokens != tokens:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)


def test_requests_of_one_turn_of_the_loop_count_against_each_other(load: Load) -> None:
    pipeline = load(queue_tokens=10)
    pipeline.start()

    async def work() -> None:
        runs = [pipeline.run(EMBED, HELLO, EmbedOptions()) for _ in range(5)]
        answers = await asyncio.gather(*runs, return_exceptions=True)
        refused = [isinstance(answer, QueueFull) for answer in answers]
        assert refused == [False] * 2 + [True] * 3

    asyncio.run(work())


def test_a_text_whose_run_would_take_too_much_memory_is_refused_with_the_setting(
    load: Load,
) -> None:
    pipeline, usual = load(run_bytes=16 << 20), load()
    most = pipeline.manifest.max_tokens
    assert most == pipeline.memory.longest < usual.manifest.max_tokens == 512
    pipeline.start()
    usual.start()
    longest = "so " * (most - 2)
    np.testing.assert_allclose(
        value_of(pipeline, EMBED, [longest], EmbedOptions()),
        value_of(usual, EMBED, [longest], EmbedOptions()),
        atol=SAMENESS,
    )
    with pytest.raises(TooLong) as error:
        run_task(pipeline, EMBED, [longest + "so"], EmbedOptions())
    assert error.value.param == "inputs[0]"
    assert error.value.message == (
        f"The text is longer than {most} tokens; shorten it, or set `truncate` to true. The model "
        f"reads 512 tokens, and {most} in the 16777216 bytes that a run may take on this server "
        "(--run-bytes)."
    )
    cut = run_task(pipeline, EMBED, [longest + "so"], CUT)
    assert (cut.usage.truncated, cut.usage.tokens) == ((True,), most)
    with pytest.raises(TooLong) as error:
        run_task(usual, EMBED, ["so " * 511], EmbedOptions())
    assert "run_bytes" not in error.value.message.replace("-", "_")


@pytest.mark.parametrize("most", [400_000, 1 << 20, 6 << 20])
def test_no_run_takes_more_than_it_may_from_the_start_on(
    load: Load, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    pipeline = load(run_bytes=most)
    runs: list[tuple[int, int, int, int]] = []
    plain = Session.run

    def run(session: Session, items: Sequence[Item]) -> list[Result]:
        lengths = [len(item.encoding) for item in items]
        masks = sum(item.output.masks for item in items)
        runs.append((len(items), max(lengths), sum(lengths), masks))
        return plain(session, items)

    monkeypatch.setattr(Session, "run", run)
    pipeline.warm()
    assert len(runs) > 3
    assert all(pipeline.memory.allows(*size) for size in runs)


def test_models_share_the_room_of_a_process(default_model: Path) -> None:
    shared = resources(queue_tokens=10)
    one, other = Pipeline(default_model, shared), Pipeline(default_model, shared)

    async def work() -> None:
        waiting = asyncio.create_task(one.run(EMBED, ["hello world " * 3], EmbedOptions()))
        await queued(one, 8)
        with pytest.raises(QueueFull):
            await other.run(EMBED, HELLO, EmbedOptions())
        waiting.cancel()

    asyncio.run(work())
    one.close()
    other.close()


def test_a_request_holds_what_it_costs_until_the_caller_lets_go(load: Load) -> None:
    pipeline = load()
    admission = admission_of(pipeline)

    async def work() -> None:
        reservation = admission.open()
        request = asyncio.create_task(
            pipeline.run(EMBED, ["hello world"] * 3, EmbedOptions(), reservation=reservation)
        )
        await queued(pipeline, 12)
        assert (admission.tokens, admission.requests) == (12, 1)
        pipeline.start()
        price = (await request).price
        # Its tokens have been computed; its answer is still to be sent.
        held = (admission.tokens, admission.answer_bytes, admission.requests)
        assert held == (0, price.answer_bytes, 1)
        assert price.answer_bytes > 0
        reservation.close()
        assert is_empty(admission)

    asyncio.run(work())


def test_one_text_at_fault_admits_nothing_of_its_request(load: Load) -> None:
    pipeline = load()

    async def work() -> None:
        with pytest.raises(TooLong) as error:
            await pipeline.run(EMBED, ["fine", "word " * 600], EmbedOptions())
        assert error.value.param == "inputs[1]"
        assert pipeline.stats().queued_items == 0
        assert is_empty(admission_of(pipeline))

    asyncio.run(work())


@pytest.mark.parametrize("texts", [["hello"], ["hello " * 400] * 9], ids=["small", "large"])
def test_a_deadline_that_passed_is_kept(load: Load, texts: list[str]) -> None:
    pipeline = load()
    pipeline.start()

    async def work() -> None:
        with pytest.raises(DeadlineExceeded):
            await pipeline.run(EMBED, texts, EmbedOptions(), deadline=time.monotonic() - 1)

    asyncio.run(work())
    assert pipeline.stats().items_total == 0
    assert is_empty(admission_of(pipeline))


def test_a_large_request_is_not_tokenised_after_its_deadline(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = load()
    monkeypatch.setattr(Tokenizer, "pieces", None)

    async def work() -> None:
        with pytest.raises(DeadlineExceeded):
            await pipeline.run(
                EMBED, ["hello " * 400] * 9, EmbedOptions(), deadline=time.monotonic()
            )

    asyncio.run(work())


def test_after_a_drain_nothing_is_admitted(load: Load) -> None:
    pipeline = load()
    pipeline.start()

    async def work() -> None:
        request = asyncio.create_task(pipeline.run(EMBED, ["hello"] * 30, EmbedOptions()))
        await asyncio.sleep(0)
        await admission_of(pipeline).drain()
        assert (await request).value.shape == (30, 384)
        with pytest.raises(Draining):
            await pipeline.run(EMBED, ["hello"], EmbedOptions())

    asyncio.run(work())


def test_a_large_request_that_was_admitted_is_answered_before_the_end(load: Load) -> None:
    pipeline = load()
    pipeline.start()

    async def work() -> None:
        texts = ["hello " * 20] * 30
        request = asyncio.create_task(pipeline.run(EMBED, texts, EmbedOptions()))
        while not pipeline.stats().batches_total:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.001)
        await admission_of(pipeline).drain()
        pipeline.close()
        assert (await request).value.shape == (30, 384)

    asyncio.run(work())


def test_candidates_are_bounded_by_the_vocabulary(load: Load) -> None:
    for asked, most in ((10**9, 30522), (7, 7)):
        model = load(max_top_k=asked).model
        FILL_MASK.check(["a [MASK]"], FillMaskOptions(top_k=most), model)
        with pytest.raises(InvalidParameter, match=f"from 1 to {most}"):
            FILL_MASK.check(["a [MASK]"], FillMaskOptions(top_k=most + 1), model)


def test_warming_and_counting_work_before_the_first_request(load: Load) -> None:
    pipeline = load(batch_tokens=64)
    pipeline.warm()
    assert pipeline.stats().batches_total == 0


def test_warming_runs_every_task_that_the_model_can_do(
    cloze: Pipeline,
    minilm: Pipeline,
    classifier: Callable[[str], Pipeline],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warmed: list[Sequence[OutputSpec]] = []

    def warm(sessions: Sessions, outputs: Sequence[OutputSpec], tokens: int) -> None:
        warmed.append(outputs)
        assert tokens == 512
        sessions.usual.warm(outputs, tokens)

    monkeypatch.setattr(Sessions, "warm", warm)
    pipelines = (cloze, minilm, *map(classifier, ("reviews", "names", "answers")))
    for pipeline in pipelines:
        pipeline.warm()
    kinds = [[type(output).__name__ for output in outputs] for outputs in warmed]
    embedded = ["SentenceVector", "TokenVectors", "SentenceVector"]
    assert kinds == [
        [*embedded, "MaskScores", "MaskScores", "PooledLogits"],
        embedded,
        [*embedded, "MaskScores", "MaskScores", "PooledLogits", "PooledLogits"],
        [*embedded, "TokenLogits"],
        [*embedded, "TokenLogits"],
    ]


def test_workers_are_as_many_as_asked_for_and_at_least_one() -> None:
    for device in (cpu_device(), GPU):
        assert worker_count(InferenceOptions(threads=3), device) == 3
    assert worker_count(InferenceOptions(intra_op=1024), cpu_device()) == 1


def test_a_gpu_has_two_workers_and_larger_batches_unless_told_otherwise() -> None:
    assert worker_count(InferenceOptions(), GPU) == 2
    assert batch_tokens(InferenceOptions(), cpu_device()) == 512
    assert batch_tokens(InferenceOptions(), GPU) == 8192
    assert batch_tokens(InferenceOptions(batch_tokens=64), GPU) == 64
    assert run_bytes(InferenceOptions(), cpu_device()) == 192 << 20
    assert run_bytes(InferenceOptions(), GPU) == 8 << 30
    assert run_bytes(InferenceOptions(run_bytes=64), GPU) == 64


def test_a_broken_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.json is missing"):
        Pipeline(tmp_path, resources())
