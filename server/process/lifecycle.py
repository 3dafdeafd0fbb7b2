"""What one server process does from its start to its end, beside answering requests.

It loads the models while probes are answered already, tells the other processes of its group what
it counts, and finishes the admitted work before it ends.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from models.manifest import ManifestError
from server.inference.model_registry import Registry
from server.inference.options import InferenceOptions
from server.inference.runtime.devices import Device, DeviceError, find_device
from server.metrics import Metrics
from server.process.shared_memory import Member
from server.process.statistics import POST_EVERY_S
from server.settings import Settings

logger = logging.getLogger("cloze")

Refusal = ManifestError | DeviceError | OSError
"""Why the server cannot serve: a model folder, or the device."""

# By the time the workers are stopped every request has its answer, if need be a 503; only a batch
# that is stuck can still be running.
_LAST_BATCH_S: Final = 2

_COLLECT_AFTER: Final = 10_000  # objects; Python's own habit is 700


class Lifecycle:
    """The life of one process; `lifespan` is the application's, as ASGI calls it."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        metrics: Metrics,
        member: Member | None,
        on_refused: Callable[[Refusal], None],
    ) -> None:
        """Takes part in the group that `member` is of, if there is one.

        Args:
            settings: all options.
            registry: is filled.
            metrics: what the process counts.
            member: of a process that is one of several.
            on_refused: called when a model folder or the device is; the server should stop then.
        """
        self._settings = settings
        self._registry = registry
        self._metrics = metrics
        self._member = member
        self._on_refused = on_refused

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Loads, serves while the caller stays inside, and drains."""
        # Loading goes on beside serving, so that probes are answered from the first moment.
        loading = asyncio.create_task(self._load())
        membership = asyncio.create_task(self._take_part(loading))
        if self._member is not None and self._member.late:
            await loading
        yield
        loading.cancel()
        await self._drain()
        membership.cancel()

    async def _load(self) -> None:
        settings = self._settings
        try:
            device = await asyncio.to_thread(find_device, settings.device)
            options = inference_options(settings, device)
            await self._registry.load(settings.models, settings.default_model, options)
        except (ManifestError, DeviceError, OSError) as error:
            self._on_refused(error)
            return
        # What is loaded stays. Left to the garbage collector it would be looked through again and
        # again, for tens of milliseconds each time, in which nothing is answered. Requests leave
        # hardly a cycle behind, so the collector may also come less often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)

    async def _take_part(self, loading: asyncio.Task[None]) -> None:
        """Tells the other processes that this one is ready, and what it counts."""
        await loading
        member = self._member
        if member is None or not self._registry.pipelines:
            return
        member.board.set_ready(member.place, ready=True)
        while True:
            self._metrics.post()
            await asyncio.sleep(POST_EVERY_S)

    async def _drain(self) -> None:
        try:
            await asyncio.wait_for(self._registry.drain(), _LAST_BATCH_S)
        except TimeoutError:
            logger.warning("a batch did not finish in time")


def inference_options(settings: Settings, device: Device) -> InferenceOptions:
    """Picks out what the inference layer is told."""
    return InferenceOptions(
        threads=settings.threads,
        intra_op=settings.intra_op,
        intra_op_alone=settings.intra_op_alone,
        batch_tokens=settings.batch_tokens,
        queue_tokens=settings.queue_tokens,
        max_items=settings.max_inputs,
        max_masks=settings.max_masks,
        max_targets=settings.max_targets,
        max_top_k=settings.max_top_k,
        device=device,
    )
