"""A `TensorSource` in, the same without what a wrapper put in front of every name out.

DataParallel, torch.compile and training loops that hold the model as an attribute save it so.
transformers finds none of its weights in such a file. Which names those of the model are, is
certain as long as every name begins in the same way.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from export.read.tensors import TensorSource

# DataParallel, torch.compile, attributes of training loops and of sentence-transformers.
WRAPPERS = ("module.", "_orig_mod.", "model.", "auto_model.", "0.auto_model.")


@dataclass(frozen=True)
class UnwrappedSource:
    """A `TensorSource` whose names are those of another one, without their beginning."""

    source: TensorSource
    prefix: str

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """As `TensorSource.shapes`."""
        return {key.removeprefix(self.prefix): s for key, s in self.source.shapes.items()}

    def read(self, key: str) -> NDArray[Any]:
        """One tensor, as `TensorSource.read`."""
        return self.source.read(self.prefix + key)


def unwrapped(source: TensorSource, own: str) -> TensorSource:
    """The source with the model's own names; `own` is what they may begin with: "bert."."""
    prefix = wrapping(source.shapes, own)
    return UnwrappedSource(source, prefix) if prefix else source


def wrapping(keys: Collection[str], own: str) -> str:
    """What wrappers put in front of all keys, "" for nothing.

    What the model's own names may begin with is a wrapper too where it stands twice, as in
    `bert.bert.pooler.…` beside `bert.cls.…`.

    >>> wrapping(["module.bert.pooler.dense.bias", "module.classifier.bias"], "bert.")
    'module.'
    >>> wrapping(["bert.bert.pooler.dense.bias", "bert.classifier.bias"], "bert.")
    'bert.'
    >>> wrapping(["model.pooler.dense.bias", "classifier.bias"], "bert.")
    ''
    """
    prefix = ""
    while keys:
        rest = [key.removeprefix(prefix) for key in keys]
        twice = [each for each in (own, "encoder.") if any(k.startswith(each * 2) for k in rest)]
        wrappers = filter(None, (*WRAPPERS, *twice))  # a family's own beginning may be none
        found = next((each for each in wrappers if all(k.startswith(each) for k in rest)), None)
        if found is None:
            break
        prefix += found
    return prefix
