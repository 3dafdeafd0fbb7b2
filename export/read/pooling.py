"""A sentence-transformers folder in, how its rows become a sentence vector out.

Knows nothing of weights: a plain folder gets a default.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from export.architectures.registry import architecture_of
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.documents import Fields, read_json
from models.manifest import POOLING_MODES, PoolingSpec

MODULES = "modules.json"
# The fields of older files, one flag per mode, and the mode that newer files name.
POOLING_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class Module:
    """One entry of modules.json."""

    kind: str  # the class name: "Transformer", "Pooling", "Normalize"
    folder: Path


def read_modules(root: Path) -> tuple[Module, ...]:
    """The modules of a sentence-transformers folder in order, () for another folder.

    Raises:
        ExportError: a module is not one that Cloze serves, or its folder lies outside `root`.
    """
    if not (root / MODULES).is_file():
        return ()
    entries = read_json(root / MODULES)
    if not isinstance(entries, list):
        raise ExportError(f"{MODULES} must hold a list of modules.")
    modules = tuple(_module(root, Fields.wrap(entry, MODULES)) for entry in entries)
    kinds = [module.kind for module in modules]
    # A cross-encoder has no pooling: its classifier reads the rows.
    if not kinds or kinds != ["Transformer", "Pooling", "Normalize"][: len(kinds)]:
        raise ExportError(
            f"{MODULES} lists {', '.join(kinds) or 'nothing'}; "
            "Cloze serves Transformer, then Pooling, then perhaps Normalize."
        )
    return modules


def read_pooling(root: Path, modules: tuple[Module, ...], config: EncoderConfig) -> PoolingSpec:
    """How a checkpoint pools, or the default where it does not say: the normalised mean.

    Raises:
        ExportError: it pools in a way that Cloze does not.
    """
    longest = architecture_of(config).max_tokens(config)
    pooling = next((module for module in modules if module.kind == "Pooling"), None)
    if pooling is None:
        return PoolingSpec("mean", normalize=True, max_tokens=longest)
    prompts, default_prompt = _prompts(root)
    fields = Fields.of(pooling.folder / "config.json")
    if any(prompts.values()) and not fields.flag("include_prompt", default=True):
        raise ExportError("1_Pooling leaves the prompt out of the mean, which Cloze does not do.")
    return PoolingSpec(
        mode=_mode(fields),
        normalize=any(module.kind == "Normalize" for module in modules),
        max_tokens=min(longest, _max_tokens(modules[0].folder) or longest),
        prompts=prompts,
        default_prompt=default_prompt,
    )


def _module(root: Path, fields: Fields) -> Module:
    package, _, kind = fields.text("type").rpartition(".")
    if package.partition(".")[0] != "sentence_transformers":
        raise ExportError(f"{MODULES} asks for code of its own ({kind}), which is never run.")
    path = PurePosixPath(fields.text("path", ""))
    if path.is_absolute() or ".." in path.parts:
        raise ExportError(f"{MODULES} names a folder outside the checkpoint.")
    return Module(kind, root / path)


def _mode(fields: Fields) -> str:
    named = fields.values.get("pooling_mode")
    modes = [named] if isinstance(named, str) else named
    modes = modes or [
        mode for flag, mode in POOLING_FLAGS.items() if fields.flag(flag, default=False)
    ]
    if modes == [] or not isinstance(modes, list):
        modes = ["mean"]  # as sentence-transformers reads a file that names no mode
    if len(modes) != 1 or modes[0] not in POOLING_MODES:
        raise ExportError(
            f"The checkpoint pools by {' + '.join(map(str, modes))}; "
            f"Cloze pools by one of {', '.join(POOLING_MODES)}."
        )
    return str(modes[0])


def _max_tokens(transformer: Path) -> int | None:
    """The longest text in tokens, None where no file says.

    Older versions keep it with the model, newer ones with the tokenizer.
    """
    for name, field in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        fields = Fields.of(transformer / name, optional=True)
        if fields.values.get(field) is not None:
            # Written as 1e30 where there is no bound.
            return int(fields.number(field))
    return None


def _prompts(root: Path) -> tuple[dict[str, str], str | None]:
    fields = Fields.of(root / "config_sentence_transformers.json", optional=True)
    prompts = fields.mapping("prompts")
    default = fields.text("default_prompt_name", "") or None
    if default is not None and default not in prompts:
        raise ExportError(f"default_prompt_name in {fields.file} is not among its prompts.")
    return prompts, default
