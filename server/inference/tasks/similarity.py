"""A text and others in, the cosine of its vector with that of each other out."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from server.inference.runtime.packing import Results, SentenceVector
from server.inference.tasks.embed import EMBED, EmbedOptions, vector_reader, vectors_of
from server.inference.tasks.task import Plan, Price, Proceed, ServedModel, Task, read_items

_NUMBER_BYTES: Final = 64  # of one similarity
_SOURCE: Final = "inputs.source_sentence"


class SimilarityOptions(NamedTuple):
    """The text that the others are compared with, and how all of them are embedded."""

    source: str
    embed: EmbedOptions = EmbedOptions()

    @property
    def unit(self) -> EmbedOptions:
        """With vectors of length 1, whatever the model's own are."""
        return self.embed._replace(normalize=True)


class Similarity(Task[str, SimilarityOptions, list[float]]):
    """The cosine similarity of each text to the source, from -1 to 1."""

    name = "similarity"
    title = EMBED.title

    def check(self, inputs: Sequence[str], options: SimilarityOptions, model: ServedModel) -> None:
        """Refuse what the model cannot do."""
        EMBED.check(inputs, options.unit, model)

    def price(self, inputs: Sequence[str], options: SimilarityOptions, model: ServedModel) -> Price:
        """One item a text, and one for the source; their vectors are held until all are there."""
        return EMBED.price([options.source, *inputs], options.unit, model)

    def plan(
        self,
        inputs: Sequence[str],
        options: SimilarityOptions,
        model: ServedModel,
        proceed: Proceed,
    ) -> Plan[list[float]]:
        """The source is the last item."""
        read = vector_reader(options.unit, model, proceed)
        source, _ = read(options.source, _SOURCE)
        items, truncated = read_items(inputs, read, model, proceed)

        def answer(results: Results) -> list[float]:
            vectors = vectors_of(results, options.unit, model)
            cosines: list[float] = (vectors[:-1] @ vectors[-1]).tolist()
            return cosines

        size = _NUMBER_BYTES * len(inputs) + self.price(inputs, options, model).answer_bytes
        return Plan.of([*items, source], answer, truncated, size)

    def sample(self) -> SentenceVector:
        """The vector of a text."""
        return EMBED.sample()


SIMILARITY: Final = Similarity()
