"""Rows of labelled examples in, a checkpoint that transformers' Trainer made of them out.

As transformers' own examples use it: fast tokenizers, and batches padded to their longest. What
scripts/beside_trainer.py compares `training finetune` with; needs the package accelerate.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import transformers
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from training.config import read_config
from training.finetune.data import number_labels
from training.finetune.labelling import Problem
from training.finetune.loop import BETA2
from training.finetune.preparation import longest_input
from training.finetune.task import Options
from training.optimiser import CLIP, WEIGHT_DECAY

NO_LABEL = -100  # what the loss of transformers' models leaves out

Row = dict[str, Any]
Prepared = tuple[Any, list[Row], Any]


def learn(
    kind: str, problem: Problem | None, rows: Sequence[Row], checkpoint: Path, out: Path,
    options: Options,
) -> None:  # fmt: skip
    """Fine-tune `checkpoint` to the folder `out`.

    Args:
        kind: "sequence", "token" or "question".
        problem: of texts, what their label is.
        rows: of each text `text`, perhaps `text_pair`, and `label`; of words `tokens` and
            `labels`; of each question `question`, `context` and `answers`.
        checkpoint: a BERT in Hugging Face's format.
        out: a folder to write.
        options: epochs, rate, batch size, warm-up and seed, none of them left open.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    transformers.set_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model, inputs, collator = prepared(kind, problem, rows, checkpoint, tokenizer)
    trainer = Trainer(
        model=model,
        args=_arguments(out, options),
        train_dataset=inputs,
        data_collator=collator,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(out))
    tokenizer.save_pretrained(out)


def prepared(
    kind: str, problem: Problem | None, rows: Sequence[Row], checkpoint: Path, tokenizer: Any
) -> Prepared:
    """The model, its inputs and what makes batches of them; arguments as those of `learn`."""
    longest = longest_input(kind, read_config(checkpoint), None)
    if kind == "sequence":
        return _texts(rows, problem or Problem.CLASSES, tokenizer, checkpoint, longest)
    if kind == "token":
        return _words(rows, tokenizer, checkpoint, longest)
    return _questions(rows, tokenizer, checkpoint, longest)


def _arguments(out: Path, options: Options) -> TrainingArguments:
    """Steps as `training finetune` takes them, on the CPU, without measuring or saving between."""
    return TrainingArguments(
        output_dir=str(out),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.rate,
        warmup_steps=options.warm_up,  # a share of them, below 1
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=CLIP,
        adam_beta2=BETA2,
        seed=options.seed,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def _texts(
    rows: Sequence[Row], problem: Problem, tokenizer: Any, checkpoint: Path, longest: int
) -> Prepared:
    """A label per text or pair."""
    names: Sequence[str] = ("score",)
    if problem is not Problem.NUMBER:
        chosen = [[row["label"]] if isinstance(row["label"], str) else row["label"] for row in rows]
        names = number_labels(name for labels in chosen for name in labels)
    model = AutoModelForSequenceClassification.from_pretrained(
        checkpoint, problem_type=problem.value, **_named(names)
    )
    encoded = tokenizer(
        [row["text"] for row in rows],
        [row["text_pair"] for row in rows] if "text_pair" in rows[0] else None,
        truncation=True,
        max_length=longest,
    )
    encoded["labels"] = [_target(row["label"], problem, names) for row in rows]
    return model, _inputs(encoded), DataCollatorWithPadding(tokenizer)


def _target(label: Any, problem: Problem, names: Sequence[str]) -> Any:
    """A text's label as the models of transformers take it.

    >>> _target("good", Problem.CLASSES, ["bad", "good"])
    1
    >>> _target(["good"], Problem.SEVERAL, ["bad", "good"])
    [0.0, 1.0]
    """
    if problem is Problem.NUMBER:
        return float(label)
    if problem is Problem.SEVERAL:
        return [float(name in label) for name in names]
    return names.index(label)


def _words(rows: Sequence[Row], tokenizer: Any, checkpoint: Path, longest: int) -> Prepared:
    """A label per word, at its first piece; what is too long is cut off."""
    names = number_labels(label for row in rows for label in row["labels"])
    model = AutoModelForTokenClassification.from_pretrained(checkpoint, **_named(names))
    encoded = tokenizer(
        [row["tokens"] for row in rows],
        is_split_into_words=True,
        truncation=True,
        max_length=longest,
    )
    encoded["labels"] = [
        [
            NO_LABEL if word in {None, before} else names.index(row["labels"][word])
            for before, word in pairwise([None, *encoded.word_ids(number)])
        ]
        for number, row in enumerate(rows)
    ]
    return model, _inputs(encoded), DataCollatorForTokenClassification(tokenizer)


def _questions(rows: Sequence[Row], tokenizer: Any, checkpoint: Path, longest: int) -> Prepared:
    """The first and the last token of an answer, in windows of its context."""
    model = AutoModelForQuestionAnswering.from_pretrained(checkpoint)
    encoded = tokenizer(
        [row["question"] for row in rows],
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=longest,
        stride=min(Options().overlap, longest // 3),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    places = encoded.pop("offset_mapping")
    spans = [
        _span(rows[number]["answers"], places[window], encoded.sequence_ids(window))
        for window, number in enumerate(encoded.pop("overflow_to_sample_mapping"))
    ]
    encoded["start_positions"], encoded["end_positions"] = map(list, zip(*spans, strict=True))
    return model, _inputs(encoded), DataCollatorWithPadding(tokenizer)


def _span(
    answers: Sequence[Row],
    places: Sequence[tuple[int, int]],
    segments: Sequence[int | None],
) -> tuple[int, int]:
    """The tokens of an answer in a window; that of [CLS], twice, where it is not there.

    >>> answer = {"text": "seine", "answer_start": 4}
    >>> _span([answer], [(0, 0), (0, 3), (4, 6), (6, 9)], [None, 1, 1, 1])
    (2, 3)
    """
    if not answers:
        return 0, 0
    begin = answers[0]["answer_start"]
    end = begin + len(answers[0]["text"])
    context = [token for token, segment in enumerate(segments) if segment == 1]
    if not context or places[context[0]][0] > begin or places[context[-1]][1] < end:
        return 0, 0
    within = [token for token in context if places[token][0] < end and places[token][1] > begin]
    return within[0], within[-1]


def _named(names: Sequence[str]) -> dict[str, Any]:
    """Labels, for config.json."""
    return {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}


def _inputs(encoded: Any) -> list[Row]:
    """Columns -> rows.

    >>> _inputs({"input_ids": [[1, 2], [3]], "labels": [0, 1]})
    [{'input_ids': [1, 2], 'labels': 0}, {'input_ids': [3], 'labels': 1}]
    """
    columns = encoded.values()
    return [dict(zip(encoded, values, strict=True)) for values in zip(*columns, strict=True)]
