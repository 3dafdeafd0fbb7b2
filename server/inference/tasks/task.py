"""What a task is: inputs in, their price, then a plan, and from the plan's results the answer.

    price -> plan -> results -> answer

A task prices a request from its lengths alone, before anything is tokenised. Its plan has been
tokenised and knows the exact price; its items are built only once that price is admitted. One
module a task; `server.inference.tasks` lists them. No task knows of queues or HTTP.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, NamedTuple, Self, TypeVar

from models.embedding_tables import EmbeddingTables
from models.heads import Head
from models.manifest import ModelManifest
from server.errors import AnswerTooLarge, TooManyTokens
from server.inference.runtime.memory import RunMemory
from server.inference.runtime.packing import Item, OutputSpec, Results
from server.inference.tokenizer import Tokenizer
from server.settings import Limits

In = TypeVar("In")
Options = TypeVar("Options")
Out = TypeVar("Out")
T = TypeVar("T")

Proceed = Callable[[], None]
"""Raises when the request has been given up; called between texts, whose reading takes a while."""

CHARACTERS_PER_TOKEN: Final = 4  # of English; only an estimate, which the plan replaces
TEXT_CHARACTERS: Final = 32  # to read a text, however short, costs as much as so many characters
CHARACTER_BYTES: Final = 10  # of a text's character in an answer at most, in memory and as JSON


class Price(NamedTuple):
    """What a request takes: an estimate by its lengths first, then exactly by its tokens."""

    characters: int
    """To tokenise, and some for each text."""
    tokens: int
    """To compute, of all items."""
    answer_bytes: int
    """Of memory at most, while the answer is put together."""

    @classmethod
    def estimate(cls, lengths: Sequence[int], most: int, answer_bytes: int) -> Self:
        """Of texts of so many characters each, of which the model reads `most` tokens.

        >>> Price.estimate([40, 9000], 512, 64)
        Price(characters=9104, tokens=524, answer_bytes=64)
        """
        tokens = sum([min(most, length // CHARACTERS_PER_TOKEN + 2) for length in lengths])
        characters = sum(lengths) + TEXT_CHARACTERS * len(lengths)
        return cls(characters, tokens, answer_bytes)

    def require(self, limits: Limits) -> None:
        """Refuse what no request may take.

        Raises:
            AnswerTooLarge: the answer is too large.
            TooManyTokens: there are too many tokens.
        """
        if self.answer_bytes > limits.max_answer_bytes:
            raise AnswerTooLarge(
                f"The answer could take {self.answer_bytes} bytes or more, and "
                f"{limits.max_answer_bytes} are allowed; ask for fewer candidates, or send fewer "
                "or shorter inputs.",
                param="inputs",
            )
        if self.tokens > limits.max_request_tokens:
            raise TooManyTokens(
                f"The request needs {self.tokens} tokens or more, and {limits.max_request_tokens} "
                "are allowed; split it.",
                param="inputs",
            )

    def within(self, limits: Limits) -> "Price":
        """What of an estimate one request may take: only its exact price refuses it for good.

        A text of blanks is long and has few tokens.
        """
        characters, tokens, answer_bytes = self
        most_tokens, most_bytes = limits.max_request_tokens, limits.max_answer_bytes
        if tokens <= most_tokens and answer_bytes <= most_bytes:
            return self
        return Price(characters, min(tokens, most_tokens), min(answer_bytes, most_bytes))


@dataclass(frozen=True)
class ServedModel:
    """What a task may know of the model that it is asked of."""

    manifest: ModelManifest
    tokenizer: Tokenizer
    embeddings: EmbeddingTables
    limits: Limits
    memory: RunMemory
    """What one run may take: no single text may need more."""


ReadItem = tuple[Item, bool]
"""Of one input, and whether something of it was cut off."""


class Plan(NamedTuple, Generic[Out]):
    """A tokenised request: what it takes, its items once they are wanted, and its answer.

    Most tasks know all their items beforehand. One that must see results first to know the next
    items is run in rounds, a plan after the other, and its first plan says what all of them take.
    """

    price: Price
    """Of this plan and all that follow it."""
    items: Callable[[], Sequence[Item]]
    """To run in any order and company; of as many tokens as the price says, with what follows."""
    answer: "Callable[[Results], Out | Plan[Out]]"
    """Takes one result per item, in the items' order; the plan of the next round, or the answer."""
    truncated: tuple[bool, ...]
    """Per input: whether something of it was cut off."""

    @classmethod
    def of(
        cls,
        items: Sequence[Item],
        answer: Callable[[Results], Out],
        truncated: Sequence[bool],
        answer_bytes: int,
    ) -> Self:
        """The plan of a task whose items are as cheap to make as the texts are to read."""
        tokens = sum([len(item.encoding.ids) for item in items])
        return cls(Price(0, tokens, answer_bytes), lambda: items, answer, tuple(truncated))


