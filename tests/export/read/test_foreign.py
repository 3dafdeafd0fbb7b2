"""What a folder holds instead of weights, said by the names of its files."""

from pathlib import Path

import pytest

from export.read.foreign import describe, lacking, names_in


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], ""),
        (["README.md", "config.json", "vocab.txt", "modules.json"], ""),
        (["onnx/model_quantized.onnx"], "an ONNX graph (onnx/model_quantized.onnx)"),
        (
            ["adapter_config.json", "adapter_model.safetensors"],
            "an adapter (adapter_config.json)",
        ),
        (["model-q8_0.gguf"], "a GGUF file (model-q8_0.gguf)"),
        (["ggml-model-f16.bin"], "a GGUF file (ggml-model-f16.bin)"),
        (
            ["pytorch_model-00001-of-00002.bin"],
            "pickled weights (pytorch_model-00001-of-00002.bin)",
        ),
        (
            ["rust_model.ot", "tf_model.h5"],
            "weights for TensorFlow's Keras (tf_model.h5) and weights for Rust (rust_model.ot)",
        ),
        (
            ["model-00002-of-00002.safetensors"],
            "shards of weights (model-00002-of-00002.safetensors)",
        ),
        (
            ["model.safetensors", "x.safetensors"],
            "weights (model.safetensors) and safetensors of another name (x.safetensors)",
        ),
        (["flax_model.msgpack"], "weights for Flax (flax_model.msgpack)"),
        (["bert_model.ckpt.index"], "a TensorFlow checkpoint (bert_model.ckpt.index)"),
        (["model.ckpt-20.index"], "a TensorFlow checkpoint (model.ckpt-20.index)"),
        (["bert.safetensors"], "safetensors of another name (bert.safetensors)"),
        (["best.pt", "last.ckpt"], "a pickle of another name (best.pt)"),
    ],
)
def test_each_kind_is_named_once(names: list[str], words: str) -> None:
    assert describe(names) == words


def test_pickles_that_are_there_are_offered_unless_they_are_allowed() -> None:
    names = ["pytorch_model.bin", "tf_model.h5"]
    assert lacking(names, allow_pickle=False).endswith(
        "; pickled weights are read only with --allow-pickle."
    )
    assert "--allow-pickle" not in lacking(names, allow_pickle=True)
    assert "--allow-pickle" not in lacking(["tf_model.h5"], allow_pickle=False)


def test_names_are_those_of_two_levels(tmp_path: Path) -> None:
    (tmp_path / "onnx" / "deeper").mkdir(parents=True)
    for place in ("b.txt", "onnx/model.onnx", "onnx/deeper/model.onnx"):
        (tmp_path / place).touch()
    assert list(names_in(tmp_path)) == ["b.txt", "onnx", "onnx/deeper", "onnx/model.onnx"]
    assert list(names_in(tmp_path / "nowhere")) == []
