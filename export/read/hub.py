"""A model's id on the Hugging Face hub in, a local folder with the files an export needs out.

HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from huggingface_hub import snapshot_download
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from export.errors import ExportError
from export.read.files import MODULES
from export.read.foreign import ADAPTER, lacking
from export.read.head_files import FILES as HEAD_FILES
from export.read.pickled import PICKLES
from export.read.tensors import INDEX, SINGLE

# Of the network and of the disk; a proxy that refuses is no OSError.
_FAILURES = (OSError, HTTPError)
_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
# What a model or a module of sentence-transformers consists of, and every kind of tokenizer.
_MODEL_FILES = (
    "config.json",
    ADAPTER,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "sentence_*_config.json",
    SINGLE,
    INDEX,
    "model-*-of-*.safetensors",
)
_FOLDER_FILES = ("README.md", MODULES, "config_sentence_transformers.json")


def is_hub_id(text: str) -> bool:
    """Whether a text may name a model on the hub: `name` or `owner/name`.

    >>> is_hub_id("google-bert/bert-base-uncased"), is_hub_id("./bert"), is_hub_id("a/b/c")
    (True, False, False)
    """
    return _ID.fullmatch(text) is not None


def download(repository: str, *, revision: str | None, allow_pickle: bool) -> Path:
    """Fetch what is needed, or find it in the cache.

    Pickles come only on demand, and those of an encoder or a module only where there are no
    safetensors.

    Raises:
        ExportError: there is no such model or revision, it has no weights that Cloze reads, or the
            hub cannot be reached.
    """
    root = _fetch(repository, revision, (*_MODEL_FILES, *_FOLDER_FILES))
    inner = list(_module_folders(root))
    if inner:
        root = _fetch(repository, revision, _within(inner, _MODEL_FILES))
    if allow_pickle and (bare := [at for at in ("", *inner) if not _has_weights(root / at)]):
        _fetch(repository, revision, _within(bare, PICKLES))
    if allow_pickle:
        _fetch(repository, revision, _within(["", *inner], HEAD_FILES))
    if not any(root.rglob("*.safetensors")) and not any(root.rglob("pytorch_model*.bin")):
        raise ExportError(lacking(_names(repository, revision), allow_pickle=allow_pickle))
    return root


def _module_folders(root: Path) -> Iterator[str]:
    """Where modules.json says that modules are, "1_Pooling"; what is odd in it is told later."""
    try:
        entries = json.loads((root / MODULES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else []:
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str) and ".." not in PurePosixPath(path).parts:
            yield from [path.strip("/")] if path.strip("/.") else []


def _within(folders: Iterable[str], names: Iterable[str]) -> list[str]:
    """The patterns of these names in each folder; nothing in a folder's name is a pattern.

    >>> _within(["", "2_Dense"], ["config.json"])
    ['config.json', '2_Dense/config.json']
    """
    names = list(names)
    escaped = [re.sub(r"([*?[])", r"[\1]", at) for at in folders]
    return [f"{at}/{name}".lstrip("/") for at in escaped for name in names]


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _names(repository: str, revision: str | None) -> list[str]:
    """The files that a model has on the hub; none where the hub cannot be asked."""
    try:
        return [
            file.filename for file in snapshot_download(repository, revision=revision, dry_run=True)
        ]
    except _FAILURES:
        return []


def _fetch(repository: str, revision: str | None, patterns: Iterable[str]) -> Path:
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError:
        reason = f"is gated: ask for access on {ENDPOINT} and set HF_TOKEN"
    except RevisionNotFoundError:
        reason = f"has no revision {revision} on {ENDPOINT}"
    except (RepositoryNotFoundError, HFValidationError):
        reason = f"is neither a folder here nor a model on {ENDPOINT}"
    except _FAILURES as error:
        failure = type(error).__name__
        reason = f"is no folder here, and fetching it from {ENDPOINT} failed ({failure})"
    raise ExportError(f"{repository} {reason}.")
