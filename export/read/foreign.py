"""The names of a folder's files in, what they are where Cloze does not read them out, in words.

So that whoever has no weights that Cloze reads learns what there is instead, and what is needed.
"""

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

ADAPTER = "adapter_config.json"
WEIGHTS = "model.safetensors"
PICKLED = "pickled weights"
# What people name -> patterns of its files' names. The first that fits a file says what it is.
_KINDS = {
    "weights": (WEIGHTS,),
    "shards of weights": ("model-*-of-*.safetensors",),
    "an adapter": (ADAPTER, "adapter_model.*", "adapters.npz"),
    "an ONNX graph": ("*.onnx",),
    "weights for TensorFlow's Keras": ("*.h5", "*.keras"),
    "a TensorFlow SavedModel": ("saved_model.pb",),
    "weights for Flax": ("*.msgpack",),
    "a GGUF file": ("*.gguf", "ggml-*.bin"),
    "weights for OpenVINO": ("openvino_*.xml",),
    "weights for Core ML": ("*.mlmodel", "*.mlpackage"),
    "weights for TensorFlow Lite": ("*.tflite",),
    "weights for Rust": ("*.ot",),
    "a TensorFlow checkpoint": ("*.ckpt*.index",),
    PICKLED: ("pytorch_model*.bin",),
    "safetensors of another name": ("*.safetensors",),
    "a pickle of another name": ("*.pt", "*.pth", "*.ckpt", "*.bin", "*.pkl"),
}
_MOST = 2000  # names: a folder of something else may be large


def names_in(folder: Path) -> Iterator[str]:
    """The names of the files of a folder and of the folders in it, `onnx/model.onnx`, in order."""
    if folder.is_dir():
        found = islice((*folder.glob("*"), *folder.glob("*/*")), _MOST)
        yield from sorted(path.relative_to(folder).as_posix() for path in found)


def describe(names: Collection[str]) -> str:
    """What Cloze does not read among these names, one file for each kind; empty for nothing.

    >>> describe(["README.md", "onnx/model.onnx", "onnx/model_O2.onnx", "tf_model.h5"])
    "an ONNX graph (onnx/model.onnx) and weights for TensorFlow's Keras (tf_model.h5)"
    """
    found: dict[str, str] = {}
    for name in names:
        if kind := _kind(name.rpartition("/")[2]):
            found.setdefault(kind, f"{kind} ({name})")
    listed = [found[kind] for kind in _KINDS if kind in found]
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if listed[1:] else listed)


def lacking(names: Iterable[str], *, allow_pickle: bool, what: str = "The checkpoint") -> str:
    """The sentence about a folder with these names, in which there are no weights to read.

    >>> lacking(["config.json", "model.gguf"], allow_pickle=False)
    'The checkpoint has no model.safetensors, which Cloze needs, but a GGUF file (model.gguf).'
    """
    there = describe(list(names))
    but = f", but {there}" if there else ""
    hint = "; pickled weights are read only with --allow-pickle" if PICKLED in there else ""
    return f"{what} has no {WEIGHTS}, which Cloze needs{but}{'' if allow_pickle else hint}."


def _kind(name: str) -> str | None:
    """What a file is by its name.

    >>> _kind("model.gguf"), _kind("vocab.txt")
    ('a GGUF file', None)
    """
    fitting = (kind for kind, patterns in _KINDS.items() if _fits(name, patterns))
    return next(fitting, None)


def _fits(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
