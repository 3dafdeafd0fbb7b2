"""THE FLOW of a request, from checked texts to an answer, for one model.

    texts -> plan (tokenise, items) -> batcher (queue, shared batches, session) -> finish -> answer

Every task is a `Plan` and runs through `Pipeline._run`. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.manifest import ModelManifest, load_manifest
from server.errors import EmptyText, MissingHead, TooLong, TooManyInputs
from server.inference.options import InferenceOptions, batch_tokens, runs_at_once, worker_count
from server.inference.runtime.cores import available_cores
from server.inference.runtime.devices import device_for
from server.inference.runtime.intra_op import AUTO, measured_session
from server.inference.runtime.session import Session, SessionOptions
from server.inference.scheduling.batcher import Batcher
from server.inference.scheduling.cost import SHAPES, by_operations, fitted, timed_runs
from server.inference.scheduling.counters import BatcherStats
from server.inference.tasks.embed import EmbedOptions, check_embed, plan_embed
from server.inference.tasks.entities import Entity
from server.inference.tasks.fill_mask import (
    Filling,
    FillMaskOptions,
    check_fill_mask,
    plan_fill_mask,
)
from server.inference.tasks.nsp import plan_nsp
from server.inference.tasks.plan import Limits, Plan
from server.inference.tasks.question_answering import (
    AnswerOptions,
    Found,
    Question,
    check_answer,
    plan_answers,
)
from server.inference.tasks.text_classification import (
    Label,
    PredictOptions,
    check_predict,
    plan_predict,
)
from server.inference.tasks.token_classification import (
    EntityOptions,
    check_entities,
    plan_entities,
)
from server.inference.tokenizer import CHARACTERS_PER_TOKEN, Tokenized, Tokenizer

T = TypeVar("T")
PipelineStats = BatcherStats

INLINE_CHARACTERS = 2000  # tokenised on the event loop; a hop to a thread costs as much
CHARACTERS_PER_ESTIMATE = 4  # of English per token, to judge room in the queue beforehand
FOREVER_S = 3600.0  # deadline of a caller that named none


@dataclass(frozen=True)
class Usage:
    """What one request cost."""

    tokens: int
    """Packed tokens computed."""
    truncated: tuple[bool, ...]
    tokenise_s: float
    queue_s: float
    compute_s: float


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A task's answer and what it cost."""

    value: T
    usage: Usage


