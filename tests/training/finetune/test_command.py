"""Each task learnt from a toy, read back by transformers, and exported: the whole way of a user."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from models.heads import QA, SEQUENCE, TOKEN
from models.manifest import load_manifest
from tests.conftest import Serve
from tests.running_server import RunningServer
from tests.training.finetune import toy_tasks
from tests.training.finetune.conftest import Write
from tests.training.finetune.toy_tasks import MOODS
from training.checkpoint import load_encoder
from training.errors import TrainingError
from training.finetune.command import add_arguments, finetune, run
from training.finetune.inputs import InputBatch
from training.finetune.preparation import longest_input
from training.finetune.report import Report
from training.finetune.task import BertHead, Options
from training.model import BertModel

LOGITS = 2e-5  # largest absolute difference from transformers, of logits up to about 10

Example = dict[str, Any]


@dataclass(frozen=True)
class Toy:
    """A task, how it is learnt, and how transformers is asked."""

    kind: str
    examples: Callable[[int, int], list[Example]]  # count, seed
    options: Options
    auto: str  # the class that transformers loads the result with
    head: Callable[[BertModel], BertHead]  # ours
    right: Callable[[transformers.PreTrainedModel, Any, Example], list[bool]]
    exported: tuple[str, ...]  # heads


def right_label(
    model: transformers.PreTrainedModel, tokenizer: Any, example: Example
) -> list[bool]:
    inputs = tokenizer(example["text"], example["text_pair"], return_tensors="pt")
    found = int(model(**inputs).logits.argmax())
    return [model.config.id2label[found] == example["label"]]


def right_labels(
    model: transformers.PreTrainedModel, tokenizer: Any, example: Example
) -> list[bool]:
    inputs = tokenizer(example["tokens"], is_split_into_words=True, return_tensors="pt")
    found = model(**inputs).logits[0].argmax(-1).tolist()
    words = inputs.word_ids()
    firsts = [words.index(number) for number in range(len(example["tokens"]))]
    named = [model.config.id2label[found[place]] for place in firsts]
    return [ours == theirs for ours, theirs in zip(named, example["labels"], strict=True)]


def right_span(model: transformers.PreTrainedModel, tokenizer: Any, example: Example) -> list[bool]:
    inputs = tokenizer(example["question"], example["context"], return_tensors="pt")
    found = model(**inputs)
    context = torch.tensor([part == 1 for part in inputs.sequence_ids()])
    start, end = (
        int(torch.where(context, logits[0], -torch.inf).argmax())
        for logits in (found.start_logits, found.end_logits)
    )
    text = example["context"][inputs.token_to_chars(start).start : inputs.token_to_chars(end).end]
    return [text == example["answers"][0]["text"]]


def answers_in_short_texts(count: int, seed: int) -> list[Example]:
    """Questions whose context fits into one window, which is all that transformers is shown."""
    return toy_tasks.questions(count, seed, fillers=6)


TOYS = {
    toy.kind: toy
    for toy in (
        Toy(
            "sequence",
            toy_tasks.moods,
            Options(epochs=5, rate=2e-3, batch_size=16),
            "AutoModelForSequenceClassification",
            lambda bert: BertHead(bert, SEQUENCE, 3),
            right_label,
            ("pooler", "sequence"),
        ),
        Toy(
            "token",
            toy_tasks.entities,
            Options(epochs=10, rate=2e-3, batch_size=16),
            "AutoModelForTokenClassification",
            lambda bert: BertHead(bert, TOKEN, 4),
            right_labels,
            ("token",),
        ),
        Toy(
            "question",
            toy_tasks.questions,
            Options(epochs=4, rate=2e-3, batch_size=16, max_tokens=15, overlap=6),
            "AutoModelForQuestionAnswering",
            lambda bert: BertHead(bert, QA),
            right_span,
            ("qa",),
        ),
    )
}


@dataclass(frozen=True)
class Trained:
    """A toy that was learnt, and where it was saved."""

    toy: Toy
    folder: Path
    report: Report


@pytest.fixture(scope="module", params=TOYS)
def trained(
    request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    toy = TOYS[request.param]
    folder = tmp_path_factory.mktemp(toy.kind)
    for name, count, seed in (("train", 500, 1), ("dev", 100, 2)):
        lines = (json.dumps(example) + "\n" for example in toy.examples(count, seed))
        (folder / f"{name}.jsonl").write_text("".join(lines))
    report = finetune(
        toy.kind,
        tiny,
        folder / "made" / "tuned",
        train=folder / "train.jsonl",
        dev=folder / "dev.jsonl",
        options=toy.options,
        device=torch.device("cpu"),
    )
    return Trained(toy, folder / "made" / "tuned", report)


def in_transformers(trained: Trained) -> tuple[transformers.PreTrainedModel, Any]:
    auto = getattr(transformers, trained.toy.auto)
    model, info = auto.from_pretrained(trained.folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return model.eval(), transformers.AutoTokenizer.from_pretrained(trained.folder)


def test_each_task_is_learnt(trained: Trained) -> None:
    measures = trained.report.history.kept.measures
    assert measures[trained.report.plan.watched] >= 0.95
    assert all(0 <= value <= 1 for value in measures.values())


@torch.inference_mode()
def test_transformers_finds_in_unseen_examples_what_was_learnt(trained: Trained) -> None:
    model, tokenizer = in_transformers(trained)
    question = trained.toy.kind == "question"
    unseen = (answers_in_short_texts if question else trained.toy.examples)(100, 3)
    right = [hit for example in unseen for hit in trained.toy.right(model, tokenizer, example)]
    assert np.mean(right) >= 0.95


@torch.inference_mode()
def test_logits_are_those_of_transformers(trained: Trained) -> None:
    theirs, _ = in_transformers(trained)
    ours = trained.toy.head(load_encoder(trained.folder))
    ours.load_state_dict(load_file(trained.folder / "model.safetensors"))
    ours.eval()
    lengths = torch.tensor([7, 19, 3])  # ragged, and longer than any that was learnt
    ids = torch.randint(
        5, len(toy_tasks.PIECES), (3, 19), generator=torch.Generator().manual_seed(4)
    )
    segments = (torch.arange(19) > lengths[:, None] // 2).long()
    read = torch.arange(19) < lengths[:, None]
    found = theirs(input_ids=ids, token_type_ids=segments, attention_mask=read.long())
    rows = torch.arange(3 * 19)[read.flatten()]
    if trained.toy.kind == "sequence":
        rows, wanted = torch.arange(3) * 19, found.logits
    elif trained.toy.kind == "token":
        wanted = found.logits[read]
    else:
        wanted = torch.stack([found.start_logits, found.end_logits], dim=-1)[read]
    unread = torch.empty(0)  # what only a loss asks for
    batch = InputBatch(ids, segments, lengths, rows, counts=unread, targets=unread)
    torch.testing.assert_close(ours(batch), wanted, atol=LOGITS, rtol=0)


def test_export_reads_what_was_saved(trained: Trained, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(trained.folder)
    assert checkpoint.heads == trained.toy.exported
    export_model(checkpoint, tmp_path / "model", precision="fp32", progress=lambda _: None)
    manifest = load_manifest(tmp_path / "model")
    assert manifest.labels == trained.report.plan.labels
    assert not manifest.multi_label


def served_labels(server: RunningServer, example: Example) -> list[bool]:
    pair = [example["text"], example["text_pair"]]
    best = server.post("/predict", {"inputs": [pair]}).json()[0][0]
    return [best["label"] == example["label"]]


def served_entities(server: RunningServer, example: Example) -> list[bool]:
    body = {
        "inputs": " ".join(example["tokens"]),
        "parameters": {"aggregation_strategy": "first", "ignore_labels": []},
    }
    entities = server.post("/token-classification", body).json()
    found = [
        (word, entity["entity_group"]) for entity in entities for word in entity["word"].split()
    ]
    # `first` joins B- and I- of one name and names the group without them.
    groups = (label.rpartition("-")[2] for label in example["labels"])
    return [one == other for one, other in zip(found, zip(example["tokens"], groups, strict=True),
                                               strict=True)]  # fmt: skip


def served_spans(server: RunningServer, example: Example) -> list[bool]:
    body = {"inputs": {"question": example["question"], "context": example["context"]}}
    return [
        server.post("/question-answering", body).json()["answer"] == example["answers"][0]["text"]
    ]


SERVED = {"sequence": served_labels, "token": served_entities, "question": served_spans}


def test_server_finds_in_unseen_examples_what_was_learnt(
    trained: Trained, tmp_path: Path, serve: Serve
) -> None:
    checkpoint = read_checkpoint(trained.folder)
    export_model(checkpoint, tmp_path / "model", precision="fp32", progress=lambda _: None)
    server = serve(tmp_path / "model")
    kind = trained.toy.kind
    unseen = (answers_in_short_texts if kind == "question" else trained.toy.examples)(60, 3)
    assert np.mean([hit for example in unseen for hit in SERVED[kind](server, example)]) >= 0.95


def test_config_names_head_and_labels(trained: Trained) -> None:
    config = json.loads((trained.folder / "config.json").read_text())
    names = {
        "sequence": ("BertForSequenceClassification", ["bad", "good", "neutral"]),
        "token": ("BertForTokenClassification", ["B-LOC", "B-PER", "I-PER", "O"]),
        "question": ("BertForQuestionAnswering", None),
    }
    architecture, labels = names[trained.toy.kind]
    assert config["architectures"] == [architecture]
    assert config.get("id2label") == (labels and {str(i): name for i, name in enumerate(labels)})
    assert config.get("label2id") == (labels and {name: i for i, name in enumerate(labels)})
    single = "single_label_classification" if trained.toy.kind == "sequence" else None
    assert config.get("problem_type") == single


def test_report_holds_what_a_repetition_needs_and_no_text(trained: Trained) -> None:
    text = (trained.folder / "report.json").read_text()
    report = json.loads(text)
    assert report["task"] == trained.toy.kind
    assert report["checkpoint"] == "tiny"
    assert report["train"]["name"] == "train.jsonl"
    assert report["train"]["examples"] == 500
    assert report["dev"]["examples"] == 100
    assert report["options"]["rate"] == 2e-3
    assert report["measures"] == report["epochs"][report["kept_epoch"] - 1]["measures"]
    assert str(trained.folder.parent.parent) not in text
    assert not any(filler in text.split() for filler in ("then", "much", "anna"))


def test_table_marks_the_kept_epoch(trained: Trained) -> None:
    head, *rows, last = trained.report.table().splitlines()
    assert head.split()[:2] == ["epoch", "loss"]
    assert [row.split()[0] for row in rows if "*" in row] == [
        f"{trained.report.history.kept.number}*"
    ]
    kept, watched = trained.report.history.kept, trained.report.plan.watched
    assert last.startswith(f"* kept: epoch {kept.number}, the best {watched} on dev.jsonl: ")
    assert f"{watched} {kept.measures[watched]:.4f}" in last


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_command_prints_the_table_and_repeats_itself(
    tiny: Path, tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write("train.jsonl", toy_tasks.moods(20, 1))
    flags = ("--train", train, "--epochs", 2, "--dropout", 0.2, "--threads", 1, "--device", "cpu")
    tables, weights = [], []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        run(arguments("sequence", tiny, tmp_path / name, *flags, "--seed", seed))
        # Neither the time that it took nor the place is a part of what is repeated.
        told = re.sub(r"; \d+ s an epoch, \d+ s left", "", capsys.readouterr().out)
        tables.append(told.partition(f"* {tmp_path}")[0])
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert "* kept: epoch 2, the last, as there is no dev data; nothing was measured" in tables[0]
    assert "note: nothing is measured, as there is neither --dev nor --dev-share" in tables[0]
    assert tables[0] == tables[1] != tables[2]
    assert weights[0] == weights[1] != weights[2]
    # What is handed on has the architecture's dropout, and the report that of the run.
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    config, before, report = (
        json.loads(path.read_text())
        for path in (tmp_path / "a" / "config.json", tiny / "config.json",
                     tmp_path / "a" / "report.json")
    )  # fmt: skip
    assert [config[name] for name in names] == [before[name] for name in names] == [0.0, 0.0]
    assert report["dropout"] == dict.fromkeys(names, 0.2)


def test_a_share_of_the_training_rows_is_measured_by(
    tiny: Path, tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write("train.jsonl", toy_tasks.moods(40, 1))
    flags = ("--dev-share", 0.25, "--epochs", 1, "--threads", 1, "--device", "cpu")
    run(arguments("sequence", tiny, tmp_path / "out", "--train", train, *flags))
    assert ", the best accuracy on 0.25 of train.jsonl: accuracy " in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["train"]["examples"] + report["dev"]["examples"] == 40
    assert report["dev"]["examples"] == pytest.approx(10, abs=1)
    assert report["train"]["sha256"] == report["dev"]["sha256"]


def test_dropout_of_the_encoder_can_be_another(tiny: Path) -> None:
    ours, other = load_encoder(tiny), load_encoder(tiny, dropout=0.3)
    assert (ours.embeddings.dropout.p, other.embeddings.dropout.p) == (0.0, 0.3)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_place_that_is_taken_is_refused_before_any_work(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(TrainingError, match="exists already"):
        finetune("sequence", tiny, tmp_path, train=tmp_path / "none.jsonl")
    with pytest.raises(TrainingError, match="exists already"):
        finetune("sequence", tiny, tmp_path / "mine.txt", train=tmp_path / "none.jsonl")
    with pytest.raises(TrainingError, match="cannot be made"):
        finetune("sequence", tiny, tmp_path / "mine.txt" / "out", train=tmp_path / "none.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("kind", "asked", "expected"),
    [("sequence", None, 61), ("question", None, 61), ("token", 20, 20), ("token", 61, 61)],
)
def test_longest_input_fits_the_positions(
    tiny: Path, kind: str, asked: int | None, expected: int
) -> None:
    config = load_encoder(tiny).config
    assert longest_input(kind, config, asked) == expected


@pytest.mark.parametrize("asked", [7, 62])
def test_longest_input_beyond_the_positions_is_refused(tiny: Path, asked: int) -> None:
    with pytest.raises(TrainingError, match=r"--max-tokens must be from 8 to the 61 positions"):
        longest_input("token", load_encoder(tiny).config, asked)


def test_bad_line_leaves_nothing_behind(tiny: Path, tmp_path: Path, write: Write) -> None:
    train = write("train.jsonl", [*toy_tasks.moods(3, 1), {"text": "secret words"}])
    with pytest.raises(
        TrainingError, match=r"^train\.jsonl, line 4: it has no field label"
    ) as caught:
        finetune("sequence", tiny, tmp_path / "out", train=train)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_label_that_only_dev_has_is_refused(tiny: Path, tmp_path: Path, write: Write) -> None:
    train = write("train.jsonl", [{"text": "glad", "label": 1}, {"text": "sad", "label": 0}])
    dev = write("dev.jsonl", ["", '{"text": "calm", "label": "2"}'])
    with pytest.raises(TrainingError, match=r"^dev\.jsonl, line 2: a label that the training"):
        finetune("sequence", tiny, tmp_path / "out", train=train, dev=dev)


def test_one_label_is_nothing_to_learn(tiny: Path, tmp_path: Path, write: Write) -> None:
    train = write("train.jsonl", [{"text": "glad", "label": "x"}] * 3)
    with pytest.raises(TrainingError, match="one label only"):
        finetune("sequence", tiny, tmp_path / "out", train=train)


def several_moods(count: int, seed: int) -> list[Example]:
    """Texts with two mood words, and the set of their moods as label."""
    return [
        {
            "text": f"{example['text']} {example['text_pair']}",
            "label": sorted({MOODS[word] for part in ("text", "text_pair")
                             for word in example[part].split() if word in MOODS}),
        }
        for example in toy_tasks.moods(count, seed)
    ]  # fmt: skip


def graded_moods(count: int, seed: int) -> list[Example]:
    """Pairs and a number that the mood of the second text gives."""
    grades = {"good": 1.5, "bad": -0.5, "neutral": 0.25}
    return [example | {"label": grades[example["label"]]} for example in
            toy_tasks.moods(count, seed)]  # fmt: skip


@pytest.mark.parametrize(
    ("examples", "problem", "labels"),
    [
        (several_moods, "multi_label_classification", ("bad", "good", "neutral")),
        (graded_moods, "regression", ("label",)),
    ],
)
def test_several_labels_and_numbers_are_learnt_and_served(
    tiny: Path,
    tmp_path: Path,
    write: Write,
    serve: Serve,
    examples: Callable[[int, int], list[Example]],
    problem: str,
    labels: tuple[str, ...],
) -> None:
    train, dev = write("train.jsonl", examples(300, 1)), write("dev.jsonl", examples(80, 2))
    options = Options(epochs=8, rate=2e-3, batch_size=16)
    report = finetune(
        "sequence", tiny, tmp_path / "tuned", train=train, dev=dev, options=options,
        device=torch.device("cpu"),
    )  # fmt: skip
    assert report.plan.labels == labels
    assert report.history.kept.measures[report.plan.watched] >= 0.9
    config = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert config["problem_type"] == problem
    checkpoint = read_checkpoint(tmp_path / "tuned")
    export_model(checkpoint, tmp_path / "model", precision="fp32", progress=lambda _: None)
    server = serve(tmp_path / "model")
    for example in examples(30, 3):
        pair = "text_pair" in example
        body = {"inputs": [[example["text"], example["text_pair"]]] if pair else example["text"]}
        answer = server.post("/predict", body).json()
        found = answer[0] if pair else answer
        scores = {entry["label"]: entry["score"] for entry in found}
        if problem == "regression":
            assert scores["label"] == pytest.approx(example["label"], abs=0.5)
        else:
            assert {name for name, score in scores.items() if score > 0.5} == set(example["label"])
