"""Texts in, one vector per text out: pooled, cut to the wanted dimensions, then normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.manifest import ModelManifest
from server.errors import InvalidParameter
from server.inference.runtime.packing import LAST_LAYER, Item, MaskResult, PoolWant, Result
from server.inference.tasks.plan import Limits, Plan
from server.inference.tokenizer import Pieces, Tokenizer, require_known, too_long

SPECIAL_TOKENS = 2
POOLING_MODES = ("mean", "cls", "max")
SMALLEST_NORM = np.float32(1e-12)


@dataclass(frozen=True)
class EmbedOptions:
    """What an embedding request asks besides its texts; None means the model's own way."""

    truncate: bool = False
    truncation_direction: str = "right"
    normalize: bool | None = None
    dimensions: int | None = None
    prompt_name: str | None = None
    pooling: str | None = None
    layer: int | None = None


def check_embed(options: EmbedOptions, manifest: ModelManifest) -> None:
    """Raise `InvalidParameter` for options that the model cannot satisfy."""
    hidden = manifest.architecture.hidden_size
    layers = (LAST_LAYER, *manifest.layers)
    if options.dimensions is not None and not 1 <= options.dimensions <= hidden:
        raise InvalidParameter(f"dimensions must be from 1 to {hidden}.", param="dimensions")
    if options.pooling is not None and options.pooling not in POOLING_MODES:
        raise InvalidParameter(f"pooling must be one of {POOLING_MODES}.", param="pooling")
    if options.layer is not None and options.layer not in layers:
        raise InvalidParameter(f"This model can pool the layers {layers}.", param="layer")
    if options.truncation_direction not in ("left", "right"):
        raise InvalidParameter(
            'truncation_direction must be "left" or "right".', param="truncation_direction"
        )
    if options.prompt_name is not None and options.prompt_name not in manifest.pooling.prompts:
        known = ", ".join(sorted(manifest.pooling.prompts)) or "none"
        raise InvalidParameter(f"This model's prompts are: {known}.", param="prompt_name")


def plan_embed(
    tokenizer: Tokenizer,
    inputs: Sequence[str | Sequence[int]],
    options: EmbedOptions,
    manifest: ModelManifest,
    limits: Limits,
) -> Plan[NDArray[np.float32]]:
    """One item per text; the answer is float32 (texts, dimensions)."""
    want = PoolWant(options.pooling or manifest.pooling.mode, options.layer or LAST_LAYER)
    prompt = _prompt(options, manifest)
    room = limits.max_embed_tokens - SPECIAL_TOKENS
    items, truncated = [], []
    for index, text in enumerate(inputs):
        param = f"inputs[{index}]"
        pieces = _pieces(tokenizer, text, prompt, options, limits, param)
        if len(pieces.ids) > room and not options.truncate:
            raise too_long(limits.max_embed_tokens, param)
        kept = pieces.ids[:room] if options.truncation_direction == "right" else pieces.ids[-room:]
        items.append(Item(tokenizer.assemble(kept), want))
        truncated.append(pieces.cut or len(pieces.ids) > room)
    normalize = manifest.pooling.normalize if options.normalize is None else options.normalize

    def finish(results: list[Result]) -> NDArray[np.float32]:
        rows = [result for result in results if not isinstance(result, MaskResult)]
        vectors = np.stack(rows) if len(rows) > 1 else rows[0][None]
        return shape_vectors(vectors, options.dimensions, normalize)

    return Plan(items, finish, tuple(truncated))


def shape_vectors(
    vectors: NDArray[np.float32], dimensions: int | None, normalize: bool
) -> NDArray[np.float32]:
    """Keep the first `dimensions`, then scale to length 1: float32 (n, H) -> (n, dimensions).

    >>> shape_vectors(np.array([[3.0, 4.0, 12.0]], np.float32), 2, True).round(2).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    vectors = vectors[:, :dimensions]
    if not normalize:
        return np.ascontiguousarray(vectors)  # JSON is written from whole rows only
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    unit: NDArray[np.float32] = vectors / np.maximum(length, SMALLEST_NORM)[:, None]
    return unit


def _prompt(options: EmbedOptions, manifest: ModelManifest) -> str:
    name = options.prompt_name or manifest.pooling.default_prompt
    return manifest.pooling.prompts.get(name, "") if name is not None else ""


def _pieces(
    tokenizer: Tokenizer,
    text: str | Sequence[int],
    prompt: str,
    options: EmbedOptions,
    limits: Limits,
    param: str,
) -> Pieces:
    if isinstance(text, str):
        # A prompt is part of the text, as sentence-transformers has it; alone it is no text.
        if not text.strip():
            return tokenizer.pieces(text, limits.max_embed_tokens, truncate=False, param=param)
        return tokenizer.pieces(
            prompt + text,
            limits.max_embed_tokens,
            truncate=options.truncate,
            cut=options.truncation_direction,
            param=param,
        )
    require_known(text, tokenizer.vocab_size, param)
    return tokenizer.given(text, param)
