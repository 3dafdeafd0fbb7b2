"""A folder of model folders in, running pipelines by name out, and what phase the server is in.

Knows nothing of HTTP.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

from models.manifest import ManifestError
from server.errors import ModelNotFound, NotReady
from server.inference.pipeline import Pipeline, Resources

logger = logging.getLogger("cloze")


class Phase(StrEnum):
    """What the server is doing."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Registry:
    """The loaded models by name, one of which answers at the root."""

    def __init__(self) -> None:
        self.phase = Phase.LOADING
        self.default = ""
        self._pipelines: dict[str, Pipeline] = {}
        self._resources: Resources | None = None

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """The running pipelines, in the order of their names; empty until all are loaded."""
        return self._pipelines

    def pipeline(self, name: str | None) -> Pipeline:
        """Returns the named model's pipeline, or the default one's for None.

        Raises:
            NotReady: the models are still being loaded.
            ModelNotFound: no loaded model has this name.
        """
        if not self._pipelines:
            raise NotReady("The models are still being loaded; try again soon.", retry_after_s=1)
        try:
            return self._pipelines[self.default if name is None else name]
        except KeyError:
            raise ModelNotFound(
                "No model of this name is loaded; GET /v1/models lists those that are.",
                param="model",
            ) from None

    async def load(
        self, folder: Path, default: str | None, find_resources: Callable[[], Resources]
    ) -> None:
        """Verifies, loads and warms every model under `folder`, off the event loop.

        All on one thread, the search for a device included: denormals are flushed on the thread
        that opens the first session of a process and on those that it starts, and the workers of
        every model must be among them (`models.opening`).

        Raises:
            ManifestError: a model folder is missing, damaged or not what its manifest says.
            DeviceError: a model does not run on the device that was asked for.
        """
        found = model_folders(folder)
        if default is not None and default not in found:
            raise ManifestError(f"no model folder is named as the default model, {default!r}")
        with ThreadPoolExecutor(1, "opener") as opener:
            opening = asyncio.get_running_loop().run_in_executor
            resources = await opening(opener, find_resources)
            pipelines = {
                name: await opening(opener, _running, path, resources)
                for name, path in found.items()
            }
        self.default = default or next(iter(pipelines))
        self._pipelines = pipelines
        self._resources = resources
        if self.phase is Phase.LOADING:
            self.phase = Phase.READY

    async def drain(self) -> None:
        """Waits until every admitted request has its answer, then stops the workers."""
        self.phase = Phase.DRAINING
        if self._resources is None:
            return
        await self._resources.admission.drain()
        self._resources.offload.close(wait=False)
        for pipeline in self._pipelines.values():
            pipeline.close()


def _running(folder: Path, resources: Resources) -> Pipeline:
    try:
        pipeline = Pipeline(folder, resources)
        pipeline.start()
        pipeline.warm()
    except BaseException as error:
        error.add_note(f"while loading {folder.name}")
        raise
    ready = {
        "heads": pipeline.manifest.heads,
        "device": pipeline.device.name,
        "cost": str(pipeline.cost),
    }
    if pipeline.manifest.max_tokens < pipeline.readable:
        logger.warning("%s: %s", folder.name, pipeline.bounded)
    logger.info("model ready", extra={"model": folder.name, **ready})
    return pipeline


def model_folders(folder: Path) -> dict[str, Path]:
    """Lists the model folders under `folder` by name, sorted; `folder` may itself be one.

    Names that start with a dot or an underscore are not models.

    Raises:
        ManifestError: there is none.
    """
    if (folder / "manifest.json").exists():
        return {folder.resolve().name: folder}
    if not folder.is_dir():
        raise ManifestError(f"{folder} is not a folder")
    found = {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith((".", "_"))
    }
    if not found:
        raise ManifestError(f"{folder} holds no model folder")
    return found
