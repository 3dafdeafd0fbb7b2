"""A folder of model folders in, running pipelines out: by name, by alias, or by what is asked.

Also what phase the server is in.

Knows nothing of HTTP.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from models.manifest import ManifestError, ModelManifest
from server.errors import MissingHead, ModelNotFound, ModelRequired, NotReady
from server.inference.pipeline import Pipeline, Resources
from server.inference.tasks.task import Task, supports

logger = logging.getLogger("cloze")

SHIPPED: Final = "cloze-small-en"
"""What comes with Cloze: the default model among several, unless another one is named."""
_MOST_NAMED: Final = 20  # models in a message

AnyTask = Task[Any, Any, Any]


class Phase(StrEnum):
    """What the server is doing."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Registry:
    """The loaded models by name, of which one may be the default."""

    def __init__(self) -> None:
        self.phase = Phase.LOADING
        self.default = ""
        """Answers what names no model; empty where none of several is meant to."""
        self.aliases: Mapping[str, str] = {}
        """Other names of models, each with the model's own."""
        self._pipelines: Mapping[str, Pipeline] = {}
        self._resources: Resources | None = None

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """The running pipelines, in the order of their names; empty until all are loaded."""
        return self._pipelines

    def find(self, name: str | None = None, task: AnyTask | None = None) -> tuple[str, Pipeline]:
        """Returns the model that answers, by its own name.

        Args:
            name: of the model, or an alias; None for the default one, or else for the only one that
                can do the task.
            task: what is asked; None for what every model can do.

        Raises:
            NotReady: the models are still being loaded.
            ModelNotFound: no loaded model has this name.
            MissingHead: the named model cannot do this, or none can.
            ModelRequired: several can, and none of them is named or the default one.
        """
        self.require_loaded()
        own = self.default if name is None else self.aliases.get(name, name)
        pipeline = self._pipelines.get(own)
        if pipeline is None and name is not None:
            raise self.not_found()
        if pipeline is not None and (task is None or supports(task, pipeline.manifest)):
            return own, pipeline
        # One may be told more than the task needs of others, such as a label.
        told = [] if task is None else self._where(task.able)
        able = (self.able(task) or told) if name is None else told
        if own in able:
            return own, self._pipelines[own]
        if name is None and len(able) == 1:
            return able[0], self._pipelines[able[0]]
        if task is None or (name is None and able):
            raise ModelRequired(
                f"Several models can answer this: {_listed(able)}; name one, as `model` in the "
                "body or in the path.",
                param="model",
            )
        raise self._cannot(task, own)

    def able(self, task: AnyTask | None) -> list[str]:
        """The names of the models that can do a task."""
        return self._where(lambda manifest: task is None or supports(task, manifest))

    def _where(self, holds: Callable[[ModelManifest], bool]) -> list[str]:
        return [name for name, each in self._pipelines.items() if holds(each.manifest)]

    def require_loaded(self) -> None:
        """Raise `NotReady` until the models are loaded."""
        if not self._pipelines:
            raise NotReady("The models are still being loaded; try again soon.", retry_after_s=1)

    def not_found(self) -> ModelNotFound:
        """The error for a name that no loaded model has."""
        return ModelNotFound(
            f"No model of this name is loaded; loaded: {_listed(self._pipelines)}.", param="model"
        )

    def _cannot(self, task: AnyTask, own: str) -> MissingHead:
        """The error for a task that `own` cannot do; without one, that none of the models can."""
        lacking: dict[str, list[str]] = {}
        for name in [own] if own else self._pipelines:
            lack = task.lack(self._pipelines[name].manifest)
            lacking.setdefault(lack, []).append(name)
        told = [f"The checkpoint of {_listed(names)} {lack}." for lack, names in lacking.items()]
        able = self.able(task)
        answered = f"/{task.name} is answered by: {_listed(able)}."
        nobody = f"No loaded model answers /{task.name}."
        return MissingHead(" ".join([*told, answered if able else nobody]))

    def serve(
        self, pipelines: Mapping[str, Pipeline], default: str | None, aliases: Mapping[str, str]
    ) -> None:
        """Answers with running models from now on."""
        shipped = SHIPPED if SHIPPED in pipelines else ""
        self.default = default or (next(iter(pipelines)) if len(pipelines) == 1 else shipped)
        self.aliases = aliases
        self._pipelines = pipelines

    async def load(
        self,
        folder: Path,
        default: str | None,
        find_resources: Callable[[], Resources],
        aliases: Mapping[str, str] | None = None,
        begin: Callable[[str, int, int], None] = lambda _name, _place, _count: None,
    ) -> None:
        """Verifies, loads and warms every model under `folder`, off the event loop.

        All on one thread, the search for a device included: denormals are flushed on the thread
        that opens the first session of a process and on those that it starts, and the workers of
        every model must be among them (`models.opening`). `begin` hears of each before it is
        loaded: its name, which it is, and of how many.

        Raises:
            ManifestError: a model folder is missing, damaged or not what its manifest says, or an
                alias stands for none.
            DeviceError: a model does not run on the device that was asked for.
        """
        found, aliases = model_folders(folder), aliases or {}
        default = default and aliases.get(default, default)
        if default is not None and default not in found:
            raise ManifestError(f"no model folder is named as the default model, {default!r}")
        _require_models(aliases, found)
        with ThreadPoolExecutor(1, "opener") as opener:
            opening = asyncio.get_running_loop().run_in_executor
            resources = await opening(opener, find_resources)
            pipelines = {}
            for place, (name, path) in enumerate(found.items(), start=1):
                begin(name, place, len(found))
                pipelines[name] = await opening(opener, _running, path, resources)
        self.serve(pipelines, default, aliases)
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


def _listed(names: Collection[str]) -> str:
    """Names in a sentence, of very many only the first.

    >>> _listed(["a", "b"])
    'a, b'
    """
    shown = ", ".join(list(names)[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _require_models(aliases: Mapping[str, str], found: Collection[str]) -> None:
    for alias, model in aliases.items():
        if model not in found:
            raise ManifestError(f"no model folder is named as the alias {alias!r} says, {model!r}")
        if alias in found:
            raise ManifestError(f"{alias!r} is a model folder's own name, so it can be no alias")


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
        ManifestError: there is none, or one whose name no answer can hold.
    """
    if (folder / "manifest.json").exists():
        found = {folder.resolve().name: folder}
    elif folder.is_dir():
        found = {
            path.name: path
            for path in sorted(folder.iterdir())
            if path.is_dir() and not path.name.startswith((".", "_"))
        }
    else:
        raise ManifestError(f"{folder} is not a folder")
    if not found:
        raise ManifestError(f"{folder} holds no model folder")
    for name in found:
        if not name.isprintable():  # bytes that are no UTF-8 among them
            raise ManifestError(f"a model's folder needs a name that can be printed, not {name!a}")
    return found
