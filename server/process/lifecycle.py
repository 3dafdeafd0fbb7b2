"""What one server process does from its start to its end, beside answering requests.

It loads the models while probes are answered already, tells the other processes of its group what
it counts, and finishes the admitted work before it ends.
"""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from models.manifest import ManifestError
from server.errors import ExitCode
from server.http.context import Service
from server.inference.pipeline import Resources
from server.inference.runtime.devices import DeviceError, find_device
from server.process.reception import Reception
from server.process.statistics import PUBLISH_EVERY_S

logger = logging.getLogger("cloze")

# By the time the workers are stopped every request has its answer, if need be a 503; only a batch
# that is stuck can still be running.
_LAST_BATCH_S: Final = 2

_COLLECT_AFTER: Final = 10_000  # objects; Python's own habit is 700


def _in_silence(_name: str, _place: int, _count: int) -> None:
    """Where nobody waits at a terminal."""


class Lifecycle:
    """The life of one process; `lifespan` is the application's, as ASGI calls it."""

    def __init__(
        self,
        service: Service,
        end: Callable[[ExitCode], None],
        reception: Reception | None = None,
    ) -> None:
        """Fills the registry of `service`; calls `end` when the server cannot serve.

        Where a person is at the terminal, `reception` tells how far it is.
        """
        self._service = service
        self._end = end
        self._reception = reception

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Loads, serves while the caller stays inside, and drains."""
        background, member = self._service.background, self._service.member
        # Loading goes on beside serving, so that probes are answered from the first moment.
        loading = background.start("loading", self._load())
        background.start("statistics", self._share_statistics(loading))
        refusing = self._service.settings.while_loading == "refuse"
        if refusing or (member is not None and member.is_replacement):
            await loading  # the server listens only then
        yield
        loading.cancel()
        await self._drain()
        background.cancel()
        if self._service.tracer is not None:
            await asyncio.to_thread(self._service.tracer.close)

    async def _load(self) -> None:
        if self._reception is None:
            await self._load_models()
            return
        telling = self._service.background.start("reception", self._reception.tick())
        try:
            await self._load_models(self._reception.loading)
        finally:
            telling.cancel()
        if self._service.registry.pipelines:
            self._reception.ready(self._service.registry)

    async def _load_models(self, begin: Callable[[str, int, int], None] = _in_silence) -> None:
        service, settings = self._service, self._service.settings

        def find_resources() -> Resources:
            device = find_device(settings.device)
            watch = None if service.tracer is None else service.tracer.batch
            return Resources(settings, settings, device, service.admission, service.offload, watch)

        try:
            await service.registry.load(
                settings.models, settings.default_model, find_resources, settings.aliases, begin
            )
        except DeviceError as error:
            self._make_room()
            logger.error("--device: %s", error)  # noqa: TRY400 (what a person can mend: no trace)
            self._end(ExitCode.BAD_SETTINGS)
        except (ManifestError, OSError) as error:
            self._make_room()
            logger.error("model refused: %s", error)  # noqa: TRY400 (as above)
            self._end(ExitCode.NOT_LOADED)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a panic of Rust code is no `Exception`
            reason = "; ".join([str(error), *getattr(error, "__notes__", [])])
            # No client has sent anything yet, so that a message gives nothing away.
            logger.exception("loading failed: %s: %s", type(error).__name__, reason)
            self._end(ExitCode.NOT_LOADED)
        else:
            _spare_garbage_collector()

    def _make_room(self) -> None:
        if self._reception is not None:
            self._reception.make_room()

    async def _share_statistics(self, loading: asyncio.Task[None]) -> None:
        """Tells the other processes that this one is ready, and what it counts."""
        await loading
        member = self._service.member
        if member is None or not self._service.registry.pipelines:
            return
        member.statistics.set_ready(member.rank, ready=True)
        while True:
            await asyncio.to_thread(self._service.metrics.publish)
            await asyncio.sleep(PUBLISH_EVERY_S)

    async def _drain(self) -> None:
        try:
            await asyncio.wait_for(self._service.registry.drain(), _LAST_BATCH_S)
        except TimeoutError:
            logger.warning("a batch did not finish in time")


def _spare_garbage_collector() -> None:
    """Leaves out what is loaded, which stays.

    It would be looked through again and again, for tens of milliseconds each time, in which nothing
    is answered. Requests leave hardly a cycle behind, so it may also come less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
