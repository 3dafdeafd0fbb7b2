"""Folders that are no checkpoint Cloze can serve, of every kind that people have: one sentence.

Each is a whole, right checkpoint but for one thing. Whatever that is, the command ends with exit
code 2 and one true sentence on stderr, and writes nothing.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.export.test_main import assert_refused, export

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocab.txt"
POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 440473133\n"
)
PULL = "is a Git LFS pointer, not the file itself: run `git lfs pull`"
Spoil = Callable[[Path], object]


def content(name: str, text: str | bytes) -> Spoil:
    """Another content of a file."""
    data = text.encode() if isinstance(text, str) else text
    return lambda folder: (folder / name).write_bytes(data)


def setting(**changes: Any) -> Spoil:
    """Other values in config.json."""

    def spoil(folder: Path) -> None:
        values = json.loads((folder / CONFIG).read_text()) | changes
        (folder / CONFIG).write_text(json.dumps(values))

    return spoil


def cut(name: str, size: int) -> Spoil:
    """The file's beginning only."""
    return lambda folder: os.truncate(folder / name, size)


def folder_at(name: str) -> Spoil:
    """A folder in the place of a file."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return spoil


def link_at(name: str) -> Spoil:
    """A link to nothing in the place of a file, as an emptied cache leaves it."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(folder / "blobs" / "4d7a2146")

    return spoil


def missing(*names: str) -> Spoil:
    """Without these files, where they are there."""

    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return spoil


def instead(*names: str, data: bytes = b"\x08\x00binary") -> Spoil:
    """Other files than model.safetensors."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)

    return spoil


def alone(*names: str) -> Spoil:
    """Nothing but these files."""

    def spoil(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"binary")

    return spoil


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Spoil:
    """Other weights."""

    def spoil(folder: Path) -> None:
        stored = load_file(folder / WEIGHTS)
        change(stored)
        save_file(stored, folder / WEIGHTS)

    return spoil


def value(key: str, number: float) -> Spoil:
    """One number of a weight."""
    return tensors(lambda stored: stored[key].view(-1)[1:2].fill_(number))


def stored_as(dtype: torch.dtype) -> Spoil:
    """A weight in another type."""
    key = "bert.pooler.dense.weight"
    return tensors(lambda stored: stored.update({key: stored[key].to(dtype)}))


def index(weight_map: object, *, data: bytes | None = None) -> Spoil:
    """Shards, by an index with this map, instead of one file; all of them are the same `data`."""

    def spoil(folder: Path) -> None:
        written = (folder / WEIGHTS).read_bytes() if data is None else data
        (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
        (folder / "model-00001-of-00002.safetensors").write_bytes(written)
        text = json.dumps({"weight_map": weight_map})
        (folder / f"{WEIGHTS}.index.json").write_text(text)

    return spoil


def sentence_transformers(config: str) -> Spoil:
    """The first versions' layout, with one of its files spoilt."""

    def spoil(folder: Path) -> None:
        inner = folder / "0_Transformer"
        inner.mkdir()
        for path in [path for path in folder.iterdir() if path.is_file()]:
            path.rename(inner / path.name)
        kinds = {"0_Transformer": "Transformer", "1_Pooling": "Pooling"}
        modules = [
            {"path": path, "type": f"sentence_transformers.models.{kind}"}
            for path, kind in kinds.items()
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / CONFIG).write_text('{"pooling_mode_mean_tokens": true}')
        (folder / config).write_text('{"pooling_mode_mean_tokens": tr')

    return spoil


def pickled(data: Any) -> Spoil:
    """A pickle instead of safetensors."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        if isinstance(data, bytes):
            (folder / "pytorch_model.bin").write_bytes(data)
        else:
            torch.save(data, folder / "pytorch_model.bin")

    return spoil


def both(*spoils: Spoil) -> Spoil:
    """Several changes."""
    return lambda folder: [spoil(folder) for spoil in spoils]


def header(text: bytes, length: int | None = None) -> bytes:
    """A safetensors file with this header and no tensors' bytes."""
    return (len(text) if length is None else length).to_bytes(8, "little") + text


