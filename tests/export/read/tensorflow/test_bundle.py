"""Files that TensorFlow wrote, read without it; and every way in which they can be damaged."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from export.errors import ExportError
from export.read.tensorflow.bundle import Bundle, checksum

INDEX = "bert_model.ckpt.index"
FLOAT = 1  # TensorFlow's number for float32
DATA = "bert_model.ckpt.data-00000-of-00001"


@pytest.fixture
def prefix(tiny_tf: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be damaged."""
    for name in (INDEX, DATA):
        shutil.copy(tiny_tf / name, tmp_path / name)
    return tmp_path / "bert_model.ckpt"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_every_tensor_is_what_tensorflow_reads(tiny_tf: Path) -> None:
    bundle = Bundle(tiny_tf / "bert_model.ckpt")
    with np.load(tiny_tf / "expected.npz") as expected:
        for name in expected.files:
            found = bundle.read(name)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected[name], err_msg=name)
        others = set(bundle.entries) - set(expected.files)
    slots = {"bert/pooler/dense/bias/adam_m", "bert/pooler/dense/bias/adam_v"}
    assert others == slots | {"global_step"}


def test_flipped_bit_of_the_index_is_noticed_or_changes_nothing(prefix: Path) -> None:
    index = prefix.with_name(INDEX)
    whole, entries = index.read_bytes(), Bundle(prefix).entries
    noticed = tried = 0
    for at in range(0, len(whole), 7):
        tried += 1
        flip(index, at)
        try:
            # Where nothing is noticed, the bit was in padding or in a block that nobody reads.
            assert Bundle(prefix).entries == entries, f"byte {at}"
        except ExportError as error:
            assert "index is damaged or was cut short" in str(error)  # noqa: PT017 (or no error)
            noticed += 1
        index.write_bytes(whole)
    assert noticed > 0.9 * tried


@pytest.mark.parametrize("name", [INDEX, DATA])
def test_git_lfs_pointer_is_called_one(prefix: Path, name: str) -> None:
    prefix.with_name(name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ExportError, match=f"{name} is a Git LFS pointer"):
        Bundle(prefix).read("bert/pooler/dense/bias")


@pytest.mark.parametrize("size", [0, 40, 47, 700, -1])
def test_truncated_index_is_refused(prefix: Path, size: int) -> None:
    index = prefix.with_name(INDEX)
    index.write_bytes(index.read_bytes()[:size])
    with pytest.raises(
        ExportError, match=r"bert_model\.ckpt\.index is (empty|damaged or was cut short)"
    ):
        Bundle(prefix)


def test_flipped_bit_of_the_data_is_noticed(prefix: Path) -> None:
    entry = Bundle(prefix).entries["bert/pooler/dense/kernel"]
    flip(prefix.with_name(DATA), entry.offset + 5)
    with pytest.raises(ExportError, match="the checksum of bert/pooler/dense/kernel"):
        Bundle(prefix).read("bert/pooler/dense/kernel")


def test_truncated_and_missing_data_are_told_apart(prefix: Path) -> None:
    data = prefix.with_name(DATA)
    data.write_bytes(data.read_bytes()[:-1])
    bundle = Bundle(prefix)
    last = "global_step"
    bundle.entries[last].dtype = FLOAT
    with pytest.raises(ExportError, match=f"{DATA} was cut short"):
        bundle.read(last)
    data.unlink()
    with pytest.raises(ExportError, match=f"{DATA} is missing"):
        bundle.read(last)


def test_integers_are_no_weights(prefix: Path) -> None:
    with pytest.raises(ExportError, match="global_step is stored in a type that is not"):
        Bundle(prefix).read("global_step")


def test_partitioned_variable_is_refused_by_name(tiny_tf: Path) -> None:
    with pytest.raises(ExportError, match="bert/pooler/dense/bias is a partitioned variable"):
        Bundle(tiny_tf.with_name("partitioned_tf") / "bert_model.ckpt")


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_checksum_is_the_masked_crc_of_the_standard(data: bytes, crc: int) -> None:
    turned = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    assert checksum(data) == (turned + 0xA282EAD8) % 2**32
