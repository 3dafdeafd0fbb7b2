"""What a user calls a checkpoint in, the folder it lies in and what kind it is out.

Knows nothing of what its files hold, but tells what lies there where it is no checkpoint.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from export.errors import ExportError, told
from export.read import hub
from export.read.files import MODULES, is_there
from export.read.foreign import describe, names_in
from export.read.tensorflow.source import find_prefix
from models.manifest import MANIFEST_FILE

CONFIG = "config.json"
NEEDED = f"{CONFIG} with model.safetensors, or a TensorFlow checkpoint"


@dataclass(frozen=True)
class Place:
    """Where a checkpoint lies and what it is called."""

    folder: Path
    source: str
    prefix: Path | None = None  # of a TensorFlow checkpoint


def locate(source: str, *, revision: str | None, allow_pickle: bool) -> Place:
    """The place of a folder, a TensorFlow prefix or a hub id, which is fetched first.

    Raises:
        ExportError: there is none, or something else.
    """
    path = Path(source)
    if revision is not None and (path.exists() or not hub.is_hub_id(source)):
        raise ExportError("--revision chooses among the versions of a model on the hub.")
    if path.is_dir():
        with told(path, "read"), os.scandir(path):
            pass  # what may not be listed would look empty
        if any(is_there(path / name) for name in (CONFIG, MODULES)):
            return Place(path, path.resolve().name)
        if prefix := find_prefix(path):
            return Place(path, path.resolve().name, prefix)
        raise ExportError(_no_checkpoint(source, path))
    if prefix := find_prefix(path):
        return Place(prefix.parent, f"{prefix.parent.resolve().name}/{prefix.name}", prefix)
    if path.is_file():
        raise ExportError(f"{source} is a file; give the folder that holds {NEEDED}.")
    if path.exists() or not hub.is_hub_id(source):
        raise ExportError(f"{source} is neither a checkpoint folder nor the id of a model.")
    folder = hub.download(source, revision=revision, allow_pickle=allow_pickle)
    return Place(folder, source)


def _no_checkpoint(source: str, folder: Path) -> str:
    """The sentence about a folder without a configuration: what it holds instead."""
    names = list(names_in(folder))
    if MANIFEST_FILE in names:
        return f"{source} is a model folder of Cloze already; an export needs the checkpoint."
    inner = [name.removesuffix(f"/{CONFIG}") for name in names if name.endswith(f"/{CONFIG}")]
    there = f"a checkpoint in {', '.join(inner[:3])}" if inner else describe(names)
    return f"{source} holds {there or 'no checkpoint'}; Cloze needs {NEEDED}."