class Pipeline:
    """One model: its manifest, tokenizer, session and batcher."""

    def __init__(
        self, folder: Path, options: InferenceOptions, slots: threading.Semaphore | None = None
    ) -> None:
        self.manifest: ModelManifest = load_manifest(folder)
        self._folder = folder
        self._tokenizer = Tokenizer(folder / "tokenizer.json")
        self._device = device_for(options.device, folder.name, self.manifest.precision)
        if options.intra_op == AUTO and self._device.name == "cpu":
            self._session, chosen = measured_session(self._load, available_cores())
            options = replace(options, intra_op=chosen)
        else:
            self._session = self._load(max(1, options.intra_op))
        self.device = self._session.device
        """Where the session runs."""
        self._alone: Session | None = None
        """For runs that have the machine to themselves, where they are run in another way."""
        cores = min(options.intra_op_alone, available_cores())
        if cores > options.intra_op and self.device.name == "cpu":
            self._alone = self._load(cores)
        self._options = options
        self.limits = Limits(
            max_tokens=self.manifest.max_tokens,
            max_embed_tokens=self.manifest.pooling.max_tokens,
            max_items=options.max_items,
            max_masks=options.max_masks,
            max_targets=options.max_targets,
            max_top_k=min(options.max_top_k, self._tokenizer.vocab_size),
            max_chars=self.manifest.max_tokens * CHARACTERS_PER_TOKEN,
        )
        self.cost = by_operations(self.manifest.architecture.hidden_size)
        """What batches are chosen by; measured while warming."""
        self._batcher = Batcher(
            self._session.run,
            self.cost,
            workers=worker_count(options, self.device),
            cores=runs_at_once(options, self.device),
            batch_tokens=batch_tokens(options, self.device),
            queue_tokens=options.queue_tokens,
            slots=slots,
            run_alone=None if self._alone is None else self._alone.run,
        )
        self._tokenisers = ThreadPoolExecutor(available_cores(), "tokenise")

    # --- tasks --------------------------------------------------------------------------------

    async def fill_mask(
        self,
        texts: Sequence[str],
        *,
        top_k: int | None = None,
        targets: Sequence[Sequence[str]] | None = None,
        normalize_targets: bool = False,
        truncate: bool = False,
        deadline: float | None = None,
    ) -> Answer[list[list[list[Filling]]]]:
        """Candidates, best first, for each mask of each text.

        `top_k` is per mask: 5 by default, all targets when `targets` (one list per text) are given.
        """
        self._require_head("mlm", "masked language model")
        options = FillMaskOptions(top_k, targets, normalize_targets, truncate)
        check_fill_mask(options, len(texts), self.limits)
        return await self._run(
            lambda: plan_fill_mask(self._tokenizer, texts, options, self.limits),
            [len(text) for text in texts],
            deadline,
        )

    async def nsp(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        truncate: bool = False,
        deadline: float | None = None,
    ) -> Answer[list[float]]:
        """The probability, for each pair, that the second text follows the first."""
        self._require_head("nsp", "next-sentence")
        return await self._run(
            lambda: plan_nsp(self._tokenizer, pairs, truncate, self.limits),
            [len(first) + len(second) for first, second in pairs],
            deadline,
        )

    async def embed(
        self,
        inputs: Sequence[str | Sequence[int]],
        *,
        truncate: bool = False,
        truncation_direction: str = "right",
        normalize: bool | None = None,
        dimensions: int | None = None,
        prompt_name: str | None = None,
        pooling: str | None = None,
        layer: int | None = None,
        deadline: float | None = None,
    ) -> Answer[NDArray[np.float32]]:
        """A vector per text, or per list of token ids: float32 (inputs, dimensions)."""
        options = EmbedOptions(
            truncate, truncation_direction, normalize, dimensions, prompt_name, pooling, layer
        )
        check_embed(options, self.manifest)
        return await self._run(
            lambda: plan_embed(self._tokenizer, inputs, options, self.manifest, self.limits),
            [len(text) for text in inputs],
            deadline,
        )

    async def predict(
        self,
        inputs: Sequence[tuple[str, str | None]],
        options: PredictOptions,
        *,
        deadline: float | None = None,
    ) -> Answer[list[list[Label]]]:
        """The labels of each text or pair with their scores, best first."""
        self._require_head("sequence", "sequence-classification")
        check_predict(options, inputs, self.manifest)
        return await self._run(
            lambda: plan_predict(self._tokenizer, inputs, options, self.manifest, self.limits),
            [len(first) + len(second or "") for first, second in inputs],
            deadline,
        )

    async def entities(
        self, texts: Sequence[str], options: EntityOptions, *, deadline: float | None = None
    ) -> Answer[list[list[Entity]]]:
        """What of each text has a label: words or runs of words, in their order."""
        self._require_head("token", "token-classification")
        check_entities(options, self.limits)
        return await self._run(
            lambda: plan_entities(self._tokenizer, texts, options, self.manifest, self.limits),
            [len(text) for text in texts],
            deadline,
        )

    async def answer(
        self,
        questions: Sequence[Question],
        options: AnswerOptions,
        *,
        deadline: float | None = None,
    ) -> Answer[list[list[Found]]]:
        """The passages that answer each question, best first."""
        self._require_head("qa", "question-answering")
        check_answer(options, self.limits)
        return await self._run(
            lambda: plan_answers(self._tokenizer, questions, options, self.limits),
            [len(question.question) + len(question.context) for question in questions],
            deadline,
        )

    async def tokenize(
        self, inputs: Sequence[str | tuple[str, str]], *, add_special_tokens: bool = True
    ) -> list[Tokenized]:
        """What the encoder would see of each text or pair; nothing is truncated."""
        self._require_count(len(inputs))
        pairs = [(text, None) if isinstance(text, str) else text for text in inputs]
        characters = [len(first) + len(second or "") for first, second in pairs]
        for index, count in enumerate(characters):
            if count > self.limits.max_chars:
                raise TooLong(
                    f"The text is longer than {self.limits.max_chars} characters; split it.",
                    param=f"inputs[{index}]",
                )
        return await self._aside(
            lambda: [
                self._tokenizer.show(
                    first, second, special=add_special_tokens, param=f"inputs[{index}]"
                )
                for index, (first, second) in enumerate(pairs)
            ],
            sum(characters),
        )

    # --- the flow -----------------------------------------------------------------------------

    async def _run(
        self, make_plan: Callable[[], Plan[T]], characters: Sequence[int], deadline: float | None
    ) -> Answer[T]:
        """Admit, plan, batch, finish. `characters` (or tokens) of each input are known unread."""
        self._require_count(len(characters))
        self._batcher.require_room(sum(characters) // CHARACTERS_PER_ESTIMATE)
        begun = time.perf_counter()
        plan = await self._aside(make_plan, sum(characters))
        tokenise_s = time.perf_counter() - begun
        self._require_fitting(plan)
        until = time.monotonic() + FOREVER_S if deadline is None else deadline
        completed = await self._batcher.submit(plan.items, until)
        value = await self._aside(lambda: plan.finish(completed.results), sum(characters))
        return Answer(
            value,
            Usage(
                completed.tokens,
                plan.truncated,
                tokenise_s,
                completed.queue_s,
                completed.compute_s,
            ),
        )

    async def _aside(self, work: Callable[[], T], characters: int) -> T:
        """Small texts here and now, larger ones on a thread, so that the event loop stays free."""
        if characters <= INLINE_CHARACTERS:
            return work()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._tokenisers, work)

    # --- checks -------------------------------------------------------------------------------

    def _require_head(self, head: str, title: str) -> None:
        if head not in self.manifest.heads:
            raise MissingHead(
                f"The model's checkpoint had no {title} head; ask a model that has one."
            )

    def _require_count(self, count: int) -> None:
        if count == 0:
            raise EmptyText("The list of inputs is empty.", param="inputs")
        if count > self.limits.max_items:
            raise TooManyInputs(
                f"A request may hold {self.limits.max_items} inputs; split it.", param="inputs"
            )

    def _require_fitting(self, plan: Plan[T]) -> None:
        tokens = sum([len(item.encoding.ids) for item in plan.items])
        if tokens > self._options.queue_tokens:
            raise TooManyInputs(
                f"A request may need {self._options.queue_tokens} tokens; split it.",
                param="inputs",
            )

    # --- life ---------------------------------------------------------------------------------

    def _load(self, intra_op: int) -> Session:
        return Session(self._folder, self.manifest, SessionOptions(intra_op, self._device))

    def start(self) -> None:
        """Start the workers."""
        self._batcher.start()

    def warm(self) -> None:
        """Run every head once, so that the first request is as fast as the rest (blocking).

        Then measure what runs cost. One that stays on its thread is measured in that thread's own
        time, which is blind to whatever else starts up on the machine.
        """
        budget = batch_tokens(self._options, self.device)
        longest = min(self.manifest.max_tokens, budget)
        fills = "mlm" in self.manifest.heads
        shapes = [one for one in SHAPES if one.length <= longest and fills >= one.masked]
        alone = self.device.name == "cpu" and self._options.intra_op == 1
        clock = time.thread_time if alone else time.perf_counter
        self._session.warm(budget)
        if self._alone is not None:
            self._alone.warm(budget)
        self.cost = fitted(timed_runs(self._session.run, shapes, clock)) or self.cost
        self._batcher.weigh_by(self.cost)

    async def drain(self) -> None:
        """Admit nothing more; return when all admitted requests are answered."""
        await self._batcher.drain()
        # Large answers may still be being put together.
        await asyncio.to_thread(self._tokenisers.shutdown)

    def close(self) -> None:
        """Stop the threads."""
        self._batcher.close()
        self._tokenisers.shutdown(wait=False, cancel_futures=True)

    def stats(self) -> PipelineStats:
        """Counters and the state of the queue."""
        return self._batcher.stats()


def load_pipeline(
    folder: Path, options: InferenceOptions, slots: threading.Semaphore | None = None
) -> Pipeline:
    """Verify and load a model folder (blocking). Raises `ManifestError` when it must not be used.

    Several models on one machine share `slots`, so that no more batches run than cores are there.
    """
    return Pipeline(folder, options, slots)