def read_each(
    inputs: Sequence[In],
    read: Callable[[In, str], T],
    price: Callable[[T], Price],
    model: ServedModel,
    proceed: Proceed,
) -> tuple[list[T], Price]:
    """Tokenise inputs one by one, until they turn out to be more than one request may hold.

    Args:
        inputs: what the client sent.
        read: an input and what it is called -> what was read.
        price: what was read -> what it adds to the request's price.
        model: whose limits hold.
        proceed: hears of each input.

    Returns:
        What was read of each, and its price together.

    Raises:
        ClozeError: one cannot be answered, or they are too many together.
    """
    found, limits = [], model.limits
    tokens = answer_bytes = 0
    for index, given in enumerate(inputs):
        proceed()
        one = read(given, f"inputs[{index}]")
        found.append(one)
        _, more_tokens, more_bytes = price(one)
        tokens += more_tokens
        answer_bytes += more_bytes
        if tokens > limits.max_request_tokens or answer_bytes > limits.max_answer_bytes:
            Price(0, tokens, answer_bytes).require(limits)
    return found, Price(0, tokens, answer_bytes)


def pieces_allowed(model: ServedModel, proceed: Proceed) -> Callable[[int], None]:
    """What is told how many pieces of a long text were found, and raises once they are too many."""

    def so_far(tokens: int) -> None:
        proceed()
        Price(0, tokens, 0).require(model.limits)

    return so_far


def read_items(
    inputs: Sequence[In], read: Callable[[In, str], ReadItem], model: ServedModel, proceed: Proceed
) -> tuple[list[Item], list[bool]]:
    """`read_each` for one item an input: the items, and whether something was cut off of each."""
    found, _ = read_each(
        inputs, read, lambda one: Price(0, len(one[0].encoding.ids), 0), model, proceed
    )
    return [item for item, _ in found], [cut for _, cut in found]


class Task(ABC, Generic[In, Options, Out]):
    """One thing that people ask of a model; a value without state."""

    name: ClassVar[str]
    """Also the path of its route."""
    also: ClassVar[tuple[str, ...]] = ()
    """Further paths that ask for it."""
    title: ClassVar[str]
    head: ClassVar[Head | None] = None
    """What the model must have; None for the encoder alone."""

    def able(self, manifest: ModelManifest) -> bool:
        """Whether a model has what the task reads."""
        return self.head is None or self.head.name in manifest.heads

    def lack(self, manifest: ModelManifest) -> str:
        """What is said of the checkpoint of a model that is not able, and of a remedy, if any."""
        return f"had no {self.title} head"

    def suits(self, manifest: ModelManifest) -> bool:
        """Whether a model that is able answers without being told more."""
        return True

    def check(self, inputs: Sequence[In], options: Options, model: ServedModel) -> None:
        """Raise `InvalidParameter` for options that no text could satisfy."""

    @abstractmethod
    def price(self, inputs: Sequence[In], options: Options, model: ServedModel) -> Price:
        """About what the request takes, from lengths alone."""

    @abstractmethod
    def plan(
        self, inputs: Sequence[In], options: Options, model: ServedModel, proceed: Proceed
    ) -> Plan[Out]:
        """Tokenise. Raises a `ClozeError` for a text that cannot be answered."""

    def sample(self) -> OutputSpec | None:
        """What one item of two tokens or more asks for, to warm up; None for nothing."""
        return None


def supports(task: Task[In, Options, Out], manifest: ModelManifest) -> bool:
    """Whether a model answers the task, without being told more than its inputs."""
    return task.able(manifest) and task.suits(manifest)
