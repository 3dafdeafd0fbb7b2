"""Google's names and layout turned into PyTorch's, and the checkpoint read to the end."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from export.read.tensorflow.bundle import FOOTER, MAGIC, Bundle, _table, checksum
from export.read.tensorflow.source import find_prefix, torch_name

Edit = Callable[..., None]


@pytest.mark.parametrize(
    ("google", "torch_key"),
    [
        ("bert/embeddings/word_embeddings", "bert.embeddings.word_embeddings.weight"),
        ("bert/embeddings/LayerNorm/gamma", "bert.embeddings.LayerNorm.gamma"),
        ("bert/embeddings/layer_normalization/beta", "bert.embeddings.LayerNorm.beta"),
        (
            "bert/encoder/layer_2/attention/output/layer_normalization_5/gamma/adam_m",
            "bert.encoder.layer.2.attention.output.LayerNorm.gamma.adam_m",
        ),
        (
            "cls/predictions/transform/layer_normalization_25/gamma",
            "cls.predictions.transform.LayerNorm.gamma",
        ),
        (
            "bert/encoder/layer_11/attention/output/dense/kernel",
            "bert.encoder.layer.11.attention.output.dense.weight",
        ),
        ("cls/predictions/output_bias", "cls.predictions.bias"),
        ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        ("cls/squad/output_weights", "qa_outputs.weight"),
        ("output_bias", "classifier.bias"),
        ("bert/pooler/dense/kernel/adam_v", "bert.pooler.dense.weight.adam_v"),
        ("output_weights/adam_m", "classifier.weight.adam_m"),
        ("global_step", "global_step"),
    ],
)
def test_name_becomes_pytorchs(google: str, torch_key: str) -> None:
    assert torch_name(google) == torch_key


def test_google_checkpoint_is_read_by_folder_and_by_prefix(tiny_tf: Path) -> None:
    for place in (tiny_tf, tiny_tf / "bert_model.ckpt", tiny_tf / "bert_model.ckpt.index"):
        checkpoint = read_checkpoint(place)
        assert checkpoint.heads == ("mlm", "nsp", "pooler")
        assert checkpoint.source.startswith("tiny_tf")
        assert str(tiny_tf.parent) not in checkpoint.source
        assert set(checkpoint.ignored.values()) == {"optimizer state"}
        assert len(checkpoint.ignored) == 3


def test_kernels_are_turned_and_all_else_is_not(tiny_tf: Path) -> None:
    weights = read_checkpoint(tiny_tf).weights
    with np.load(tiny_tf / "expected.npz") as stored:
        for name, google in (
            ("layers.1.intermediate.weight", "bert/encoder/layer_1/intermediate/dense/kernel"),
            ("layers.0.output.weight", "bert/encoder/layer_0/output/dense/kernel"),
            ("pooler.weight", "bert/pooler/dense/kernel"),
            ("mlm.transform.weight", "cls/predictions/transform/dense/kernel"),
        ):
            np.testing.assert_array_equal(weights[name], stored[google].T, err_msg=name)
            assert weights[name].flags.c_contiguous
        for name, google in (
            ("embeddings.word", "bert/embeddings/word_embeddings"),
            ("embeddings.norm.weight", "bert/embeddings/LayerNorm/gamma"),
            ("mlm.decoder.bias", "cls/predictions/output_bias"),
            ("nsp.weight", "cls/seq_relationship/output_weights"),
        ):
            np.testing.assert_array_equal(weights[name], stored[google], err_msg=name)
    assert weights["layers.1.intermediate.weight"].shape == (20, 12)


def test_norms_that_keras_numbered_are_read(tiny_tf: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_tf, tmp_path / "keras"))
    scopes: dict[str, int] = {}

    def renamed(name: str) -> str:
        scope, found, rest = name.partition("/LayerNorm/")
        order = scopes.setdefault(scope, len(scopes)) if found else 0
        keras = f"layer_normalization_{order}" if order else "layer_normalization"
        return f"{scope}/{keras}/{rest}" if found else name

    rename_tensors(folder / "bert_model.ckpt.index", renamed)
    names = Bundle(folder / "bert_model.ckpt").entries
    assert "bert/encoder/layer_1/output/layer_normalization_4/gamma" in names
    found, wanted = (read_checkpoint(place) for place in (folder, tiny_tf))
    for name in wanted.weights:
        np.testing.assert_array_equal(found.weights[name], wanted.weights[name], err_msg=name)


def rename_tensors(index: Path, renamed: Callable[[str], str]) -> None:
    """Write the index of a checkpoint anew: one block of entries, and one that points to it."""
    entries = sorted((renamed(name), value) for name, value in _table(index.read_bytes()))
    first, end = block([(name.encode(), value) for name, value in entries], at=0)
    second, last = block([(entries[-1][0].encode(), end)], at=len(first))
    footer = (bytes(2) + last).ljust(FOOTER - 8, b"\0") + MAGIC.to_bytes(8, "little")
    index.write_bytes(first + second + footer)


def block(entries: list[tuple[bytes, bytes]], *, at: int) -> tuple[bytes, bytes]:
    """A block of a LevelDB table that will stand at a byte, and the handle that points to it."""
    data = b"".join(
        number(0) + number(len(key)) + number(len(value)) + key + value for key, value in entries
    )
    data += (0).to_bytes(4, "little") + (1).to_bytes(4, "little")  # the one place to start from
    plain = data + b"\0"  # not compressed
    return plain + checksum(plain).to_bytes(4, "little"), number(at) + number(len(data))


def number(value: int) -> bytes:
    """Seven bits to a byte, the highest bit says that another one follows."""
    more = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(byte | 0x80 for byte in more[:-1]), more[-1]])


def test_vocabulary_of_an_uncased_checkpoint_lower_cases(tiny_tf: Path) -> None:
    assert '"lowercase": true' in read_checkpoint(tiny_tf).tokenizer_json


@pytest.fixture
def copy(tiny_tf: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be changed."""
    return Path(shutil.copytree(tiny_tf, tmp_path / "copy"))


def test_configuration_of_another_size_is_refused(copy: Path, edit: Edit) -> None:
    edit(copy / "bert_config.json", intermediate_size=24)
    with pytest.raises(ExportError, match=r"shape \(20, 12\); .* asks for \(24, 12\)"):
        read_checkpoint(copy)
    edit(copy / "bert_config.json", intermediate_size=20, num_hidden_layers=1)
    with pytest.raises(ExportError, match=r"no place for bert\.encoder\.layer\.1"):
        read_checkpoint(copy)


def test_several_checkpoints_in_a_folder_need_a_name(copy: Path) -> None:
    for old in copy.glob("bert_model.ckpt.*"):
        shutil.copy(old, copy / old.name.replace("bert_model.ckpt", "model.ckpt-20"))
        old.rename(copy / old.name.replace("bert_model.ckpt", "model.ckpt-10"))
    with pytest.raises(ExportError, match=r"name one of them: model\.ckpt-10, model\.ckpt-20"):
        read_checkpoint(copy)
    assert read_checkpoint(copy / "model.ckpt-20").heads == ("mlm", "nsp", "pooler")
    for path in copy.glob("model.ckpt-10.*"):
        path.unlink()
    assert find_prefix(copy) == copy / "model.ckpt-20"
    assert read_checkpoint(copy).source == "copy"
