"""Pickled weights (`pytorch_model.bin`) in, a `TensorSource` out, by way of another process.

A pickle can ask for code to be run. It is therefore read only on request, with torch's
weights-only reader, in a child process that has no secrets in its environment and, where the
kernel allows it, no network; what comes back is safetensors.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from export.errors import ExportError
from export.read.files import called, check_file, is_there
from export.read.tensors import SafetensorsSource, open_safetensors, shard_paths

SINGLE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
PICKLES = (SINGLE, INDEX, "pytorch_model-*-of-*.bin")
_CHILD = Path(__file__).with_name("unpickle.py")


def open_pickles(folder: Path) -> SafetensorsSource | None:
    """The tensors of a folder's pickled files, converted first; None without any.

    Raises:
        ExportError: torch is not installed, or a file is no plain pickle of tensors.
    """
    single, index = folder / SINGLE, folder / INDEX
    if not is_there(single) and not is_there(index):
        return None
    paths = [single] if is_there(single) else shard_paths(index)
    # The open files outlive their names: nothing is left behind, however the export ends.
    with TemporaryDirectory(prefix="cloze-export-") as scratch:
        return open_safetensors([convert(path, Path(scratch)) for path in paths])


def convert(pickle: Path, folder: Path) -> Path:
    """A pickle's tensors, as safetensors in `folder`.

    Raises:
        ExportError: as `open_pickles`.
    """
    check_file(pickle)
    converted = folder / f"{pickle.name}.safetensors"
    # -I: nothing from the environment or the working directory is imported.
    command = [sys.executable, "-I", str(_CHILD), str(pickle.resolve()), str(converted)]
    child = subprocess.run(command, env={}, capture_output=True, text=True, check=False)  # noqa: S603
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or ["the reading process died"])[-1]
        raise ExportError(f"{called(pickle)} cannot be read: {reason}")
    return converted
