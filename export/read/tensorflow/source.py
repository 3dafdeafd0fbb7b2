"""A Google BERT checkpoint in, its tensors under PyTorch's names and in PyTorch's layout out.

Read without TensorFlow (see `export.read.tensorflow.bundle`): nothing extra is installed for such a
checkpoint. Names differ only in form, `bert/encoder/layer_0/output/dense/kernel` for
`bert.encoder.layer.0.output.dense.weight`; kernels are (in, out) and are turned to (out, in).
`hidden_act: gelu` is computed exactly (erf), as every conversion of these weights has done.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from export.errors import ExportError
from export.read.tensorflow.bundle import Bundle, index_of

DEFAULT = "bert_model.ckpt"
CONFIG = "bert_config.json"
# Google's name, from its start to its end -> PyTorch's; the last four are fine-tuned heads: of
# run_squad.py, and of run_classifier.py, which has labels for whole texts only.
_RENAMED = {
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
}
_TURNED = "/kernel"  # what is (in, out) there and (out, in) in PyTorch
_SLOT = re.compile(r"(.+)/(adam_[mv]|Adam(_1)?|LAMB(_1)?)")


@dataclass(frozen=True)
class TensorFlowSource:
    """A `TensorSource` over a TensorFlow checkpoint."""

    bundle: Bundle
    names: Mapping[str, str]  # PyTorch's name -> Google's
    shapes: Mapping[str, tuple[int, ...]]

    def read(self, key: str) -> NDArray[Any]:
        """One tensor, as `TensorSource.read`."""
        array = self.bundle.read(self.names[key])
        return array.T if self.names[key].endswith(_TURNED) else array


def open_tensorflow(prefix: Path) -> TensorFlowSource:
    """The tensors of the checkpoint whose files begin with `prefix`."""
    bundle = Bundle(prefix)
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in bundle.entries:
        raise ExportError(
            f"{prefix.name} is an object-based TensorFlow 2 checkpoint; "
            "Cloze reads the name-based ones that Google's BERT was published in."
        )
    names = {torch_name(name): name for name in bundle.entries}
    shapes = {
        key: bundle.shape(name)[:: -1 if name.endswith(_TURNED) else 1]
        for key, name in names.items()
    }
    return TensorFlowSource(bundle, names, shapes)


def find_prefix(place: Path) -> Path | None:
    """The prefix of a TensorFlow checkpoint: `place` itself, or the one in that folder.

    Raises:
        ExportError: the folder holds several, and none is called bert_model.ckpt.
    """
    if not place.is_dir():
        prefix = place.with_suffix("") if place.suffix == ".index" else place
        return prefix if index_of(prefix).is_file() else None
    if index_of(place / DEFAULT).is_file():
        return place / DEFAULT
    prefixes = [index.with_suffix("") for index in sorted(place.glob("*.index"))]
    if len(prefixes) > 1:
        names = ", ".join(prefix.name for prefix in prefixes)
        raise ExportError(f"The folder holds several checkpoints; name one of them: {names}.")
    return prefixes[0] if prefixes else None


def torch_name(name: str) -> str:
    """PyTorch's name for Google's; an optimizer slot keeps the name of its weight in front.

    >>> torch_name("bert/encoder/layer_0/attention/self/query/kernel")
    'bert.encoder.layer.0.attention.self.query.weight'
    >>> torch_name("bert/encoder/layer_3/output/layer_normalization_8/gamma")
    'bert.encoder.layer.3.output.LayerNorm.gamma'
    """
    if slot := _SLOT.fullmatch(name):
        return f"{torch_name(slot[1])}.{slot[2]}"
    if name in _RENAMED:
        return _RENAMED[name]
    name = re.sub(r"/layer_(\d+)/", r"/layer/\1/", name)
    # As Keras numbers the norms of a model, in whichever scope.
    name = re.sub(r"/layer_normalization(_\d+)?/", "/LayerNorm/", name)
    name = re.sub(r"_embeddings$", "_embeddings/weight", name)
    return re.sub(r"/kernel$", "/weight", name).replace("/", ".")
