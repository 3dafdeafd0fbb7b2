"""Texts in, one vector per text out: pooled, cut to the wanted dimensions, then normalised."""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import POOLING_MODES, ModelManifest
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

SMALLEST_NORM: Final = np.float32(1e-12)
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
        hidden = manifest.architecture.hidden_size
        layers = (LAST_LAYER, *manifest.layers)
        if options.dimensions is not None and not 1 <= options.dimensions <= hidden:
            raise InvalidParameter(f"dimensions must be from 1 to {hidden}.", param="dimensions")
        if options.pooling is not None and options.pooling not in POOLING_MODES:
            raise InvalidParameter(f"pooling must be one of {POOLING_MODES}.", param="pooling")
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
        output = SentenceVector(options.pooling or pooling.mode, options.layer or LAST_LAYER)
        prompt = _prompt(options, model.manifest)
        read = partial(_read, output, prompt, options.cut, model)
        items, truncated = read_items(inputs, read, model, proceed)
        normalize = pooling.normalize if options.normalize is None else options.normalize

        def answer(results: Results) -> Vectors:
            rows = results_as(np.ndarray, results)
            vectors = np.stack(rows) if len(rows) > 1 else rows[0][None]
            return shape_vectors(vectors, options.dimensions, normalize)

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
    unit: Vectors = vectors / np.maximum(length, SMALLEST_NORM)[:, None]
    return unit


def _answer_bytes(count: int, options: EmbedOptions, model: ServedModel) -> int:
    dimensions = options.dimensions or model.manifest.architecture.hidden_size
    return count * (64 + _NUMBER_BYTES * dimensions)


def _prompt(options: EmbedOptions, manifest: ModelManifest) -> str:
    name = options.prompt_name or manifest.pooling.default_prompt
    return manifest.pooling.prompts.get(name, "") if name is not None else ""


def _read(
    output: SentenceVector, prompt: str, cut: Cut, model: ServedModel, text: Text, param: str
) -> ReadItem:
    most = model.manifest.pooling.max_tokens
    room = most - TEXT_SPECIALS
    pieces = _pieces(text, prompt, cut, model, param)
    over = len(pieces.ids) > room
    if over and not cut.truncate:
        raise too_long(most, param)
    kept = keep(pieces.ids, min(room, len(pieces.ids)), cut.direction)
    return Item(model.tokenizer.assemble(kept), output), pieces.cut or over


def _pieces(text: Text, prompt: str, cut: Cut, model: ServedModel, param: str) -> Pieces:
    tokenizer, most = model.tokenizer, model.manifest.pooling.max_tokens
    if isinstance(text, str):
        # A prompt is part of the text, as sentence-transformers has it; alone it is no text.
        if not text.strip():
            return tokenizer.pieces(text, most, truncate=False, param=param)
        return tokenizer.pieces(
            prompt + text, most, truncate=cut.truncate, cut=cut.direction, param=param
        )
    require_known(text, tokenizer.vocab_size, param)
    return tokenizer.given(text, param)


EMBED: Final = Embed()
