"""What each row of a classifier is called, beside what transformers makes of the same id2label."""

from typing import Any

import pytest
import transformers

from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.labels import with_labels
from tests.export.read.test_config import fields

CONFIG = EncoderConfig(67, 12, 3, 2, 20, 29, 2, "gelu")


@pytest.mark.parametrize(
    ("id2label", "labels"),
    [
        ({"1": "b", "0": "a"}, ("a", "b")),
        ({"0": 10, "1": -1}, ("10", "-1")),
        ({"00": "a", "01": "b"}, ("a", "b")),
        ({"0": "same", "1": "same"}, ("same", "same")),
        ({"0": "a", "2": "c"}, ("a", "LABEL_1")),  # two labels, so two rows
        ({"0": "a", "1": None}, ("a", "LABEL_1")),
        ({}, ("LABEL_0", "LABEL_1")),
        (None, ("LABEL_0", "LABEL_1")),
    ],
)
def test_two_rows_are_called_as_transformers_calls_them(
    id2label: dict[str, Any] | None, labels: tuple[str, ...]
) -> None:
    assert with_labels(CONFIG, fields(id2label=id2label), rows=2).labels == labels
    theirs = transformers.BertConfig(**{"id2label": id2label} if id2label else {}).id2label
    for row, label in enumerate(labels):
        # A row that has no name there either has its number here.
        assert str(theirs.get(row) or f"LABEL_{row}") == label


def test_gap_within_the_rows_is_numbered() -> None:
    labels = with_labels(CONFIG, fields(id2label={"0": "a", "3": "d"}), rows=4).labels
    assert labels == ("a", "LABEL_1", "LABEL_2", "d")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, "names 2 labels; the classifier has 3"),
        ({"id2label": {str(row): "a" for row in range(4)}}, "names 4 labels; .* has 3"),
        ({"id2label": {"1": "a", "2": "b", "3": "c"}}, "has no label 0"),
        ({"id2label": {"0": "a", "00": "b", "2": "c"}}, "names a label twice"),
        ({"id2label": {"a": "a", "b": "b", "c": "c"}}, "numbers for keys"),
        ({"id2label": {"-1": "a", "0": "b", "1": "c"}}, "numbers for keys"),
        ({"id2label": {"9" * 5000: "a"}}, "numbers for keys"),
        ({"id2label": ["a", "b", "c"]}, "numbers for keys"),
        ({"id2label": {"0": ["a"], "1": "b", "2": "c"}}, "text or whole numbers"),
        ({"id2label": {"0": True, "1": "b", "2": "c"}}, "text or whole numbers"),
        ({"id2label": {"0": 1.5, "1": "b", "2": "c"}}, "text or whole numbers"),
        ({"problem_type": "ranking"}, "problem_type in config.json is ranking; expected one"),
        ({"problem_type": 3}, "problem_type .* must be a string"),
    ],
)
def test_what_does_not_fit_three_rows_is_one_sentence(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ExportError, match=sentence):
        with_labels(CONFIG, fields(**changes), rows=3)
    assert with_labels(CONFIG, fields(**changes), rows=0) == CONFIG
