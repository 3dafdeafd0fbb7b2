"""A model's id on the Hugging Face hub in, a local folder with the files an export needs out.

HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from export.errors import ExportError
from export.read.head_files import FILES as HEAD_FILES
from export.read.pickled import PICKLES
from export.read.pooling import MODULES
from export.read.tensors import INDEX, SINGLE

_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
_MODEL_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "added_tokens.json",
    "sentence_bert_config.json",
    SINGLE,
    INDEX,
    "model-*-of-*.safetensors",
)
_FOLDER_FILES = ("README.md", MODULES, "config_sentence_transformers.json", "*_Pooling/config.json")


def is_hub_id(text: str) -> bool:
    """Whether a text may name a model on the hub: `name` or `owner/name`.

    >>> is_hub_id("google-bert/bert-base-uncased"), is_hub_id("./bert"), is_hub_id("a/b/c")
    (True, False, False)
    """
    return _ID.fullmatch(text) is not None


def download(repository: str, *, revision: str | None, allow_pickle: bool) -> Path:
    """Fetch what is needed, or find it in the cache.

    Pickles come only on demand, and those of the encoder only where there are no safetensors.

    Raises:
        ExportError: there is no such model or revision, or the hub cannot be reached.
    """
    folder = _fetch(repository, revision, (*_everywhere(_MODEL_FILES), *_FOLDER_FILES))
    if allow_pickle:
        weights = () if any(folder.rglob("*.safetensors")) else PICKLES
        _fetch(repository, revision, _everywhere((*weights, *HEAD_FILES)))
    return folder


def _everywhere(names: Iterable[str]) -> tuple[str, ...]:
    """At the top, and where the first sentence-transformers versions kept their model."""
    return tuple(f"{folder}{name}" for folder in ("", "0_Transformer/") for name in names)


def _fetch(repository: str, revision: str | None, patterns: Iterable[str]) -> Path:
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError:
        reason = f"is gated: ask for access on {ENDPOINT} and set HF_TOKEN"
    except RevisionNotFoundError:
        reason = f"has no revision {revision} on {ENDPOINT}"
    except (RepositoryNotFoundError, HFValidationError):
        reason = f"is neither a folder here nor a model on {ENDPOINT}"
    except OSError as error:  # every failure of the network, and of the disk
        failure = type(error).__name__
        reason = f"is no folder here, and fetching it from {ENDPOINT} failed ({failure})"
    raise ExportError(f"{repository} {reason}.")
