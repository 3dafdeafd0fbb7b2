"""Texts in, one vector per text out: pooled, cut to the wanted dimensions, then normalised."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import ModelManifest
from models.pooling import MOST_MODES, POOLING_MODES, SMALLEST_NORM, PoolingSpec, modes_of
from server.errors import InvalidParameter
from server.inference.runtime.packing import (
    LAST_LAYER,
    Encoding,
    Item,
    Results,
    SentenceVector,
    results_as,
)
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

NUMBER_BYTES: Final = 20  # of one number, as float32 and as JSON


Kind = Literal["query", "document"]
# Names of prompts for it, the first of which with a text is taken: those that sentence-transformers
# looks for in `encode_query` and `encode_document`.
_PROMPTS_FOR: Final[Mapping[Kind, Sequence[str]]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}


class EmbedOptions(NamedTuple):
    """What an embedding request asks besides its texts; None means the model's own way."""

    cut: Cut = Cut()
    normalize: bool | None = None
    dimensions: int | None = None
    prompt_name: str | None = None
    pooling: str | None = None
    """As `PoolingSpec.mode`."""
    layer: int | None = None
    input_type: Kind | None = None
    """What the texts are, which chooses a prompt where none is named."""


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
        if options.pooling is not None and not _known(options.pooling):
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
        read = vector_reader(options, model, proceed)
        items, truncated = read_items(inputs, read, model, proceed)

        def answer(results: Results) -> Vectors:
            return vectors_of(results, options, model)

        return Plan.of(items, answer, truncated, _answer_bytes(len(inputs), options, model))

    def sample(self) -> SentenceVector:
        """The mean of a text's rows."""
        return SentenceVector("mean")


def vectors_of(results: Results, options: EmbedOptions, model: ServedModel) -> Vectors:
    """The vectors of texts that were read by `vector_reader`: float32 (texts, dimensions)."""
    rows = results_as(np.ndarray, results)
    vectors = np.stack(rows) if len(rows) > 1 else rows[0][None]
    return _shaped(vectors, options, model.manifest.pooling)


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


def _known(pooling: str) -> bool:
    """Whether it is a mode, or a few laid end to end."""
    modes = modes_of(pooling)
    return len(modes) <= MOST_MODES and set(modes) <= set(POOLING_MODES)


def _width(options: EmbedOptions, manifest: ModelManifest) -> int:
    """Numbers of a whole vector."""
    hidden, pooling = manifest.architecture.hidden_size, manifest.pooling
    if options.pooling is None or options.pooling == pooling.mode:
        return pooling.width(hidden)
    return hidden * len(modes_of(options.pooling))


def _answer_bytes(count: int, options: EmbedOptions, model: ServedModel) -> int:
    usual = model.manifest.pooling.dimensions
    dimensions = options.dimensions or usual or _width(options, model.manifest)
    return count * (64 + NUMBER_BYTES * dimensions)


class _Prompt(NamedTuple):
    """What is put in front of each text."""

    text: str = ""
    skip: int = 0
    """Tokens at the beginning that are not pooled because of it."""


def _prompt(options: EmbedOptions, model: ServedModel) -> _Prompt:
    pooling = model.manifest.pooling
    name = options.prompt_name or pooling.default_prompt
    text = pooling.prompts.get(name, "") if name is not None else ""
    if options.prompt_name is None and options.input_type is not None:
        meant = [pooling.prompts.get(name, "") for name in _PROMPTS_FOR[options.input_type]]
        text = next(filter(None, meant), "")
    if not text or pooling.include_prompt:
        return _Prompt(text)
    # As sentence-transformers counts: the tokens of the prompt alone, but for the closing one.
    alone = model.tokenizer.assemble(model.tokenizer.word(text))
    return _Prompt(text, min(len(alone), pooling.max_tokens) - 1)


class Read(NamedTuple):
    """One text as it is embedded."""

    encoding: Encoding
    skip: int
    """Tokens at the beginning that are not pooled."""
    cut: bool
    """Whether something of it was cut off."""


Reader = Callable[[Text, str], Read]


def reader(options: EmbedOptions, model: ServedModel) -> Reader:
    """What reads a text, or the token ids of one, and is told what it is called in errors."""
    return partial(_read, _prompt(options, model), options.cut, model)


def _read(prompt: _Prompt, cut: Cut, model: ServedModel, text: Text, param: str) -> Read:
    most = model.manifest.pooling.max_tokens
    room = most - TEXT_SPECIALS
    pieces = _pieces(text, prompt, cut, model, param)
    over = len(pieces.ids) > room
    if over and not cut.truncate:
        raise too_long(most, param)
    kept = keep(pieces.ids, min(room, len(pieces.ids)), cut.end(model))
    skip = prompt.skip if isinstance(text, str) else 0  # token ids have no prompt in front
    return Read(model.tokenizer.assemble(kept), skip, pieces.cut or over)


def vector_reader(
    options: EmbedOptions, model: ServedModel, proceed: Proceed
) -> Callable[[Text, str], ReadItem]:
    """What makes the item of a text, of which its vector is read."""
    proceed()
    read, output = reader(options, model), _output(options, model.manifest.pooling)

    def item(text: Text, param: str) -> ReadItem:
        encoding, skip, cut = read(text, param)
        return Item(encoding, replace(output, skip=skip) if skip else output), cut

    return item


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
