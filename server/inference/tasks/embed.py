"""Texts in, one vector per text out: pooled, cut to the wanted dimensions, then normalised."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import ModelManifest
from models.pooling import POOLING_MODES, SMALLEST_NORM, PoolingSpec
from server.errors import InvalidParameter
from server.inference.runtime.packing import LAST_LAYER, Item, Results, SentenceVector, results_as
from server.inference.tasks.pairs import TEXT_SPECIALS, Cut, keep
from server.inference.tasks.task import (
    Plan,
    Price,
    Proceed,
    ReadItem,
    ServedModel,
    Task,
    read_items,
)
from server.inference.tokenizer import Pieces, require_known, too_long

Text = str | Sequence[int]
"""A text, or the token ids of one."""

_NUMBER_BYTES: Final = 20  # of one number, as float32 and as JSON


class EmbedOptions(NamedTuple):
    """What an embedding request asks besides its texts; None means the model's own way."""

    cut: Cut = Cut()
    normalize: bool | None = None
    dimensions: int | None = None
    prompt_name: str | None = None
    pooling: str | None = None
    layer: int | None = None


Vectors = NDArray[np.float32]
"""float32 (texts, dimensions)"""


class Embed(Task[Text, EmbedOptions, Vectors]):
    """A vector per text, or per list of token ids: float32 (inputs, dimensions)."""

    name = "embed"
    title = "embeddings"

    def check(self, inputs: Sequence[Text], options: EmbedOptions, model: ServedModel) -> None:
        """Refuse what the model cannot do."""
        manifest = model.manifest
        layers = (LAST_LAYER, *manifest.layers)
        width = _width(options, manifest)
        if options.dimensions is not None and not 1 <= options.dimensions <= width:
            raise InvalidParameter(f"dimensions must be from 1 to {width}.", param="dimensions")
        _require_own_rows(options, manifest.pooling)
        if options.pooling is not None and options.pooling not in POOLING_MODES:
            known = ", ".join(POOLING_MODES)
            raise InvalidParameter(f"pooling must be one of {known}.", param="pooling")
        if options.layer is not None and options.layer not in layers:
            raise InvalidParameter(f"This model can pool the layers {layers}.", param="layer")
        if options.prompt_name is not None and options.prompt_name not in manifest.pooling.prompts:
            known = ", ".join(sorted(manifest.pooling.prompts)) or "none"
            raise InvalidParameter(f"This model's prompts are: {known}.", param="prompt_name")

    def price(self, inputs: Sequence[Text], options: EmbedOptions, model: ServedModel) -> Price:
        """One item a text."""
        lengths = [len(text) for text in inputs]
        most = model.manifest.pooling.max_tokens
        return Price.estimate(lengths, most, _answer_bytes(len(inputs), options, model))

    def plan(
        self, inputs: Sequence[Text], options: EmbedOptions, model: ServedModel, proceed: Proceed
    ) -> Plan[Vectors]:
        """One item a text; the answer is float32 (texts, dimensions)."""
        pooling = model.manifest.pooling
        prompt = _prompt(options, model)
        read = partial(_read, _output(options, pooling), prompt, options.cut, model)
        items, truncated = read_items(inputs, read, model, proceed)

        def answer(results: Results) -> Vectors:
            rows = results_as(np.ndarray, results)
            vectors = np.stack(rows) if len(rows) > 1 else rows[0][None]
            return _shaped(vectors, options, pooling)

        return Plan.of(items, answer, truncated, _answer_bytes(len(inputs), options, model))

    def sample(self) -> SentenceVector:
        """The mean of a text's rows."""
        return SentenceVector("mean")


