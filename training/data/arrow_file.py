"""A Parquet file, or a folder that `datasets` saved, in; its rows as records out.

Numbers that stand for a class by its name (`ClassLabel`) become that name: `datasets` writes the
names beside the data, in the schema of a Parquet file or in the folder's dataset_info.json.
"""

import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.data.record import Record
from training.errors import TrainingError

PARQUET_MAGIC = b"PAR1"
STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


def parquet_records(path: Path) -> Iterator[Record]:
    """The rows of a Parquet file."""
    arrow, parquet = _module("pyarrow", path), _module("pyarrow.parquet", path)
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise TrainingError(f"{path} is damaged Parquet, or not Parquet: {_said(error)}.") from None
    stored = (table.schema.metadata or {}).get(b"huggingface", b"{}")
    features = _document(stored, path.name).get("info", {}).get("features", {})
    yield from _records(table, path.name, 0, features)


def folder_records(folder: Path) -> Iterator[Record]:
    """The rows of a folder: one split that `datasets` saved, or files of Parquet."""
    if (folder / STATE).is_file():
        yield from _saved(folder)
        return
    if (folder / SPLITS).is_file():
        splits = _document((folder / SPLITS).read_bytes(), SPLITS).get("splits", [])
        raise TrainingError(
            f"{folder} holds the splits {', '.join(map(str, splits))}; "
            f"name the folder of one, such as {folder / str(next(iter(splits), 'train'))}."
        )
    files = sorted(folder.glob("*.parquet"))
    kinds = sorted({path.stem.partition("-")[0] for path in files})
    if len(kinds) > 1:
        raise TrainingError(f"{folder} holds files of {', '.join(kinds)}; name one of its files.")
    if not files:
        raise TrainingError(
            f"{folder} is a folder with neither a split that `datasets` saved ({STATE}) nor files "
            "of Parquet."
        )
    for path in files:
        yield from parquet_records(path)


def _saved(folder: Path) -> Iterator[Record]:
    """A folder of `Dataset.save_to_disk`: files of Arrow's stream format, in the order of STATE."""
    arrow = _module("pyarrow", folder)
    state = _document((folder / STATE).read_bytes(), STATE)
    info = folder / INFO
    features = _document(info.read_bytes(), INFO).get("features") if info.is_file() else None
    before = 0
    for entry in state.get("_data_files", []):
        path = folder / str(entry.get("filename"))
        try:
            with arrow.memory_map(str(path)) as source:
                table = arrow.ipc.open_stream(source).read_all()
        except (arrow.ArrowException, OSError) as error:
            raise TrainingError(f"{path} cannot be read: {_said(error)}.") from None
        yield from _records(table, folder.name, before, features or {})
        before += table.num_rows


def _records(table: Any, name: str, before: int, features: Mapping[str, Any]) -> Iterator[Record]:
    """The rows of a table, counted from 1 behind `before` others."""
    classes = {field: names for field in features if (names := _names(features[field]))}
    number = before
    for batch in table.to_batches():
        for row in batch.to_pylist():
            number += 1
            place = f"{name}, row {number}"
            for field, names in classes.items():
                row[field] = _named(row.get(field), names, f"{place}: {field}")
            yield Record(row, place)


def _names(feature: Any) -> list[str] | None:
    """The names of a class label, or of a list of them.

    >>> _names({"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "List"})
    ['O', 'B-PER']
    """
    if isinstance(feature, list) and feature:
        return _names(feature[0])
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    return _names(feature.get("feature"))


def _named(value: Any, names: list[str], place: str) -> Any:
    """A class's number, or a list of them, by name."""
    if isinstance(value, list):
        return [_named(entry, names, place) for entry in value]
    if not isinstance(value, int):
        return value
    if not 0 <= value < len(names):
        held = " (-1 is what stands where a label is held back)" if value == -1 else ""
        raise TrainingError(
            f"{place} is {value}{held}; its {len(names)} classes are 0 to {len(names) - 1}."
        )
    return names[value]


def _module(name: str, path: Path) -> Any:
    """One of pyarrow's, which takes a third of a second to load and only these forms need."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise TrainingError(
            f"{path} is read by the package pyarrow, which is not installed; requirements/"
            "training.txt has it."
        ) from None


def _document(text: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        raise TrainingError(f"{name} is not JSON.") from None
    return document if isinstance(document, dict) else {}


def _said(error: Exception) -> str:
    """The first line of a library's message."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "no reason"
