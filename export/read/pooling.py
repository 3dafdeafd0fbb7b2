"""The Pooling of a sentence-transformers folder and what follows it in, a `PoolingSpec` out.

With it come the weights of the modules that follow. A plain folder gets a default.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from export.errors import ExportError
from export.read.modules import POOLING, SPLADE, Module, require_known
from export.read.pooling_modules import OpenModule, read_pooling_modules
from export.read.sentence_settings import ModelSettings
from export.read.weights import JoinedWeights, Weights
from models.pooling import AND, MOST_MODES, POOLING_MODES, PoolingSpec

# The fields of older files, one flag per mode, in the order in which sentence-transformers lays
# their vectors end to end; and the mode that newer files name.
POOLING_FLAGS: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Of a SpladePooling, what Cloze serves.
SPLADE_SETTINGS: Final = {"pooling_strategy": "max", "activation_function": "relu"}
# Harmless: the width of what is pooled, which the encoder tells.
_WIDTHS: Final = ("embedding_dimension", "word_embedding_dimension")


@dataclass(frozen=True)
class ReadPooling:
    """How a checkpoint pools, and the weights that it does so with."""

    spec: PoolingSpec
    weights: Weights = field(default_factory=lambda: JoinedWeights(()))


def read_pooling(
    modules: tuple[Module, ...],
    settings: ModelSettings,
    *,
    hidden: int,
    longest: int,
    open_module: OpenModule,
) -> ReadPooling:
    """How a checkpoint pools, or the default where it does not say: the normalised mean.

    `longest` is the longest text in tokens; `open_module` finds the weights of a module.

    Raises:
        ExportError: it pools in a way that Cloze does not.
    """
    pooling = next((module for module in modules if module.kind == POOLING), None)
    if pooling is None:
        return ReadPooling(_usual(modules, settings, longest))
    fields = pooling.config()
    require_known(fields, (*_WIDTHS, *POOLING_FLAGS, "pooling_mode", "include_prompt"))
    modes = _modes(fields.values.get("pooling_mode"), fields.file)
    if modes is None:
        flagged = [m for flag, m in POOLING_FLAGS.items() if fields.flag(flag, default=False)]
        modes = flagged or ["mean"]  # as sentence-transformers reads a file that names none
    behind = read_pooling_modules(modules[2:], hidden * len(modes), open_module)
    whole = PoolingSpec(
        mode=AND.join(modes),
        normalize=behind.normalize,
        max_tokens=longest,
        prompts=settings.prompts,
        default_prompt=settings.default_prompt,
        include_prompt=fields.flag("include_prompt", default=True),
        similarity=settings.similarity,
        modules=behind.modules,
    )
    asked = settings.dimensions  # as many as there are, or more, are all
    dimensions = asked if asked is not None and asked < whole.width(hidden) else None
    return ReadPooling(replace(whole, dimensions=dimensions), behind.weights)


def _usual(modules: tuple[Module, ...], settings: ModelSettings, longest: int) -> PoolingSpec:
    """The normalised mean; of a sparse encoder, whose words are weighed, with its prompts."""
    usual = PoolingSpec("mean", normalize=True, max_tokens=longest)
    splade = next((module for module in modules if module.kind == SPLADE), None)
    if splade is None:
        return usual
    fields = splade.config()
    require_known(fields, (*_WIDTHS, *SPLADE_SETTINGS, "chunk_size"))
    for setting, wanted in SPLADE_SETTINGS.items():
        found = fields.text(setting, wanted)
        if found != wanted:
            raise ExportError(
                f"{setting} in {fields.file} is {found}; Cloze serves {wanted} alone."
            )
    return replace(usual, prompts=settings.prompts, default_prompt=settings.default_prompt)


def _modes(named: object, file: str) -> list[str] | None:
    """The modes that a newer file names, None for an older one."""
    if named is None:
        return None
    modes = [named] if isinstance(named, str) else named
    if not isinstance(modes, list) or not set(map(str, modes)) <= set(POOLING_MODES):
        raise ExportError(
            f"pooling_mode in {file} is {named}; Cloze pools by {', '.join(POOLING_MODES)}."
        )
    if not 0 < len(modes) <= MOST_MODES:
        raise ExportError(
            f"pooling_mode in {file} names {len(modes)} modes; expected 1 to {MOST_MODES}."
        )
    return modes
