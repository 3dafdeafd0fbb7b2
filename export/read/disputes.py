"""What two versions of transformers, or two files, say differently in, the refusals of it out.

Version 5 puts most tokenizers together anew and takes only the vocabulary from a tokenizer.json;
version 4 takes all of that file and then changes what options say. Where they come to different
tokenizers, none is guessed.
"""

from export.errors import ExportError
from export.read.documents import Fields
from export.read.tokenizer_class import CONFIG
from models.manifest import TOKENIZER_FILE

LOWERCASE, NO_LOWERCASE = "--lowercase", "--no-lowercase"
_AS_IT_IS = "set tokenizer_class to PreTrainedTokenizerFast there if the file is right"


def disputed(found: str, usual: object, option: str | None = None) -> ExportError:
    """A part of tokenizer.json that one version takes, where the other makes its own."""
    set_it = f"set {option} in {CONFIG}" if option else f"in {CONFIG}, {_AS_IT_IS}"
    return ExportError(
        f"{TOKENIZER_FILE} has {found}, where one version of transformers takes that and another "
        f"{usual}: {set_it}."
    )


def contradicted(option: str, said: object, found: object) -> ExportError:
    """An option that is set to something else than what tokenizer.json does."""
    return ExportError(
        f"{CONFIG} sets {option} to {said} and {TOKENIZER_FILE} to {found}; versions of "
        "transformers differ in which of them counts."
    )


def unused(lowercase: bool | None, reason: str) -> ExportError:
    """A choice of the person who exports that would not be followed."""
    option = LOWERCASE if lowercase else NO_LOWERCASE
    return ExportError(f"{option} cannot be followed with this tokenizer: {reason}.")


def truth(config: Fields, option: str, *, usual: bool) -> bool:
    """A flag that Python reads: null is false."""
    return config.flag(option, default=option not in config.values and usual)
