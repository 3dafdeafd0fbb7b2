"""Texts and pairs that are as long as the model reads, and longer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.training.finetune.conftest import Write
from tests.training.finetune.toy_tasks import PIECES
from training.finetune import sequences
from training.finetune.pieces import WordPieces


def test_long_texts_are_cut_at_their_end_and_the_longer_of_a_pair_first(
    tiny: Path, write: Write
) -> None:
    path = write(
        "s.jsonl",
        [
            {"text": "the a of we then", "label": 3},
            {"text": "the a of we then much very", "label": 1},
            {"text": "the a of we then", "text_pair": "sad ben", "label": 1},
            {"text": "sad", "text_pair": "the a of we then", "label": 3},
        ],
    )
    task = sequences.prepare(path, None, WordPieces(tiny, max_tokens=7, vocab_size=len(PIECES)))
    found = [" ".join(PIECES[index] for index in entry.ids) for entry in task.train.inputs]
    assert found == [
        "[CLS] the a of we then [SEP]",
        "[CLS] the a of we then [SEP]",
        "[CLS] the a [SEP] sad ben [SEP]",
        "[CLS] sad [SEP] the a of [SEP]",
    ]
    assert [entry.second for entry in task.train.inputs] == [7, 7, 4, 3]
    assert [task.labels[int(entry.targets[0])] for entry in task.train.inputs] == list("3113")
    assert task.dev is None


def test_scores_compare_the_largest_logit_with_the_label(tiny: Path, write: Write) -> None:
    path = write("s.jsonl", [{"text": "ben", "label": label} for label in ("x", "x", "y", "y")])
    task = sequences.prepare(path, path, WordPieces(tiny, max_tokens=7, vocab_size=len(PIECES)))
    assert task.dev is not None
    logits = [np.array([row], np.float32) for row in ((2, 1), (0, 1), (-3, -2), (0, 9))]
    assert task.dev.score(logits)["accuracy"] == 0.75
