"""A sentence-transformers folder in, the modules that its modules.json lists out.

A chain that Cloze serves is a Transformer, then a Pooling, then any of `BEHIND_POOLING`; of a
cross-encoder, the Transformer alone; of a sparse encoder, a Transformer, called MLMTransformer by
earlier versions, and a SpladePooling. All others are refused by name. What a setting of these files
does, and which are refused, is listed in docs/supported-checkpoints.md, and in one table beside the
code that reads each file. Knows nothing of weights.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from export.errors import ExportError
from export.read.documents import Fields, read_json
from export.read.files import MODULES, is_there

TRANSFORMER, POOLING = "Transformer", "Pooling"
MLM_TRANSFORMER, SPLADE = "MLMTransformer", "SpladePooling"
DENSE, LAYER_NORM, DROPOUT, NORMALIZE = "Dense", "LayerNorm", "Dropout", "Normalize"
BEHIND_POOLING: Final = (DENSE, LAYER_NORM, DROPOUT, NORMALIZE)
# Fields of an entry: where the module is, and what it is called among the others.
_ENTRY: Final = ("type", "path", "idx", "name")


@dataclass(frozen=True)
class Module:
    """One entry of modules.json."""

    kind: str  # the class name: "Transformer", "Pooling", "Normalize"
    folder: Path
    path: str  # of the folder within the checkpoint, "" for the checkpoint itself

    def config(self, *, optional: bool = False) -> Fields:
        """Its config.json; no fields where the file may be absent and is.

        Raises:
            ExportError: it is missing, or no JSON object.
        """
        file = f"{self.path}/config.json".removeprefix("/")
        path = self.folder / "config.json"
        if is_there(path):
            return Fields.wrap(read_json(path), file)
        if optional:
            return Fields({}, file)
        raise ExportError(f"{MODULES} lists a {self.kind} in {self.path}, but {file} is missing.")


def read_modules(root: Path) -> tuple[Module, ...]:
    """The modules of a sentence-transformers folder in order, () for another folder.

    Raises:
        ExportError: a module is not one that Cloze serves, or its folder lies outside `root`.
    """
    if not is_there(root / MODULES):
        return ()
    entries = read_json(root / MODULES)
    if not isinstance(entries, list):
        raise ExportError(f"{MODULES} must hold a list of modules.")
    modules = tuple(_module(root, Fields.wrap(entry, MODULES)) for entry in entries)
    kinds = [module.kind for module in modules]
    served = kinds[:1] == [TRANSFORMER] and kinds[1:2] in ([], [POOLING])
    sparse = kinds in ([TRANSFORMER, SPLADE], [MLM_TRANSFORMER, SPLADE])
    if not sparse and not (served and set(kinds[2:]) <= set(BEHIND_POOLING)):
        raise ExportError(
            f"{MODULES} lists {', '.join(kinds) or 'nothing'}; Cloze serves a {TRANSFORMER}, then "
            f"a {POOLING}, then any of {', '.join(BEHIND_POOLING)}; or a {TRANSFORMER} and a "
            f"{SPLADE}."
        )
    if not (modules[0].folder).is_dir():
        raise ExportError(
            f"{MODULES} lists a {TRANSFORMER} in {modules[0].path}, which is missing."
        )
    names = [entry["name"] for entry in entries if "name" in entry]
    if len({str(name) for name in names}) < len(names):
        raise ExportError(f"{MODULES} gives one name to two modules, of which one would be lost.")
    return modules


def require_known(fields: Fields, known: Collection[str]) -> None:
    """Refuse a setting that nothing here knows: what it changes would be dropped unseen.

    Raises:
        ExportError: one has a value other than null, or an empty list or object.
    """
    for name, value in fields.values.items():
        if name not in known and not is_unset(value):
            raise ExportError(
                f"{fields.file} sets {name}, which Cloze does not know; without it the answers "
                "could be others than the model's."
            )


def is_unset(value: Any) -> bool:
    """Whether a setting is as good as absent.

    >>> [is_unset(value) for value in (None, {}, [], False, 0)]
    [True, True, True, False, False]
    """
    return value is None or (isinstance(value, dict | list) and not value)


def _module(root: Path, fields: Fields) -> Module:
    package, _, kind = fields.text("type").rpartition(".")
    if package.partition(".")[0] != "sentence_transformers":
        raise ExportError(f"{MODULES} asks for code of its own ({kind}), which is never run.")
    path = PurePosixPath(fields.text("path", ""))
    if path.is_absolute() or ".." in path.parts:
        raise ExportError(f"{MODULES} names a folder outside the checkpoint.")
    require_known(fields, _ENTRY)
    return Module(kind, root / path, "" if path == PurePosixPath() else str(path))
