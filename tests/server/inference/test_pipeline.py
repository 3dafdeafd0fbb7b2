"""The whole flow of a request on real models, against sentence-transformers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
from server.inference.tasks.plan import Plan

from models.manifest import ManifestError
from server.errors import (
    DeadlineExceeded,
    Draining,
    EmptyText,
    MissingHead,
    QueueFull,
    TooLong,
    TooManyInputs,
)
from server.inference.options import InferenceOptions, batch_tokens, worker_count
from server.inference.pipeline import INLINE_CHARACTERS, Pipeline, load_pipeline
from server.inference.runtime.devices import choose_device, cpu_device
from server.inference.tasks.nsp import plan_nsp
from tests.server.inference.samples import TEXTS

PARITY = 1e-4  # largest difference of a number of a vector from sentence-transformers in float32
SAMENESS = 1e-5  # and from the same text in another request
HALF = 0.002  # of a number of a normalised vector in float16 from float32; 0.0003 was measured
GPU = choose_device("cuda", ["CUDAExecutionProvider"])

Load = Callable[..., Pipeline]


@pytest.fixture
def load(default_model: Path) -> Iterator[Load]:
    """`load(queue_tokens=50)`: the committed model with these options; not started."""
    loaded: list[Pipeline] = []

    def load(**options: Any) -> Pipeline:
        loaded.append(load_pipeline(default_model, InferenceOptions(**options)))
        return loaded[-1]

    yield load
    for pipeline in loaded:
        pipeline.close()


def test_embeddings_equal_those_of_sentence_transformers(
    minilm: Pipeline, minilm_checkpoint: Path
) -> None:
    model = sentence_transformers.SentenceTransformer(str(minilm_checkpoint), device="cpu")
    texts = [*TEXTS, "cut off at the end, " * 200, "\u6771" * 300]
    answer = asyncio.run(minilm.embed(texts, truncate=True))
    np.testing.assert_allclose(answer.value, model.encode(texts), atol=PARITY)
    assert answer.value.dtype == np.float32
    assert answer.usage.truncated[-2:] == (True, True)


def test_float16_embeds_nearly_as_float32_does(
    minilm: Pipeline, minilm_half_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = load_pipeline(minilm_half_model, InferenceOptions(threads=1))
    assert "minilm-half is float16" in caplog.text
    pipeline.start()
    half, whole = (asyncio.run(each.embed(TEXTS, truncate=True)) for each in (pipeline, minilm))
    pipeline.close()
    assert half.value.dtype == np.float32
    assert 0 < np.abs(half.value - whole.value).max() <= HALF


def test_tasks_that_run_together_get_the_answers_that_they_get_alone(cloze: Pipeline) -> None:
    pairs = [("He went home.", "It was late."), ("One.", "Two.")]
    masked = ["Paris is the [MASK] of France.", "[MASK] [MASK]"]
    vectors = asyncio.run(cloze.embed(TEXTS, truncate=True)).value
    probabilities = asyncio.run(cloze.nsp(pairs)).value
    fillings = asyncio.run(cloze.fill_mask(masked)).value

    async def together() -> None:
        requests = [
            work
            for _ in range(5)
            for work in (
                cloze.embed(TEXTS, truncate=True),
                cloze.nsp(pairs),
                cloze.fill_mask(masked),
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
    answer = asyncio.run(cloze.embed(["hello world", "hello"]))
    assert answer.usage.tokens == 4 + 3
    assert answer.usage.truncated == (False, False)
    assert answer.usage.compute_s > 0
    assert answer.usage.tokenise_s > 0
    assert answer.usage.queue_s >= 0


def test_short_and_long_requests_are_tokenised_alike(cloze: Pipeline) -> None:
    text = "A sentence of some length, for a request that is tokenised on a thread. "
    few, many = [text], [text] * (INLINE_CHARACTERS // len(text) + 5)
    alone = asyncio.run(cloze.embed(few)).value
    together = asyncio.run(cloze.embed(many)).value
    np.testing.assert_allclose(together, np.repeat(alone, len(many), axis=0), atol=SAMENESS)
    assert asyncio.run(cloze.tokenize(many)) == asyncio.run(cloze.tokenize(few)) * len(many)


def test_the_event_loop_is_free_while_a_large_request_is_tokenised(cloze: Pipeline) -> None:
    async def work() -> float:
        longest_text = "word " * (cloze.limits.max_chars // 5)
        request = asyncio.create_task(cloze.tokenize([longest_text] * 60))
        longest, last = 0.0, time.perf_counter()
        while not request.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        assert len(await request) == 60
        begun = time.perf_counter()
        await cloze.tokenize(["word"])
        assert time.perf_counter() - begun < 0.1
        return longest

    assert asyncio.run(work()) < 0.75


def test_answers_to_large_requests_are_put_together_beside_the_event_loop(
    cloze: Pipeline,
) -> None:
    def plan() -> Plan[str]:
        (item,) = plan_nsp(cloze._tokenizer, [("a", "b")], False, cloze.limits).items
        return Plan([item], lambda _: threading.current_thread().name, (False,))

    def place(characters: int) -> str:
        return asyncio.run(cloze._run(plan, [characters], None)).value

    assert place(INLINE_CHARACTERS) == threading.main_thread().name
    assert place(INLINE_CHARACTERS + 1).startswith("tokenise")


def test_a_text_beyond_the_character_limit_is_not_tokenised(cloze: Pipeline) -> None:
    too_long = "x" * (cloze.limits.max_chars + 1)
    with pytest.raises(TooLong) as refused:
        asyncio.run(cloze.tokenize(["fine", too_long]))
    assert refused.value.param == "inputs[1]"


def test_an_empty_part_of_a_pair_is_refused_by_tokenize(cloze: Pipeline) -> None:
    with pytest.raises(EmptyText):
        asyncio.run(cloze.tokenize([("hello", "")]))


def test_pairs_are_tokenised_with_segments(cloze: Pipeline) -> None:
    single, pair = asyncio.run(cloze.tokenize(["hello", ("hello", "world")]))
    assert single.tokens == ("[CLS]", "hello", "[SEP]")
    assert pair.token_type_ids == (0, 0, 0, 1, 1)


def test_a_model_without_a_head_refuses_its_task(minilm: Pipeline) -> None:
    with pytest.raises(MissingHead):
        asyncio.run(minilm.fill_mask(["a [MASK]"]))
    with pytest.raises(MissingHead):
        asyncio.run(minilm.nsp([("a", "b")]))


def test_lists_of_none_and_of_too_many_are_refused(load: Load) -> None:
    pipeline = load(max_items=3)
    for work in (pipeline.embed, pipeline.nsp, pipeline.fill_mask, pipeline.tokenize):
        with pytest.raises(EmptyText) as empty:
            asyncio.run(work([]))
        assert empty.value.param == "inputs"
        many: Any = [("a", "b")] * 4 if work == pipeline.nsp else ["[MASK]"] * 4
        with pytest.raises(TooManyInputs):
            asyncio.run(work(many))


def test_a_request_beyond_the_whole_queue_is_refused_for_good(load: Load) -> None:
    pipeline = load(queue_tokens=50)
    pipeline.start()
    with pytest.raises(TooManyInputs):
        asyncio.run(pipeline.embed(["hello world"] * 20))
    # Whole words cost a run per piece: they count as what they cost.
    with pytest.raises(TooManyInputs):
        asyncio.run(pipeline.fill_mask(["a [MASK]"], targets=[["antidisestablishmentarianism"]]))
    assert asyncio.run(pipeline.embed(["hello world"] * 10)).usage.tokens == 40


def test_a_full_queue_refuses_before_tokenising(load: Load) -> None:
    pipeline = load(queue_tokens=5000)  # its workers are not started: what is queued stays

    async def work() -> None:
        waiting = asyncio.create_task(pipeline.embed(["hello " * 400]))
        await asyncio.sleep(0.2)  # it is tokenised on a thread
        assert pipeline.stats().queued_tokens == 402
        begun = time.perf_counter()
        with pytest.raises(QueueFull) as full:
            await pipeline.embed(["word " * 400] * 300, truncate=True)
        assert time.perf_counter() - begun < 0.05
        assert full.value.retry_after_s is not None
        assert full.value.retry_after_s >= 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert pipeline.stats().queued_tokens == 0

    asyncio.run(work())


def test_one_text_at_fault_admits_nothing_of_its_request(load: Load) -> None:
    pipeline = load()

    async def work() -> None:
        with pytest.raises(TooLong) as error:
            await pipeline.embed(["fine", "word " * 600])
        assert error.value.param == "inputs[1]"
        assert pipeline.stats().queued_items == 0

    asyncio.run(work())


def test_a_deadline_that_passed_is_kept(load: Load) -> None:
    pipeline = load()
    pipeline.start()
    with pytest.raises(DeadlineExceeded):
        asyncio.run(pipeline.embed(["hello"], deadline=time.monotonic() - 1))
    assert pipeline.stats().items_total == 0


def test_after_a_drain_nothing_is_admitted(load: Load) -> None:
    pipeline = load()
    pipeline.start()

    async def work() -> None:
        request = asyncio.create_task(pipeline.embed(["hello"] * 30))
        await asyncio.sleep(0)
        await pipeline.drain()
        assert (await request).value.shape == (30, 384)
        with pytest.raises(Draining):
            await pipeline.embed(["hello"])

    asyncio.run(work())


def test_a_large_request_that_was_admitted_is_answered_before_the_end(load: Load) -> None:
    pipeline = load()
    pipeline.start()

    async def work() -> None:
        request = asyncio.create_task(pipeline.embed(["hello " * 20] * 30))
        while not pipeline.stats().batches_total:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.001)
        await pipeline.drain()
        pipeline.close()
        assert (await request).value.shape == (30, 384)

    asyncio.run(work())


def test_candidates_are_bounded_by_the_vocabulary(load: Load) -> None:
    assert load(max_top_k=10**9).limits.max_top_k == 30522
    assert load(max_top_k=7).limits.max_top_k == 7


def test_warming_and_counting_work_before_the_first_request(load: Load) -> None:
    pipeline = load(batch_tokens=64)
    pipeline.warm()
    assert pipeline.stats().batches_total == 0


def test_workers_are_as_many_as_asked_for_and_at_least_one() -> None:
    for device in (cpu_device(), GPU):
        assert worker_count(InferenceOptions(threads=3), device) == 3
    assert worker_count(InferenceOptions(intra_op=10**6), cpu_device()) == 1


def test_a_gpu_has_two_workers_and_larger_batches_unless_told_otherwise() -> None:
    assert worker_count(InferenceOptions(), GPU) == 2
    assert batch_tokens(InferenceOptions(), cpu_device()) == 512
    assert batch_tokens(InferenceOptions(), GPU) == 8192
    assert batch_tokens(InferenceOptions(batch_tokens=64), GPU) == 64


def test_a_broken_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.json is missing"):
        load_pipeline(tmp_path, InferenceOptions())
