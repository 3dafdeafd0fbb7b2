"""safetensors files in, one tensor at a time out, as stored.

Knows nothing of BERT. A `TensorSource` is what the key map reads from; Google's checkpoints have
another one in `export.read.tensorflow`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from export.errors import ExportError
from export.read.documents import Fields
from export.read.files import called, check_file, is_there

FLOATS = {"F64", "F32", "F16", "BF16"}
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class TensorSource(Protocol):
    """Named tensors, whose shapes are known before any is read."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of every tensor, by its key in the checkpoint."""
        ...

    def read(self, key: str) -> NDArray[Any]:
        """One tensor, in the floating-point type it is stored in; the caller owns the copy.

        Raises:
            ExportError: it is not stored as floating point, or its bytes are damaged.
        """
        ...


@dataclass(frozen=True)
class SafetensorsSource:
    """The tensors of one or several safetensors files, read from disk when asked for."""

    shapes: Mapping[str, tuple[int, ...]]
    files: Mapping[str, Any]  # key -> the open file that holds it, of a library without types

    def read(self, key: str) -> NDArray[Any]:
        """One tensor, as `TensorSource.read`."""
        stored = self.files[key].get_slice(key).get_dtype()
        if stored not in FLOATS:
            known = ", ".join(sorted(FLOATS))
            raise ExportError(f"{key} is stored as {stored}; expected one of {known}.")
        if stored == "BF16":
            # Imported for what it registers: without it numpy has no bfloat16 to return. Only here,
            # since whoever writes float32 alone, as `training` does, need not install it.
            import ml_dtypes  # noqa: F401, PLC0415
        try:
            tensor: NDArray[Any] = self.files[key].get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise ExportError(f"{key} cannot be read ({_one_line(error)}).") from None
        return tensor


def open_folder(folder: Path) -> SafetensorsSource | None:
    """The tensors of a folder, whether in one file or in several; None without any.

    Raises:
        ExportError: as `open_safetensors` and `open_sharded`.
    """
    if is_there(folder / SINGLE):
        return open_safetensors([folder / SINGLE])
    return open_sharded(folder / INDEX) if is_there(folder / INDEX) else None


def open_safetensors(paths: Iterable[Path]) -> SafetensorsSource:
    """The tensors of all `paths` together.

    Raises:
        ExportError: a file is damaged, or two hold the same key.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    files: dict[str, Any] = {}
    for path in paths:
        file = _open(path)
        for key in file.keys():  # noqa: SIM118 (it is no mapping)
            if key in shapes:
                raise ExportError(f"{called(path)} holds {key}, and so does another file.")
            shapes[key] = tuple(file.get_slice(key).get_shape())
            files[key] = file
    return SafetensorsSource(shapes, files)


def open_sharded(index: Path) -> SafetensorsSource:
    """The tensors of the files that `model.safetensors.index.json` names.

    Raises:
        ExportError: a file is missing or damaged, or index and files list different keys.
    """
    source = open_safetensors(shard_paths(index))
    listed = set(Fields.of(index).mapping("weight_map"))
    if odd := sorted(listed ^ set(source.shapes)):
        side = "lists" if odd[0] in listed else "does not list"
        raise ExportError(f"{called(index)} {side} {odd[0]}, at odds with the files beside it.")
    return source


def shard_paths(index: Path) -> list[Path]:
    """The files that an index names, each beside it.

    Raises:
        ExportError: a name leads out of the folder, or a file is missing.
    """
    names = sorted(set(Fields.of(index).mapping("weight_map").values()))
    if not names:
        raise ExportError(f"{called(index)} names no files in its weight_map.")
    for name in names:
        if Path(name).name != name:
            raise ExportError(f"{called(index)} names a file outside its folder.")
        if not is_there(index.parent / name):
            raise ExportError(f"{name} is missing; {called(index)} says it holds weights.")
    return [index.parent / name for name in names]


def _open(path: Path) -> Any:
    check_file(path)  # the library calls any file that it cannot open a missing one
    try:
        # pread: a mapped file would count towards resident memory as it is read.
        return safe_open(path, framework="np", backend="pread")
    except (SafetensorError, OSError) as error:
        raise ExportError(
            f"{called(path)} is damaged or was cut short ({_one_line(error)})."
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