def shape_vectors(vectors: Vectors, dimensions: int | None, normalize: bool) -> Vectors:
    """Keep the first `dimensions`, then scale to length 1: float32 (n, H) -> (n, dimensions).

    >>> shape_vectors(np.array([[3.0, 4.0, 12.0]], np.float32), 2, True).round(2).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    vectors = vectors[:, :dimensions]
    if not normalize:
        return np.ascontiguousarray(vectors)  # JSON is written from whole rows only
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    unit: Vectors = vectors / np.maximum(length, np.float32(SMALLEST_NORM))[:, None]
    return unit


def _shaped(vectors: Vectors, options: EmbedOptions, pooling: PoolingSpec) -> Vectors:
    """The answer, cut and normalised as asked or else as the model does it.

    A model that keeps the first numbers only does so behind everything else, as
    sentence-transformers does: what is left of a vector of length 1 is shorter.
    """
    own = options.normalize is None and options.dimensions is None
    if own and pooling.dimensions is not None:
        whole = shape_vectors(vectors, None, pooling.normalize)
        return shape_vectors(whole, pooling.dimensions, normalize=False)
    normalize = pooling.normalize if options.normalize is None else options.normalize
    return shape_vectors(vectors, options.dimensions or pooling.dimensions, normalize)


def _output(options: EmbedOptions, pooling: PoolingSpec) -> SentenceVector:
    """What is read of each text, but for what a prompt changes."""
    if _is_own(options, pooling):
        return SentenceVector.usual(pooling)
    return SentenceVector(options.pooling or pooling.mode, options.layer or LAST_LAYER)


def _is_own(options: EmbedOptions, pooling: PoolingSpec) -> bool:
    """Whether the request asks for the rows that the model pools anyway, in the same way."""
    same = options.pooling in (None, pooling.mode)
    return same and options.layer in (None, LAST_LAYER)


def _require_own_rows(options: EmbedOptions, pooling: PoolingSpec) -> None:
    """Modules learnt from one pooling of one layer; of others they would make nonsense."""
    if pooling.modules and not _is_own(options, pooling):
        param = "pooling" if options.pooling not in (None, pooling.mode) else "layer"
        raise InvalidParameter(
            f"This model's vectors are made of {pooling.mode} pooling of the last layer by modules "
            f"behind it, so there is no choice of {param}.",
            param=param,
        )


def _width(options: EmbedOptions, manifest: ModelManifest) -> int:
    """Numbers of a whole vector."""
    hidden, pooling = manifest.architecture.hidden_size, manifest.pooling
    return pooling.width(hidden) if options.pooling in (None, pooling.mode) else hidden


def _answer_bytes(count: int, options: EmbedOptions, model: ServedModel) -> int:
    usual = model.manifest.pooling.dimensions
    dimensions = options.dimensions or usual or _width(options, model.manifest)
    return count * (64 + _NUMBER_BYTES * dimensions)


class _Prompt(NamedTuple):
    """What is put in front of each text."""

    text: str = ""
    skip: int = 0
    """Tokens at the beginning that are not pooled because of it."""


def _prompt(options: EmbedOptions, model: ServedModel) -> _Prompt:
    pooling = model.manifest.pooling
    name = options.prompt_name or pooling.default_prompt
    text = pooling.prompts.get(name, "") if name is not None else ""
    if not text or pooling.include_prompt:
        return _Prompt(text)
    # As sentence-transformers counts: the tokens of the prompt alone, but for the closing one.
    alone = model.tokenizer.assemble(model.tokenizer.word(text))
    return _Prompt(text, min(len(alone), pooling.max_tokens) - 1)


def _read(
    output: SentenceVector, prompt: _Prompt, cut: Cut, model: ServedModel, text: Text, param: str
) -> ReadItem:
    most = model.manifest.pooling.max_tokens
    room = most - TEXT_SPECIALS
    if prompt.skip and isinstance(text, str):  # token ids have no prompt in front
        output = replace(output, skip=prompt.skip)
    pieces = _pieces(text, prompt, cut, model, param)
    over = len(pieces.ids) > room
    if over and not cut.truncate:
        raise too_long(most, param)
    kept = keep(pieces.ids, min(room, len(pieces.ids)), cut.end(model))
    return Item(model.tokenizer.assemble(kept), output), pieces.cut or over


def _pieces(text: Text, prompt: _Prompt, cut: Cut, model: ServedModel, param: str) -> Pieces:
    tokenizer, most = model.tokenizer, model.manifest.pooling.max_tokens
    if isinstance(text, str):
        # A prompt is part of the text, as sentence-transformers has it; alone it is no text.
        if not text.strip():
            return tokenizer.pieces(text, most, truncate=False, param=param)
        return tokenizer.pieces(
            prompt.text + text, most, truncate=cut.truncate, cut=cut.end(model), param=param
        )
    require_known(text, tokenizer.vocab_size, param)
    return tokenizer.given(text, param)


EMBED: Final = Embed()
