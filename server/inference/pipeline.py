"""THE FLOW of a request, from checked inputs to an answer, for one model.

    check -> price -> admission -> plan (tokens) -> admission, exactly -> items -> batcher -> answer
                                                                          └── next round ──┘

Every task runs through `Pipeline.run`, whatever it is. Knows nothing of HTTP.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np

from models.embedding_tables import EmbeddingTables
from models.graph_file import require_graph
from models.manifest import SHORTEST_TEXT, TOKENIZER_FILE, load_manifest
from models.opening import refused
from models.pooling import POOLING_MODES
from models.tokenizer_file import require_tokenizer
from server.errors import EmptyText, MissingHead, TooLong, TooManyInputs
from server.inference.admission import Admission, Reservation
from server.inference.feeding import fed
from server.inference.offload import Offload, never_mind
from server.inference.options import batch_tokens, run_bytes, runs_at_once, worker_count
from server.inference.runtime.devices import Device, cpu_device, device_for
from server.inference.runtime.memory import RunMemory
from server.inference.runtime.packing import (
    LAST_LAYER,
    Encoding,
    Item,
    OutputSpec,
    SentenceVector,
    fits,
)
from server.inference.runtime.sessions import open_sessions
from server.inference.runtime.spared import Spared
from server.inference.scheduling.batcher import Batcher, TracedBatch
from server.inference.scheduling.cost import SHAPES, by_operations, fitted, timed_runs
from server.inference.scheduling.counters import BatcherStats
from server.inference.scheduling.queue import Flow
from server.inference.tasks import TASKS
from server.inference.tasks.task import Plan, Price, ServedModel, Task, supports
from server.inference.tokenizer import Tokenizer
from server.settings import InferenceOptions, Limits

In = TypeVar("In")
Options = TypeVar("Options")
Out = TypeVar("Out")
T = TypeVar("T")
PipelineStats = BatcherStats
Watch = Callable[[str, TracedBatch], None]

# What is done on the event loop itself, since a hop to a thread costs as much: some 2 ms at most.
SMALL: Final = Price(characters=2000, tokens=512, answer_bytes=64_000)
FOREVER_S: Final = 3600.0  # deadline of a caller that named none


class Usage(NamedTuple):
    """What one request cost."""

    tokens: int
    """Packed tokens computed."""
    truncated: tuple[bool, ...]
    tokenise_s: float
    queue_s: float
    compute_s: float
    begun: float
    """When it was known what is asked, in `time.monotonic()` seconds."""
    computed: float
    """When its last results came."""


class Answered(NamedTuple, Generic[Out]):
    """A task's answer and what it cost."""

    value: Out
    usage: Usage
    price: Price


