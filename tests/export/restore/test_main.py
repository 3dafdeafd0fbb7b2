"""`python -m export.restore` as its users meet it: there and back with the real exporter."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file
from sentence_transformers import CrossEncoder, SentenceTransformer

from export.__main__ import main as export
from export.read.checkpoint import read_checkpoint
from export.restore.__main__ import BAD_INPUT, main
from models.manifest import load_manifest
from tests.export.test_main import with_small_files
from tests.export.torch_bert import ARCHITECTURES, TorchBert, joined, tiny_texts
from tests.running_server import REPOSITORY
from tests.sentence_folders import CROSS_KINDS, TEXTS, save_cross_encoder, save_sentences
from training.checkpoint import load_pretraining

INT8_COSINE = 0.99  # of the tiny model's rows before and after the rounding of its weights
SAME = 1e-6  # absolute, of the numbers of a vector of length 1
WEIGHTS = "model.safetensors"

Save = Callable[..., Path]
Edit = Callable[..., None]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A place for a checkpoint, alone in its own folder so that leftovers show."""
    return tmp_path / "checkpoints" / "restored"


@pytest.fixture(scope="module")
def model(drawn: Save, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of the tiny BertForPreTraining in float32, which tests leave as it is."""
    return exported(drawn("BertForPreTraining"), tmp_path_factory.mktemp("models") / "tiny")


def exported(checkpoint: Path, out: Path, *options: str) -> Path:
    assert export([str(checkpoint), str(out), *options]) == 0
    return out


def restored(model: Path, out: Path) -> Path:
    assert main([str(model), str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return out


def assert_refused(capsys: pytest.CaptureFixture[str], model: Path, out: Path, why: str) -> None:
    capsys.readouterr()
    assert main([str(model), str(out)]) == BAD_INPUT
    message = capsys.readouterr().err
    assert message.startswith("restore: ")
    assert why in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_float32_gives_the_checkpoint_back(
    drawn: Save, tmp_path: Path, out: Path, architecture: str
) -> None:
    source = drawn(architecture)
    again = restored(exported(source, tmp_path / "models" / "tiny"), out)
    before, after = load_file(source / WEIGHTS), load_file(again / WEIGHTS)
    bare = {key.removeprefix("bert."): tensor for key, tensor in after.items()}
    assert {key.removeprefix("bert.") for key in before} == set(bare)
    for key, tensor in before.items():
        assert tensor.tobytes() == bare[key.removeprefix("bert.")].tobytes(), key
    old, new = read_checkpoint(source), read_checkpoint(again)
    assert (new.config, new.heads) == (old.config, old.heads)
    assert new.tokenizer_json == old.tokenizer_json
    # And transformers computes the same with it.
    theirs, ours = TorchBert(source, architecture), TorchBert(again, architecture)
    texts = tiny_texts()
    wanted, found = joined([theirs(t) for t in texts]), joined([ours(t) for t in texts])
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        assert np.array_equal(found[name], values), name


def test_separate_decoder_is_the_same_to_transformers(
    save: Save, tmp_path: Path, out: Path
) -> None:
    source = save("BertForMaskedLM", tie_word_embeddings=False)
    again = restored(exported(source, tmp_path / "models" / "tiny"), out)
    (text, *_) = tiny_texts()
    wanted = TorchBert(source, "BertForMaskedLM")(text).heads["mlm_log_probabilities"]
    found = TorchBert(again, "BertForMaskedLM")(text).heads["mlm_log_probabilities"]
    assert np.array_equal(found, wanted)


def test_int8_exported_again_is_the_same_int8(bert: Path, tmp_path: Path, out: Path) -> None:
    first = exported(bert, tmp_path / "models" / "first", "--precision", "int8")
    again = restored(first, out)
    second = exported(again, tmp_path / "models" / "second", "--precision", "int8")
    third = restored(second, tmp_path / "more" / "restored")
    before, after = load_file(again / WEIGHTS), load_file(third / WEIGHTS)
    for key, tensor in before.items():
        np.testing.assert_array_equal(tensor, after[key])
    for file in ("model.onnx", "model.onnx.data"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    text = tiny_texts()[2]
    rows = [TorchBert(f, "BertForPreTraining")(text).hidden[-1] for f in (bert, again)]
    cosine = torch.cosine_similarity(torch.from_numpy(rows[0]), torch.from_numpy(rows[1]))
    assert float(cosine.min()) > INT8_COSINE


def test_labels_pooling_prompts_and_license_survive(
    save: Save, tmp_path: Path, out: Path, edit: Edit
) -> None:
    source = save("BertForSequenceClassification", num_labels=3)
    edit(source / "config.json", id2label={"0": "no", "1": "maybe", "2": "yes"})
    edit(source / "config.json", problem_type="multi_label_classification", label2id=None)
    (source / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    model = exported(source, tmp_path / "models" / "tiny", "--precision", "fp16")
    again = read_checkpoint(restored(model, out))
    assert again.config.labels == ("no", "maybe", "yes")
    assert again.config.multi_label
    assert again.license == "mit"
    first = out / "README.md"
    assert "> Restored from the model folder `tiny` in fp16." in first.read_text(encoding="utf-8")


def test_default_model_goes_back_to_a_checkpoint(default_model: Path, out: Path) -> None:
    again = read_checkpoint(restored(default_model, out))
    manifest = load_manifest(default_model)
    assert again.heads == manifest.heads
    assert again.pooling == manifest.pooling
    theirs = transformers.BertForPreTraining.from_pretrained(out)
    assert sum(p.numel() for p in theirs.parameters()) == manifest.parameters["total"]
    ours = load_pretraining(out)  # refuses a tensor that is missing or left over
    assert ours.config.pad_token_id == 0


def test_sentence_transformers_gives_the_same_vectors(
    minilm_checkpoint: Path, minilm_model: Path, out: Path
) -> None:
    texts = ["Café is French.", "The window was open because the room had become warm."]
    wanted, found = (
        SentenceTransformer(str(folder)).encode(texts)
        for folder in (minilm_checkpoint, restored(minilm_model, out))
    )
    np.testing.assert_allclose(found, wanted, atol=SAME)


def test_changed_model_folder_is_refused(
    model: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = shutil.copytree(model, tmp_path / "changed")
    data = bytearray((changed / "model.onnx.data").read_bytes())
    data[100] ^= 1
    (changed / "model.onnx.data").write_bytes(data)
    assert_refused(capsys, changed, out, "model.onnx.data was changed")
    assert not out.parent.exists()


def test_graph_of_another_model_leaves_nothing(
    model: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["architecture"]["num_hidden_layers"] = 2
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert_refused(capsys, other, out, "which no weight is made of")
    manifest["heads"] = ["mlm", "tail"]
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert_refused(capsys, other, out, "heads must be among mlm, nsp")
    assert not out.parent.exists()


def test_what_is_there_is_not_touched(
    bert: Path, model: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(bert, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert_refused(capsys, model, out, "exists already; choose another folder")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert_refused(capsys, tmp_path / "none", tmp_path / "new", "is not a model folder")
    assert_refused(capsys, bert, tmp_path / "new", "manifest.json is missing")


def test_command_prints_what_it_made(model: Path, out: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-W", "error", "-m", "export.restore", model, out],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout == f"{out} (BertForPreTraining in float32, from tiny in fp32)\n"


def test_file_in_the_place_of_a_folder_is_named(
    capsys: pytest.CaptureFixture[str], model: Path, out: Path
) -> None:
    out.parent.write_text("precious")
    assert_refused(capsys, model, out, f"{out} cannot be written: File exists ({out.parent}).")
    assert out.parent.read_text() == "precious"


def test_disk_that_takes_no_more_leaves_nothing(model: Path, out: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "export.restore", model, out],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=with_small_files,
    )
    assert child.returncode == BAD_INPUT
    assert child.stderr.startswith("restore: model.safetensors cannot be written: ")
    assert child.stderr.count("\n") == 1
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["deep", "labse", "several", "last"])
def test_sentence_vectors_come_back_with_all_that_makes_them(
    tmp_path: Path, out: Path, name: str, precision: str
) -> None:
    source = save_sentences(name, tmp_path / name)
    model = exported(source, tmp_path / "models" / name, "--precision", precision)
    again = restored(model, out)
    old, new = read_checkpoint(source), read_checkpoint(again)
    assert (new.pooling, new.truncation_side) == (old.pooling, old.truncation_side)
    for weight in old.pooling.shapes(32):
        np.testing.assert_array_equal(new.weights[weight], old.weights[weight])
    theirs = SentenceTransformer(str(source), device="cpu").encode(list(TEXTS))
    ours = SentenceTransformer(str(again), device="cpu").encode(list(TEXTS))
    cosines = (theirs * ours).sum(1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)
    assert cosines.min() > INT8_COSINE
    if precision == "fp32":
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CROSS_KINDS)
@pytest.mark.filterwarnings("ignore:Implicit dimension choice for softmax")  # of the library
def test_a_cross_encoder_scores_as_before(tmp_path: Path, out: Path, name: str) -> None:
    source = save_cross_encoder(name, tmp_path / name)
    again = restored(exported(source, tmp_path / "models" / name), out)
    pairs = [(TEXTS[0], TEXTS[3]), (TEXTS[4], TEXTS[1])]
    theirs = CrossEncoder(str(source), device="cpu").predict(pairs)
    ours = CrossEncoder(str(again), device="cpu").predict(pairs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