BAD: dict[str, tuple[Spoil, str]] = {
    # A text that stands for a file.
    "pointer as weights": (content(WEIGHTS, POINTER), f"{WEIGHTS} {PULL}"),
    "pointer as config": (content(CONFIG, POINTER), f"{CONFIG} {PULL}"),
    "pointer as vocabulary": (content(VOCABULARY, POINTER), f"{VOCABULARY} {PULL}"),
    "pointer as tokenizer": (content("tokenizer.json", POINTER), f"tokenizer.json {PULL}"),
    "pointer as index": (
        both(instead(), content(f"{WEIGHTS}.index.json", POINTER)),
        f"{WEIGHTS}.index.json {PULL}",
    ),
    "pointer as shard": (
        index({"a": "model-00001-of-00002.safetensors"}, data=POINTER.encode()),
        f"model-00001-of-00002.safetensors {PULL}",
    ),
    "pointer as SentencePiece": (
        both(missing(VOCABULARY, "tokenizer.json"), content("spiece.model", POINTER)),
        f"spiece.model {PULL}",
    ),
    "web page as weights": (content(WEIGHTS, "<!DOCTYPE html><title>404"), "is a web page"),
    "web page as config": (content(CONFIG, "\n<html>Sign in"), f"{CONFIG} is a web page"),
    # Files cut short, empty, or no files.
    "empty weights": (content(WEIGHTS, ""), f"{WEIGHTS} is empty."),
    "empty config": (content(CONFIG, ""), f"{CONFIG} is empty."),
    "empty vocabulary": (content(VOCABULARY, ""), f"{VOCABULARY} is empty."),
    "empty tokenizer": (content("tokenizer.json", ""), "tokenizer.json is empty."),
    "zeros as weights": (content(WEIGHTS, bytes(4096)), f"{WEIGHTS} is damaged or was cut short"),
    "text as weights": (content(WEIGHTS, "not weights\n" * 99), f"{WEIGHTS} is damaged or was"),
    "weights cut in the header": (cut(WEIGHTS, 100), f"{WEIGHTS} is damaged or was cut short"),
    "weights cut in the tensors": (cut(WEIGHTS, 9000), f"{WEIGHTS} is damaged or was cut short"),
    "huge header": (content(WEIGHTS, header(b"{}", 1 << 60)), f"{WEIGHTS} is damaged or was"),
    "header that is no JSON": (content(WEIGHTS, header(b"{'a': 1}")), "is damaged or was cut"),
    "no tensors": (content(WEIGHTS, header(b"{}")), "The checkpoint lacks embeddings.word"),
    "config cut short": (cut(CONFIG, 40), f"{CONFIG} is not valid JSON"),
    "vocabulary cut short": (cut(VOCABULARY, 3), "[UNK]"),
    "vocabulary in Latin-1": (
        content(VOCABULARY, "[PAD]\ncafé\n".encode("latin-1")),
        f"{VOCABULARY} is not UTF-8 text (byte 9).",
    ),
    "folder as weights": (folder_at(WEIGHTS), f"{WEIGHTS} must be a file, and is a folder."),
    "folder as config": (folder_at(CONFIG), f"{CONFIG} must be a file, and is a folder."),
    "folder as index": (
        both(instead(), folder_at(f"{WEIGHTS}.index.json")),
        f"{WEIGHTS}.index.json must be a file, and is a folder.",
    ),
    "weights of an emptied cache": (link_at(WEIGHTS), f"{WEIGHTS} cannot be read: No such file"),
    "config of an emptied cache": (link_at(CONFIG), f"{CONFIG} cannot be read: No such file"),
    # Another program's weights.
    "no weights": (instead(), f"The checkpoint has no {WEIGHTS}, which Cloze needs."),
    "ONNX": (instead("onnx/model.onnx"), "needs, but an ONNX graph (onnx/model.onnx)."),
    "Keras": (instead("tf_model.h5"), "but weights for TensorFlow's Keras (tf_model.h5)."),
    "Flax": (instead("flax_model.msgpack"), "but weights for Flax (flax_model.msgpack)."),
    "GGUF": (instead("bert-q4_k_m.gguf"), "but a GGUF file (bert-q4_k_m.gguf)."),
    "several": (
        instead("model.onnx", "rust_model.ot", "openvino_model.xml"),
        "an ONNX graph (model.onnx), weights for OpenVINO (openvino_model.xml) and weights for R",
    ),
    "a pickle": (
        instead("pytorch_model.bin"),
        "pickled weights (pytorch_model.bin); pickled weights are read only with --allow-pickle.",
    ),
    "a pickle's pointer": (
        instead("pytorch_model.bin", data=POINTER.encode()),
        f"pytorch_model.bin {PULL}",
    ),
    "pointers of a pickle's shards": (
        instead("pytorch_model-00002-of-00002.bin", data=POINTER.encode()),
        f"pytorch_model-00002-of-00002.bin {PULL}",
    ),
    "a page in the place of a pickle": (
        instead("pytorch_model.bin", data=b"<!DOCTYPE html><html>"),
        "pytorch_model.bin is a web page, as a download that failed leaves it: fetch it again.",
    ),
    "another name": (instead("bert.safetensors"), "safetensors of another name (bert.safetensors)"),
    "shards without index": (
        instead("model-00001-of-00002.safetensors"),
        "but shards of weights (model-00001-of-00002.safetensors).",
    ),
    "adapter beside weights": (
        content("adapter_config.json", '{"peft_type": "LORA"}'),
        "adapter_config.json makes the checkpoint an adapter of another model: merge it",
    ),
    "adapter alone": (
        alone("adapter_config.json", "adapter_model.safetensors"),
        "holds an adapter (adapter_config.json); Cloze needs config.json with model.safetensors",
    ),
    "GGUF alone": (alone("model.gguf"), "holds a GGUF file (model.gguf); Cloze needs config.json"),
    "weights alone": (alone(WEIGHTS), f"holds weights ({WEIGHTS}); Cloze needs config.json"),
    "nothing": (alone(), "holds no checkpoint; Cloze needs config.json"),
    "model folder": (
        alone("manifest.json", "model.onnx"),
        "is a model folder of Cloze already; an export needs the checkpoint.",
    ),
    "folder of checkpoints": (
        alone("checkpoint-500/config.json", "checkpoint-900/config.json"),
        "holds a checkpoint in checkpoint-500, checkpoint-900; Cloze needs",
    ),
    # Several files that should agree.
    "missing shard": (
        index({"a": "model-00002-of-00002.safetensors"}),
        f"model-00002-of-00002.safetensors is missing; {WEIGHTS}.index.json says it holds weights.",
    ),
    "shard outside": (index({"a": "../x.safetensors"}), "names a file outside its folder."),
    "index of other tensors": (index({"a": "model-00001-of-00002.safetensors"}), "at odds with"),
    "index without a map": (index({}), "names no files in its weight_map."),
    "index of numbers": (index({"a": 1}), "weight_map in model.safetensors.index.json must be"),
    "which config": (
        sentence_transformers("0_Transformer/config.json"),
        "0_Transformer/config.json is not valid JSON",
    ),
    "which other config": (
        sentence_transformers("1_Pooling/config.json"),
        "1_Pooling/config.json is not valid JSON",
    ),
    # Configurations.
    "config is a list": (content(CONFIG, "[]"), f"{CONFIG} must hold a JSON object, not a list."),
    "config is null": (content(CONFIG, "null"), f"{CONFIG} must hold a JSON object"),
    "size is text": (setting(hidden_size="12"), "hidden_size in config.json must be a whole numb"),
    "size is a fraction": (setting(vocab_size=67.5), "vocab_size in config.json must be a whole"),
    "size is negative": (setting(num_attention_heads=-2), "must be a whole number of at least 1"),
    "size beyond reason": (setting(num_hidden_layers=10**12), "must be a whole number of at most"),
    "size is lacking": (setting(vocab_size=None), "config.json lacks vocab_size."),
    "sizes of another model": (setting(hidden_size=24), "its configuration asks for (67, 24)"),
    "layers too few": (setting(num_hidden_layers=2), "has no place for bert.encoder.layer.2"),
    "layers too many": (setting(num_hidden_layers=4), "The checkpoint lacks layers.3"),
    "another family": (setting(model_type="gpt2"), "This is a gpt2 checkpoint"),
    "family is a number": (setting(model_type=7), "model_type in config.json must be a string."),
    "another class": (setting(architectures=["BertForMultipleChoice"]), "BertForMultipleChoice is"),
    "classes are text": (setting(architectures="BertModel"), "architectures in config.json must"),
    "a number of 400 digits": (
        content("tokenizer_config.json", f'{{"model_max_length": 1{"0" * 400}}}'),
        "model_max_length in tokenizer_config.json must be a number above 0 and below infinity.",
    ),
    "a decoder": (setting(is_decoder=True), "config.json sets is_decoder; Cloze serves encoders."),
    "unknown activation": (setting(hidden_act="swiglu"), "The activation swiglu is not one"),
    "code of its own": (
        setting(model_type=None, auto_map={"AutoConfig": "own.Config"}),
        "config.json asks for its own code (auto_map), which is never run",
    ),
    "bitsandbytes": (
        setting(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        "the weights are quantised already (quantization_config, bitsandbytes); Cloze needs",
    ),
    "line breaks in a name": (
        setting(architectures=["Bert\n\x1b[2JModel"]),
        r"The architecture Bert\n\x1b[2JModel is not one",
    ),
    "endless name": (setting(hidden_act="x" * 100_000), "The activation xxx"),
    "half a character": (setting(hidden_act="\ud800"), "config.json holds half a character"),
    # Weights.
    "NaN": (value("bert.pooler.dense.bias", np.nan), "bert.pooler.dense.bias holds NaN or inf"),
    "infinity": (value("cls.predictions.bias", np.inf), "cls.predictions.bias holds NaN or inf"),
    "int8": (stored_as(torch.int8), "is stored as I8; expected one of BF16, F16, F32, F64."),
    "float8": (stored_as(torch.float8_e4m3fn), "is stored as F8_E4M3; expected one of"),
    "a weight too many": (
        tensors(lambda stored: stored.update({"lora_A.weight": torch.ones(2, 2)})),
        "A bert encoder has no place for lora_A.weight.",
    ),
    "a weight too few": (
        tensors(lambda stored: stored.pop("bert.embeddings.LayerNorm.bias")),
        "The checkpoint lacks embeddings.norm.bias.",
    ),
    "numbers too large for float32": (
        value("bert.encoder.layer.0.output.LayerNorm.weight", 3e38),
        "In fp32 the token_vectors are not finite; nothing was written.",
    ),
}
# With --allow-pickle.
BAD_PICKLES: dict[str, tuple[Spoil, str]] = {
    "pointer": (pickled(POINTER.encode()), f"pytorch_model.bin {PULL}"),
    "empty": (pickled(b""), "pytorch_model.bin is empty."),
    "text": (pickled(b"this is no pickle\n" * 50), "it is damaged or was cut short."),
    "a whole model": (
        pickled({"model": torch.nn.Linear(2, 2)}),
        "it asks for more than tensors, which may be code; it was not run.",
    ),
    "state of a training run": (
        pickled({"state_dict": {"a": torch.ones(1)}, "epoch": 3}),
        "it holds something else than named tensors.",
    ),
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A place for a model folder, alone in its own folder so that leftovers show."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "tiny"


def assert_bad(spoil: Spoil, sentence: str, bert: Path, out: Path, *options: str) -> None:
    spoil(bert)
    child = export(bert, out, *options)
    lines = child.stderr.splitlines()
    # What fails while the folder is made is told behind what was under way.
    steps = [line for line in lines[:-1] if not line.startswith("texts are lower-cased: ")]
    assert {"building the fp32 graph", "comparing it with the reference"} >= set(steps)
    child.stderr = f"{lines[-1]}\n"
    assert_refused(child, sentence)
    assert child.stderr.endswith((".\n", "…\n"))
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_folder_is_one_sentence(bert: Path, out: Path, name: str) -> None:
    assert_bad(*BAD[name], bert, out)


@pytest.mark.parametrize("name", BAD_PICKLES)
def test_bad_pickle_is_one_sentence(bert: Path, out: Path, name: str) -> None:
    assert_bad(*BAD_PICKLES[name], bert, out, "--allow-pickle")


def test_the_folder_that_is_spoilt_is_right(bert: Path, out: Path) -> None:
    child = export(bert, out)
    assert child.returncode == 0, child.stderr
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_file_instead_of_its_folder_is_one_sentence(bert: Path, out: Path, name: str) -> None:
    sentence = f"{bert / name} is a file; give the folder that holds config.json"
    assert_bad(lambda _: None, sentence, bert / name, out)
