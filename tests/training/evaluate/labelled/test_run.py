"""The command: what is printed and written for each task, compared, drawn and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from tests.fine_tuned import OPINIONS, TOPICS
from tests.training.evaluate.labelled.conftest import TASKS, rows_of, write_rows
from training.__main__ import main
from training.evaluate.labelled.outcome import Confusion
from training.evaluate.labelled.picture import draw_confusion
from training.evaluate.labelled.report import largest

MEASURES = {
    "reviews": ["accuracy", "macro_f1"],
    "topics": ["micro_f1", "macro_f1", "exact_match", "micro_f1_best_thresholds"],
    "matches": ["micro_f1", "macro_f1", "exact_match", "micro_f1_best_thresholds"],
    "stars": ["spearman", "pearson", "rmse"],
    "names": ["accuracy", "macro_f1", "entity_precision", "entity_recall", "entity_f1"],
    "answers": ["exact_match", "f1"],
}


def evaluate(*arguments: str | Path) -> None:
    main(["evaluate", *map(str, arguments), "--threads", "1"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        evaluate(*arguments)
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize("name", TASKS)
def test_each_task_is_measured_and_written(
    classifiers: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(name)
    data = write_rows(tmp_path / "test.jsonl", rows)
    out, said = tmp_path / "figures.json", tmp_path / "said.jsonl"
    evaluate(
        classifiers / "checkpoints" / name, "--data", data, "--json", out, "--predictions", said
    )
    printed, document = capsys.readouterr().out, json.loads(out.read_text())
    assert list(document["figures"]) == MEASURES[name]
    for figure in document["figures"].values():
        assert f"| {figure['name']} | " in printed
        assert figure["low"] <= figure["value"] <= figure["high"] or name == "topics"
    assert f"### {name} on test.jsonl (fp32, {len(rows)} rows)" in printed
    assert str(tmp_path) not in printed + out.read_text(), "names, not places"
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    assert [line["row"] for line in lines] == [
        f"test.jsonl, line {n + 1}" for n in range(len(rows))
    ]
    assert all({"right", "found"} <= line.keys() for line in lines)
    if name != "stars":
        exact = document["figures"].get("exact_match", document["figures"]["accuracy"]
                                        if name == "reviews" else None)  # fmt: skip
        if exact:
            assert sum(line["correct"] for line in lines) / len(rows) == exact["value"]


def test_the_model_in_int8_is_compared_with_its_checkpoint_on_the_same_rows(
    classifiers: Path, int8_reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "test.jsonl", rows_of("reviews"))
    out = tmp_path / "figures.json"
    evaluate(
        int8_reviews, "--data", data, "--json", out,
        "--against", classifiers / "checkpoints" / "reviews",
    )  # fmt: skip
    printed, comparison = capsys.readouterr().out, json.loads(out.read_text())["comparison"]
    assert "### reviews on test.jsonl (int8, " in printed  # as its manifest names it
    assert "| measure | this | reviews (fp32) | difference | 95 % interval |" in printed
    assert comparison["other"] == "reviews (fp32)"
    assert [one["key"] for one in comparison["differences"]] == MEASURES["reviews"]
    assert comparison["rows"] == len(rows_of("reviews"))
    found = comparison["mcnemar"]
    gained = (found["only_this"] - found["only_other"]) / comparison["rows"]
    assert comparison["differences"][0]["interval"]["value"] == pytest.approx(gained)
    assert "McNemar's exact test: p = " in printed


def test_a_confusion_matrix_is_printed_and_drawn(
    classifiers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "test.jsonl", rows_of("reviews"))
    out, picture = tmp_path / "figures.json", tmp_path / "confusion.svg"
    evaluate(
        classifiers / "checkpoints" / "reviews", "--data", data, "--json", out, "--picture", picture
    )
    printed, confusion = capsys.readouterr().out, json.loads(out.read_text())["confusion"]
    assert confusion["labels"] == list(OPINIONS)
    for label, counts in zip(OPINIONS, confusion["counts"], strict=True):
        assert f"| {label} | {' | '.join(map(str, counts))} |" in printed
    texts = [text for text in ET.parse(picture).getroot().itertext() if text.strip()]  # noqa: S314
    assert set(OPINIONS) <= set(texts)
    assert {str(count) for counts in confusion["counts"] for count in counts} <= set(texts)
    first = picture.read_bytes()
    evaluate(classifiers / "checkpoints" / "reviews", "--data", data, "--picture", picture)
    assert picture.read_bytes() == first, "the same each time"


def test_labels_of_any_characters_are_drawn_as_they_are(tmp_path: Path) -> None:
    names = ("$5 & <more>", "日本語", "a" * 90, "_x^2$")
    counts = Confusion(names, np.arange(16).reshape(4, 4), "rows")
    draw_confusion(counts, "$ on $", tmp_path / "out.svg")
    root = ET.parse(tmp_path / "out.svg").getroot()  # noqa: S314
    texts = {text for text in root.itertext() if text.strip()}
    assert {names[0], names[1], names[3], "$ on $", "a" * 39 + "…"} <= texts


def test_many_labels_are_listed_by_their_largest_confusions(
    tmp_path: Path,
) -> None:
    counts = np.eye(40, dtype=np.int64) * 9
    counts[3, 7], counts[30, 2] = 4, 5
    confusion = Confusion(tuple(map(str, range(40))), counts, "rows")
    assert list(largest(confusion)) == [(30, 2), (3, 7)]
    draw_confusion(confusion, "many", tmp_path / "out.svg")
    assert (tmp_path / "out.svg").stat().st_size < 2_000_000


def test_thresholds_of_one_file_are_used_on_another(
    classifiers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of("topics")
    checkpoint = classifiers / "checkpoints" / "topics"
    dev, test = (write_rows(tmp_path / name, part) for name, part in
                 (("dev.jsonl", rows[::2]), ("test.jsonl", rows[1::2])))  # fmt: skip
    out, again = tmp_path / "dev.json", tmp_path / "test.json"
    evaluate(checkpoint, "--data", dev, "--json", out)
    evaluate(checkpoint, "--data", test, "--thresholds", out, "--json", again)
    assert "| label | average precision | threshold | best threshold |" in capsys.readouterr().out
    chosen = json.loads(out.read_text())["thresholds"]
    assert list(chosen) == list(TOPICS)
    assert json.loads(again.read_text())["thresholds_used"] == chosen


def test_what_fine_tuning_measured_is_measured_again(
    classifiers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of("reviews")
    train, dev = (write_rows(tmp_path / name, part) for name, part in
                  (("train.jsonl", rows[::2]), ("dev.jsonl", rows[1::2])))  # fmt: skip
    run = tmp_path / "run"
    main(["finetune", "sequence", str(classifiers / "checkpoints" / "reviews"), str(run),
          "--train", str(train), "--dev", str(dev), "--epochs", "2", "--rate", "1e-3",
          "--max-tokens", "16", "--threads", "1", "--device", "cpu"])  # fmt: skip
    out = tmp_path / "figures.json"
    evaluate(run, "--data", dev, "--max-tokens", "16", "--json", out)
    figures = json.loads(out.read_text())["figures"]
    measures = json.loads((run / "report.json").read_text())["measures"]
    assert {key: figure["value"] for key, figure in figures.items()} == pytest.approx(measures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--data", "{data}", "--picture", "{out}", "@stars"),
            "--picture draws which label is tak",
        ),
        (("--data", "{data}", "--thresholds", "{data}", "@reviews"), "--thresholds are of labels "),
        (("--data", "{data}", "--against", "{topics}", "@reviews"), "topics answers another task"),
        (("--data", "{data}", "--corpus", "x", "@reviews"), "--data is for a fine-tuned model"),
        (("--against", "{topics}", "@reviews"), "--against goes with --data"),
        (("--max-tokens", "9", "@reviews"), "--max-tokens goes with --data"),
        (
            ("--data", "{data}", "--picture", "none/x.svg", "@reviews"),
            "The folder of none/x.svg do",
        ),
        (("--data", "none.csv", "@reviews"), "none.csv cannot be read: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(
    classifiers: Path, tmp_path: Path, arguments: tuple[str, ...], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    *given, model = arguments
    name = model.removeprefix("@")
    places = {
        "data": write_rows(tmp_path / "test.jsonl", rows_of(name)),
        "out": tmp_path / "out.svg",
        "topics": classifiers / "checkpoints" / "topics",
    }
    line = [argument.format(**places) for argument in given]
    said = refused(capsys, classifiers / "checkpoints" / name, *line)
    assert message in said
    assert len(said.splitlines()) == 1
    assert not places["out"].exists()


def test_a_folder_that_is_no_model_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data: Any = write_rows(tmp_path / "test.jsonl", rows_of("reviews"))
    assert "holds no config.json" in refused(capsys, tmp_path, "--data", data)
