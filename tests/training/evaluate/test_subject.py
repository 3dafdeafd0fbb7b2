"""Which checkpoints can be evaluated, and for what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.evaluate.conftest import save_tiny
from training.errors import TrainingError
from training.evaluate.subject import check_same_vocabulary, load_subject


@pytest.mark.parametrize(
    ("architecture", "heads"),
    [
        ("BertForPreTraining", {"mlm", "nsp"}),
        ("BertForMaskedLM", {"mlm"}),
        ("BertForNextSentencePrediction", {"nsp"}),
        ("BertModel", set()),
        ("BertForSequenceClassification", set()),
    ],
)
def test_checkpoint_is_evaluated_for_the_heads_it_has(
    tmp_path: Path, architecture: str, heads: set[str]
) -> None:
    assert load_subject(save_tiny(tmp_path / "checkpoint", architecture)).heads == heads


def test_head_with_a_part_missing_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["cls.seq_relationship.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=r"lacks nsp\.bias"):
        load_subject(folder)


def test_weights_have_one_digest_wherever_they_lie(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "copy")
    other = save_tiny(tmp_path / "other", seed=4)
    digests = [load_subject(folder).weights_sha256 for folder in (tiny, tmp_path / "copy", other)]
    assert digests[0] == digests[1] != digests[2]


def test_tokenizer_neither_pads_nor_truncates(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "limited"
    shutil.copytree(tiny, folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    document["truncation"] = {
        "direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(document))
    encodings = load_subject(folder).tokenizer.encode_batch(["cat " * 9, "cat"])
    assert [len(encoding.ids) for encoding in encodings] == [11, 3]


def test_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(
    tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "short"
    shutil.copytree(tiny, folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    document["model"]["vocab"] |= {f"more{i}": 100 + i for i in range(3)}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(TrainingError, match="has 103 ids and the model only 32"):
        load_subject(folder)


def test_corpus_of_another_vocabulary_is_refused(
    tiny: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    subject = load_subject(tiny)
    check_same_vocabulary(subject, corpus_folder)
    text = (corpus_folder / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(text.replace('"girl"', '"lad"'))
    with pytest.raises(TrainingError, match="another vocabulary"):
        check_same_vocabulary(subject, tmp_path)


def test_weights_are_float32_and_those_of_the_file(tiny: Path) -> None:
    model = load_subject(tiny).model
    stored = load_file(tiny / "model.safetensors")
    name = "bert.encoder.layer.1.output.dense.weight"
    assert torch.equal(model.state_dict()[name], stored[name])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
