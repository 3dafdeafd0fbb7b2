"""The settings of a cross-encoder in, what makes scores of its classifier's logits out.

sentence-transformers keeps the path of a class of torch: today in its own file, before that in
config.json, in two places. Where none of them speaks, scores follow from the labels.
"""

from collections.abc import Mapping
from typing import Final

from export.errors import ExportError
from export.read.documents import Fields
from export.read.sentence_settings import MODEL_FILE, PAIRS, ModelSettings
from export.read.torch_classes import of_torch

SECTION: Final = "sentence_transformers"  # of config.json, since version 4
FIELD: Final = "activation_fn"
_FORMER: Final = "sbert_ce_default_activation_function"  # in config.json, before version 4
# Class -> the function's name in a manifest.
ACTIVATIONS: Final[Mapping[str, str]] = {
    "Identity": "none",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
}
# Harmless fields of the section in config.json.
_HARMLESS: Final = ("version",)


def read_activation(settings: ModelSettings, config: Fields, *, labels: int) -> str | None:
    """One of `models.manifest.FUNCTIONS`, or None where no file says; the newest place wins.

    A folder that is a cross-encoder's by name and says no more has the library's own choice, which
    depends on the number of labels.

    Raises:
        ExportError: it is another function.
    """
    section = Fields.wrap(config.values.get(SECTION) or {}, f"{SECTION} of {config.file}")
    for name in section.values:
        if name not in (FIELD, *_HARMLESS):
            raise ExportError(f"{section.file} sets {name}, which Cloze does not know.")
    places = (
        (settings.activation or "", MODEL_FILE),
        (section.text(FIELD, ""), config.file),
        (config.text(_FORMER, ""), config.file),
    )
    path, file = next(((path, file) for path, file in places if path), ("", ""))
    found = of_torch(path, ACTIVATIONS, file)
    if found is None and settings.kind == PAIRS:
        return "sigmoid" if labels == 1 else "none"
    return found
