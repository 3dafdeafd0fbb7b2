"""Parquet, and folders as `datasets` 5 saves them, with classes by number and by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from training.data.arrow_file import folder_records, parquet_records
from training.data.read import read_rows
from training.errors import TrainingError
from training.finetune.data import SequenceExample, TokenExample

ROWS = {"text": ["glad", "sad", "calm"], "label": [2, 0, 2]}
CLASSES = {"names": ["down", "level", "up"], "_type": "ClassLabel"}
FEATURES = {"text": {"dtype": "string", "_type": "Value"}, "label": CLASSES}
TAGS = {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "List"}


def write_parquet(path: Path, rows: dict[str, Any], features: Any = None) -> Path:
    table = pa.table(rows)
    if features:
        said = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": said})
    parquet.write_table(table, path)
    return path


def save_dataset(folder: Path, rows: dict[str, Any], features: Any, files: int = 2) -> Path:
    """As `Dataset.save_to_disk`: the stream format of Arrow in some files, and two of JSON."""
    folder.mkdir(parents=True)
    table = pa.table(rows)
    names = []
    for number in range(files):
        names.append(f"data-{number:05d}-of-{files:05d}.arrow")
        part = table.slice(number, table.num_rows if number == files - 1 else 1)
        with pa.ipc.new_stream(str(folder / names[-1]), table.schema) as writer:
            writer.write_table(part)
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name} for name in names], "_split": "train"})
    )
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def test_numbers_of_classes_become_names_where_they_have_some(tmp_path: Path) -> None:
    named = parquet_records(write_parquet(tmp_path / "a.parquet", ROWS, FEATURES))
    assert [record.fields["label"] for record in named] == ["up", "down", "up"]
    bare = parquet_records(write_parquet(tmp_path / "b.parquet", ROWS))
    assert [record.fields["label"] for record in bare] == [2, 0, 2]


@pytest.mark.parametrize("files", [1, 2, 3])
def test_saved_split_is_read_in_the_order_of_its_files(tmp_path: Path, files: int) -> None:
    folder = save_dataset(tmp_path / "train", ROWS, FEATURES, files)
    rows = read_rows(folder, SequenceExample.ROLES)
    found = [SequenceExample.of(record) for record in rows.records]
    assert [(one.text, one.label) for one in found] == [("glad", "up"), ("sad", "down"),
                                                        ("calm", "up")]  # fmt: skip
    assert [one.place for one in found] == ["train, row 1", "train, row 2", "train, row 3"]


def test_lists_of_classes_are_named_one_by_one(tmp_path: Path) -> None:
    rows = {"tokens": [["Ada", "came"], ["so"]], "ner_tags": [[1, 0], [0]]}
    path = write_parquet(tmp_path / "a.parquet", rows, {"ner_tags": TAGS})
    found = [TokenExample.of(one) for one in read_rows(path, TokenExample.ROLES).records]
    assert [example.labels for example in found] == [("B-PER", "O"), ("O",)]


def test_files_of_parquet_in_a_folder_are_one(tmp_path: Path) -> None:
    for number in range(2):
        write_parquet(tmp_path / f"train-{number:05d}-of-00002.parquet", ROWS)
    assert len(list(folder_records(tmp_path))) == 6
    write_parquet(tmp_path / "test-00000-of-00001.parquet", ROWS)
    with pytest.raises(TrainingError, match="holds files of test, train; name one of its files"):
        list(folder_records(tmp_path))


def test_folder_of_splits_asks_for_one(tmp_path: Path) -> None:
    save_dataset(tmp_path / "data" / "validation", ROWS, FEATURES)
    (tmp_path / "data" / "dataset_dict.json").write_text('{"splits": ["validation", "test"]}')
    expected = r"holds the splits validation, test; name the folder of one, such as .*data/valid"
    with pytest.raises(TrainingError, match=expected):
        list(folder_records(tmp_path / "data"))


def test_class_that_is_held_back_is_refused_by_its_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ROWS | {"label": [2, -1, 0]}, FEATURES)
    with pytest.raises(TrainingError, match=r"^a\.parquet, row 2: label is -1 \(-1 is what stands"):
        list(parquet_records(path))


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(TrainingError, match="is damaged Parquet, or not Parquet") as caught:
        list(parquet_records(path))
    assert "\n" not in str(caught.value)
    folder = save_dataset(tmp_path / "train", ROWS, FEATURES, 1)
    (folder / "data-00000-of-00001.arrow").write_bytes(b"none")
    with pytest.raises(TrainingError, match=r"arrow cannot be read"):
        list(folder_records(folder))
    (folder / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(TrainingError, match=r"arrow cannot be read"):
        list(folder_records(folder))


def test_any_other_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is a folder with neither a split that `datasets`"):
        list(folder_records(tmp_path))


def test_without_pyarrow_one_sentence_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TrainingError, match="the package pyarrow, which is not installed"):
        list(parquet_records(path))