class Resources:
    """What all models of a process share: its options, its room, its threads and its cores."""

    def __init__(
        self,
        options: InferenceOptions,
        limits: Limits,
        device: Device | None = None,
        admission: Admission | None = None,
        offload: Offload | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.options = options
        self.limits = limits
        self.device = device or cpu_device()
        self.admission = admission or Admission(limits)
        self.offload = offload or Offload()
        self.watch = watch
        """Hears of batches with traced requests in them: the model's name, then the batch."""
        self.slots = threading.Semaphore(worker_count(options, self.device))
        """Batches that may run at a time: together no more than one model alone would have."""


class Pipeline:
    """One model: its manifest, tokenizer, sessions and batcher.

    To be made and started on the thread that opened the process's first session, if any was: what
    that one has set for itself, its workers inherit (`models.opening`).
    """

    def __init__(self, folder: Path, resources: Resources) -> None:
        """Verify and load a model folder. Raises `ManifestError` when it must not be used."""
        manifest = load_manifest(folder)
        require_graph(folder, manifest)
        require_tokenizer(folder, manifest)
        self._folder = folder
        self.offload = resources.offload
        self._resources = resources
        device = device_for(resources.device, folder.name, manifest.precision)
        with refused(folder):
            sessions = open_sessions(folder, manifest, resources.options, device)
        self._sessions = sessions
        self.device = sessions.usual.device
        """Where the sessions run."""
        most, limits = run_bytes(sessions.options, self.device), resources.limits
        self.memory = RunMemory.of(manifest, most, limits.max_top_k)
        self.readable = manifest.max_tokens
        """Tokens of the longest text, if its run might take any memory."""
        self.manifest = self.memory.shortened(manifest, folder.name)
        self.model = ServedModel(
            self.manifest,
            Tokenizer(folder / TOKENIZER_FILE, self.manifest.tokenizer),
            EmbeddingTables.of(folder, self.manifest),
            limits,
            self.memory,
        )
        self.cost = by_operations(self.manifest.architecture.hidden_size)
        """What batches are chosen by; measured while warming."""
        self._batcher = Batcher(
            sessions.usual.run,
            self.cost,
            workers=worker_count(sessions.options, self.device),
            cores=runs_at_once(sessions.options, self.device),
            batch_tokens=batch_tokens(sessions.options, self.device),
            allows=self.memory.allows,
            slots=resources.slots,
            run_alone=None if sessions.alone is None else sessions.alone.run,
            run_bulk=sessions.usual.run_aside,
            watch=None if resources.watch is None else partial(resources.watch, folder.name),
        )

    # --- the flow -----------------------------------------------------------------------------

    async def run(
        self,
        task: Task[In, Options, Out],
        inputs: Sequence[In],
        options: Options,
        *,
        deadline: float | None = None,
        reservation: Reservation | None = None,
        trace: object = None,
        request_id: bytes = b"",
    ) -> Answered[Out]:
        """Answer `inputs` by `task`.

        `deadline` is in `time.monotonic()` seconds. A `reservation` is the caller's to close, once
        the answer has been sent; without one, what the request held is free when this returns.
        Whoever watches batches gets the `trace` of each request in them that has one; the log
        names the request by its `request_id`, where a run fails.

        Raises:
            ClozeError: it cannot be answered, or not now.
        """
        if reservation is None:
            with closing(self._resources.admission.open()) as own:
                return await self.run(
                    *(task, inputs, options),
                    deadline=deadline,
                    reservation=own,
                    trace=trace,
                    request_id=request_id,
                )
        begun = time.monotonic()
        until = begun + FOREVER_S if deadline is None else deadline
        self._require(task, len(inputs))
        task.check(inputs, options, self.model)
        estimate = task.price(inputs, options, self.model)
        reservation.admit(estimate.within(self.model.limits), self._batcher.wait_s)
        with self._explained():
            if estimate.characters <= SMALL.characters:
                plan = task.plan(inputs, options, self.model, never_mind)
            else:
                plan = await self.offload.run(
                    lambda proceed: task.plan(inputs, options, self.model, proceed), until
                )
        reservation.admit(plan.price, self._batcher.wait_s)
        # Round by round; where all together are more than the queue holds, each is fed in parts.
        price, flow = plan.price, Flow(plan.price.tokens, trace=trace, request_id=request_id)
        in_parts = price.tokens > self._resources.limits.queue_tokens
        value: Out | Plan[Out] = plan
        since = begun
        tokens, tokenise_s, queue_s, compute_s = 0, 0.0, 0.0, 0.0
        while isinstance(value, Plan):
            if price.tokens <= SMALL.tokens:
                items = value.items()
            else:
                items = await self._aside(value.items, until)
            tokenise_s += time.monotonic() - since
            if in_parts and items:
                submit = partial(self._batcher.submit, flow=flow)
                completed = await fed(submit, items, until, reservation)
            else:
                completed = await self._batcher.submit(items, until, reservation.computed, flow)
            since = time.monotonic()
            tokens += completed.tokens
            queue_s += completed.queue_s
            compute_s += completed.compute_s
            if price.answer_bytes <= SMALL.answer_bytes:
                value = value.answer(completed.results)
            else:
                value = await self._aside(partial(value.answer, completed.results), until)
        usage = Usage(tokens, plan.truncated, tokenise_s, queue_s, compute_s, begun, since)
        return Answered(value, usage, price)

    async def _aside(self, work: Callable[[], T], until: float) -> T:
        """Do what takes long beside the event loop."""
        return await self.offload.run(lambda _: work(), until)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Add to the refusal of a long text that the model could read more than its runs may."""
        try:
            yield
        except TooLong as error:
            if self.manifest.max_tokens == self.readable:
                raise
            raise TooLong(f"{error.message} {self.bounded}", param=error.param) from None

    @property
    def bounded(self) -> str:
        """Why texts are shorter here than the model reads them."""
        return (
            f"The model reads {self.readable} tokens, and {self.manifest.max_tokens} in the "
            f"{self.memory.most} bytes that a run may take on this server (--run-bytes)."
        )

    def _require(self, task: Task[In, Options, Out], count: int) -> None:
        if not task.able(self.manifest):
            raise MissingHead(f"The model's checkpoint {task.lack(self.manifest)}.")
        if count == 0:
            raise EmptyText("The list of inputs is empty.", param="inputs")
        most = self._resources.limits.max_inputs
        if count > most:
            raise TooManyInputs(f"A request may hold {most} inputs; split it.", param="inputs")

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the workers."""
        self._batcher.start()

    def warm(self) -> None:
        """Run every head once, so that the first request is as fast as the rest (blocking).

        Then measure what runs cost. One that stays on its thread is measured in that thread's own
        time, which is blind to whatever else starts up on the machine.

        Raises:
            ManifestError: the graph does not compute what the manifest says.
        """
        options = self._sessions.options
        budget = batch_tokens(options, self.device)
        longest = min(self.manifest.max_tokens, budget)
        supported = [task for task in TASKS if supports(task, self.manifest)]
        outputs = [output for task in supported if (output := task.sample()) is not None]
        fills = any(output.masks for output in outputs)
        shapes = [one for one in SHAPES if one.length <= longest and fills >= one.masked]
        shapes = [one for one in shapes if self.memory.allows(*one.size)]
        alone = self.device.name == "cpu" and options.intra_op == 1
        clock = time.thread_time if alone else time.perf_counter
        with refused(self._folder):
            self._read_everything(outputs)
            if tokens := self._warming_tokens(outputs, budget):
                self._sessions.warm(outputs, tokens)
            self.cost = fitted(timed_runs(self._sessions.usual.run, shapes, clock)) or self.cost
        self._batcher.weigh_by(self.cost)
        self._sessions.forget_spared()

    def _warming_tokens(self, outputs: Sequence[OutputSpec], most: int) -> int:
        """Tokens of one run of all outputs, `most` or as many as it may have; 0 if none may."""
        texts, masks = len(outputs), sum([output.masks for output in outputs])
        tokens = most
        while tokens >= 2 * texts:
            longest = min(tokens // texts, self.readable)
            if self.memory.allows(texts, longest, texts * longest, masks):
                return tokens
            tokens //= 2
        return 0

    def _read_everything(self, outputs: Sequence[OutputSpec]) -> None:
        """Run the last word of the vocabulary once for all that can be read of a text."""
        ids = np.full(SHORTEST_TEXT, self.manifest.architecture.vocab_size - 1)
        encoding = Encoding(ids, np.zeros_like(ids))
        layers = (LAST_LAYER, *self.manifest.layers)
        vectors = [SentenceVector(mode, layer) for mode in POOLING_MODES for layer in layers]
        vectors.append(SentenceVector.usual(self.manifest.pooling))
        items = [Item(encoding, output) for output in (*outputs, *vectors)]
        hidden = self.manifest.architecture.hidden_size
        sizes = {
            "hidden": hidden,
            "labels": len(self.manifest.labels),
            "vector": self.manifest.pooling.width(hidden),
        }
        results = [
            one for part in self.memory.parts(items) for one in self._sessions.usual.run(part)
        ]
        for item, result in zip(items, results, strict=True):
            if not fits(result, item.output, **sizes):
                raise ValueError(f"no finite answer of the right shape to {item.output}")

    def close(self) -> None:
        """Stop the workers after their present batch."""
        self._batcher.close()

    def stats(self) -> PipelineStats:
        """Counters and the state of the queue."""
        return self._batcher.stats()

    def spared(self) -> Spared:
        """What was not computed since it was warm, and would have been with padding."""
        return self._sessions.spared()
