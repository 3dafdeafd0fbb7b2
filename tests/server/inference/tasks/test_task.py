"""What holds for every task: its price, before and after reading, its results and its sample."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from server.errors import AnswerTooLarge, TooManyTokens
from server.http.routing import to_json
from server.inference.pipeline import Pipeline
from server.inference.runtime.packing import Item, MaskResult, Result, results_as
from server.inference.tasks import TASKS
from server.inference.tasks.decoding import DECODING
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.inference.tasks.embed_all import EMBED_ALL, EmbedAllOptions
from server.inference.tasks.embed_sparse import EMBED_SPARSE, SparseOptions
from server.inference.tasks.entities import Strategy
from server.inference.tasks.fill_mask import FILL_MASK, FillMaskOptions
from server.inference.tasks.nsp import NEXT_SENTENCE
from server.inference.tasks.pairs import Cut
from server.inference.tasks.question_answering import (
    QUESTION_ANSWERING,
    AnswerOptions,
    Question,
)
from server.inference.tasks.rerank import RERANK, RerankOptions
from server.inference.tasks.score import SCORE, Metric, ScoreOptions
from server.inference.tasks.similarity import SIMILARITY, SimilarityOptions
from server.inference.tasks.task import Plan, Price, Task, supports
from server.inference.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    Function,
    PredictOptions,
)
from server.inference.tasks.token_classification import TOKEN_CLASSIFICATION, EntityOptions
from server.inference.tasks.tokenization import MOST_NUMBERS, TOKENIZATION, TokenizationOptions
from server.inference.tasks.zero_shot import ZERO_SHOT, ZeroShotOptions
from server.inference.tokenizer import Tokenizer
from server.settings import Limits
from tests.server.inference.conftest import proceed

CASES = 25  # random requests of each task
# What a text may be made of: what grows when it is shown is among it.
PARTS = (
    *(
        "a",
        "the",
        "Paris",
        "unbelievably",
        "word",
        "3.50",
        '"quoted"',
        "back\\slash",
        "don't",
        "!?",
    ),
    *("///", "#", "\u6771\u4eac", "\u20ac", "na\u00efve", "\u041c\u043e\u0441\u043a\u0432\u0430"),
    *("\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u1103\u1161", "\ud55c\uad6d"),
    *("\x07bell", "tab\t", "\u00a0", "new\nline", "x" * 130, "\U0001f600" * 120, "\u0f40\u0f0b"),
)


@dataclass(frozen=True)
class Case:
    """One request to a task."""

    task: Task[Any, Any, Any]
    inputs: Sequence[Any]
    options: Any

    def price(self, pipeline: Pipeline) -> Price:
        self.task.check(self.inputs, self.options, pipeline.model)
        return self.task.price(self.inputs, self.options, pipeline.model)

    def plan(self, pipeline: Pipeline) -> Plan[Any]:
        return self.task.plan(self.inputs, self.options, pipeline.model, proceed)


def text(draw: random.Random, most: int = 12) -> str:
    """A text in which something is left to read."""
    parts = [draw.choice(PARTS) for _ in range(draw.randint(0, most))]
    parts.insert(
        draw.randint(0, len(parts)), draw.choice(["a", "Berkeley", "\u6771", "\U0001f600"])
    )
    return draw.choice([" ", "", ", "]).join(parts)


def texts(draw: random.Random) -> list[str]:
    return [text(draw) for _ in range(draw.randint(1, 5))]


def pairs(draw: random.Random) -> list[tuple[str, str]]:
    return [(one, text(draw)) for one in texts(draw)]


def cut(draw: random.Random) -> Cut:
    return Cut(True, draw.choice(["left", "right"]))


def masked(draw: random.Random) -> str:
    """A text with up to 30 masks."""
    parts = [draw.choice([*PARTS, "[MASK]"]) for _ in range(draw.randint(0, 30))]
    return " ".join(["[MASK]", *parts])


def embedding(draw: random.Random) -> Case:
    inputs: list[Any] = texts(draw)
    inputs += [[draw.randrange(1000) for _ in range(draw.randint(1, 30))]]
    dimensions = draw.choice([None, 1, 36])
    pooling = draw.choice([None, "mean", "cls", "max"])
    normalize = draw.choice([None, True, False])
    options = EmbedOptions(cut(draw), normalize, dimensions, pooling=pooling)
    return Case(EMBED, inputs, options)


def filling(draw: random.Random) -> Case:
    inputs = [masked(draw) for _ in range(draw.randint(1, 3))]
    words = ["cat", "unbelievably", "Moskva", "antidisestablishmentarianism", "\u6771\u4eac", "!"]
    targets = draw.choice([None, [draw.sample(words, 4)], [draw.sample(words, 2) for _ in inputs]])
    normalize = bool(draw.getrandbits(1))
    options = FillMaskOptions(draw.choice([None, 1, 40]), targets, normalize, truncate=True)
    return Case(FILL_MASK, inputs, options)


def scoring(draw: random.Random) -> Case:
    metric: Metric = draw.choice(["original", "within_word_l2r"])
    few = [text(draw, 6) for _ in range(draw.randint(1, 3))]
    return Case(SCORE, few, ScoreOptions(metric, truncate=True))


def following(draw: random.Random) -> Case:
    return Case(NEXT_SENTENCE, pairs(draw), cut(draw))


def classification(draw: random.Random) -> Case:
    inputs = [(first, draw.choice([None, second])) for first, second in pairs(draw)]
    functions: list[Function | None] = [None, "softmax", "sigmoid", "none"]
    function = draw.choice(functions)
    options = PredictOptions(function, draw.choice([None, 1, 2]), cut(draw))
    return Case(TEXT_CLASSIFICATION, inputs, options)


def tagging(draw: random.Random) -> Case:
    strategy: Strategy = draw.choice(["none", "simple", "first", "average", "max"])
    stride = None if strategy == "none" else draw.choice([None, 0, 7])
    ignore = draw.choice([frozenset({"O"}), frozenset[str]()])
    options = EntityOptions(strategy, ignore, stride, truncate=True)
    return Case(TOKEN_CLASSIFICATION, texts(draw), options)


def asking(draw: random.Random) -> Case:
    inputs = [Question(question, text(draw, 40)) for question in texts(draw)]
    options = AnswerOptions(
        top_k=draw.choice([1, 3, 50]),
        max_answer_tokens=draw.choice([1, 15, 1000]),
        max_question_tokens=8,
        may_be_unanswerable=bool(draw.getrandbits(1)),
        whole_words=bool(draw.getrandbits(1)),
    )
    return Case(QUESTION_ANSWERING, inputs, options)


def showing(draw: random.Random) -> Case:
    inputs = [(first, draw.choice([None, second])) for first, second in pairs(draw)]
    options = TokenizationOptions(bool(draw.getrandbits(1)), draw.choice([0, 7, MOST_NUMBERS]))
    return Case(TOKENIZATION, inputs, options)


def ranking(draw: random.Random) -> Case:
    documents, query = texts(draw), text(draw)
    options = RerankOptions(
        query,
        cut(draw),
        raw_scores=bool(draw.getrandbits(1)),
        bounded=bool(draw.getrandbits(1)),
        document_tokens=draw.choice([None, 3]),
        shown=sum(map(len, documents)),
    )
    return Case(RERANK, documents, options)


def supposing(draw: random.Random) -> Case:
    labels = draw.sample(["film", "the soup", "\u6771\u4eac", "new york!", "a/b"], 3)
    several = bool(draw.getrandbits(1))
    template = draw.choice(["This example is {}.", "{}"])
    return Case(ZERO_SHOT, texts(draw), ZeroShotOptions(labels, template, several, cut(draw)))


def comparing(draw: random.Random) -> Case:
    return Case(SIMILARITY, texts(draw), SimilarityOptions(text(draw), EmbedOptions(cut(draw))))


def embedding_tokens(draw: random.Random) -> Case:
    case = embedding(draw)
    return Case(EMBED_ALL, case.inputs, EmbedAllOptions(case.options))


def weighing(draw: random.Random) -> Case:
    options = SparseOptions(EmbedOptions(cut(draw)), max_active_dims=draw.choice([1, 300, 30522]))
    return Case(EMBED_SPARSE, texts(draw), options)


def spelling(draw: random.Random) -> Case:
    lists = [[draw.randrange(30522) for _ in range(draw.randint(1, 40))] for _ in range(3)]
    return Case(DECODING, lists, bool(draw.getrandbits(1)))


# Task -> a model that can do it, and how a request to it is drawn.
DRAWN: dict[str, tuple[str, Callable[[random.Random], Case]]] = {
    "embed": ("cloze", embedding),
    "embed_all": ("cloze", embedding_tokens),
    "embed_sparse": ("sparse", weighing),
    "similarity": ("cloze", comparing),
    "fill-mask": ("cloze", filling),
    "score": ("cloze", scoring),
    "nsp": ("cloze", following),
    "predict": ("reviews", classification),
    "rerank": ("matches", ranking),
    "zero-shot-classification": ("inference", supposing),
    "token-classification": ("names", tagging),
    "question-answering": ("answers", asking),
    "tokenize": ("cloze", showing),
    "decode": ("cloze", spelling),
}
COMPUTE_NOTHING = {"tokenize", "decode"}
NAMES = [task.name for task in TASKS]


@pytest.fixture
def pipeline_of(
    cloze: Pipeline, sparse: Pipeline, classifier: Callable[[str], Pipeline]
) -> Callable[[str], Pipeline]:
    """The pipeline of a model by its name."""
    named = {"cloze": cloze, "sparse": sparse}
    return lambda name: named.get(name) or classifier(name)


def cases(name: str) -> Iterator[Case]:
    draw = random.Random(sum(map(ord, name)))  # noqa: S311 - to be repeatable
    for _ in range(CASES):
        yield DRAWN[name][1](draw)


def plain(value: Any) -> Any:
    """An answer as routes shape it: named tuples and dataclasses become objects with all fields."""
    if hasattr(value, "_asdict"):
        return {key: plain(own) for key, own in value._asdict().items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: plain(own) for key, own in dataclasses.asdict(value).items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    return value


def json_of(case: Case, value: Any) -> bytes:
    """The answer as a route would send it, about."""
    if case.task is RERANK:
        value = [{**rank._asdict(), "text": case.inputs[rank.place]} for rank in value]
    if case.task is TOKENIZATION:  # each token is shown as it was written, too
        value = list(zip(value, case.inputs, strict=True))
    return to_json(plain(value))


def test_every_task_is_tested_here() -> None:
    assert list(DRAWN) == NAMES
    assert len({task.name for task in TASKS}) == len({type(task) for task in TASKS}) == len(TASKS)


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_price_has_the_tokens_of_the_items(
    name: str, pipeline_of: Callable[[str], Pipeline]
) -> None:
    pipeline = pipeline_of(DRAWN[name][0])
    found = set()
    for case in cases(name):
        plan = case.plan(pipeline)
        assert plan.price.tokens == sum(len(item.encoding) for item in plan.items())
        assert len(plan.truncated) == len(case.inputs)
        found.add(plan.price.tokens)
    assert len(found) > (0 if name in COMPUTE_NOTHING else CASES // 2)


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_is_larger_than_its_price(
    name: str, pipeline_of: Callable[[str], Pipeline]
) -> None:
    pipeline = pipeline_of(DRAWN[name][0])
    session = pipeline._sessions.usual
    for case in cases(name):
        plan = case.plan(pipeline)
        items = plan.items()
        results = [result for item in items for result in session.run([item])]
        assert len(json_of(case, plan.answer(results))) <= plan.price.answer_bytes, case


ODD = {
    "unknown word": "a " + "x" * 5000,
    "emoji": "\U0001f600" * 3000,
    "ideographs": "\u6771" * 900,
    "unknown ideographs": "\u9f98" * 900,
    "slashes": "/" * 900,
    "quotes": '"' * 2000,
    "backslashes": "\\" * 2000,
    "control characters": "a \x07\x07" + "\x07y" * 900,
}


@pytest.mark.parametrize("context", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", NAMES)
def test_no_answer_to_an_odd_text_is_larger_than_its_price(
    name: str, context: str, pipeline_of: Callable[[str], Pipeline]
) -> None:
    pipeline = pipeline_of(DRAWN[name][0])
    case = {
        "embed": Case(EMBED, [context], EmbedOptions(Cut(truncate=True))),
        "fill-mask": Case(FILL_MASK, ["[MASK] [MASK]" + context], FillMaskOptions(truncate=True)),
        "score": Case(SCORE, [context[:60]], ScoreOptions(truncate=True)),
        "nsp": Case(NEXT_SENTENCE, [("a", context)], Cut(truncate=True)),
        "embed_all": Case(EMBED_ALL, [context], EmbedAllOptions(EmbedOptions(Cut(truncate=True)))),
        "embed_sparse": Case(
            EMBED_SPARSE, [context], SparseOptions(EmbedOptions(Cut(truncate=True)), 30522)
        ),
        "similarity": Case(
            SIMILARITY, [context], SimilarityOptions(context, EmbedOptions(Cut(truncate=True)))
        ),
        "rerank": Case(
            RERANK, [context], RerankOptions("a", Cut(truncate=True), shown=len(context))
        ),
        "zero-shot-classification": Case(
            ZERO_SHOT, [context], ZeroShotOptions(["a", context[:9]], cut=Cut(truncate=True))
        ),
        "decode": Case(DECODING, [pipeline.model.tokenizer.word(context)], True),
        "predict": Case(
            TEXT_CLASSIFICATION, [(context, None)], PredictOptions(cut=Cut(truncate=True))
        ),
        "token-classification": Case(
            TOKEN_CLASSIFICATION, [context], EntityOptions(ignore=frozenset(), stride=3)
        ),
        "question-answering": Case(
            QUESTION_ANSWERING, [Question("a", context)], AnswerOptions(max_answer_tokens=9999)
        ),
        "tokenize": Case(TOKENIZATION, [(context, None)], TokenizationOptions()),
    }[name]
    large = dataclasses.replace(pipeline.model, limits=Limits(max_inputs=10**6))
    plan = case.task.plan(case.inputs, case.options, large, proceed)
    results = pipeline._sessions.usual.run(plan.items()) if plan.price.tokens else []
    assert len(json_of(case, plan.answer(results))) <= plan.price.answer_bytes


@pytest.mark.parametrize("name", NAMES)
def test_a_price_needs_no_tokens(name: str, pipeline_of: Callable[[str], Pipeline]) -> None:
    pipeline = pipeline_of(DRAWN[name][0])
    drawn = list(cases(name))
    size = pipeline.model.tokenizer.vocab_size
    exact = [case.plan(pipeline).price for case in drawn]

    class Unread:
        """A tokenizer that knows how many words it has, and nothing else."""

        vocab_size = size

    unread = dataclasses.replace(pipeline.model, tokenizer=Unread())  # type: ignore[arg-type]
    for case, plan_price in zip(drawn, exact, strict=True):
        case.task.check(case.inputs, case.options, unread)
        estimate = case.task.price(case.inputs, case.options, unread)
        assert estimate.characters > 0
        assert estimate.tokens > 0  # to be read is a turn, also where nothing is computed
        assert (plan_price.tokens > 0) is (name not in COMPUTE_NOTHING)
        assert estimate.answer_bytes > 0


@pytest.mark.parametrize("name", ["embed", "fill-mask", "score", "nsp", "tokenize"])
def test_an_estimate_of_english_is_near_its_exact_price(
    name: str, pipeline_of: Callable[[str], Pipeline]
) -> None:
    """It keeps room for what comes: neither nothing nor the whole queue."""
    english = "The man went to the store, and then he bought a gallon of milk for her. " * 3
    inputs: dict[str, Any] = {
        "embed": (english, EmbedOptions()),
        "fill-mask": (english + "[MASK]", FillMaskOptions()),
        "score": (english, ScoreOptions()),
        "nsp": ((english, english), Cut()),
        "tokenize": ((english, None), TokenizationOptions()),
    }
    one, options = inputs[name]
    pipeline = pipeline_of(DRAWN[name][0])
    case = Case(dict(zip(NAMES, TASKS, strict=True))[name], [one], options)
    estimate, exact = case.price(pipeline), case.plan(pipeline).price
    tokens = exact.tokens or len(pipeline.model.tokenizer.word(english))  # read, but not computed
    assert tokens / 2 <= estimate.tokens <= tokens * 2
    assert exact.answer_bytes / 2 <= estimate.answer_bytes <= exact.answer_bytes * 2


@pytest.mark.parametrize("name", [name for name in NAMES if name not in COMPUTE_NOTHING])
def test_a_result_of_another_kind_is_an_error_and_never_left_out(
    name: str, pipeline_of: Callable[[str], Pipeline]
) -> None:
    pipeline = pipeline_of(DRAWN[name][0])
    plan = next(cases(name)).plan(pipeline)
    results = pipeline._sessions.usual.run(plan.items())
    wrong: Result = np.zeros(3, np.float32)
    if not isinstance(results[0], MaskResult):
        wrong = MaskResult(np.zeros((1, 1), np.int64), np.zeros((1, 1)), np.zeros(0))  # type: ignore[arg-type]
    for place in {0, len(results) - 1}:
        with pytest.raises(TypeError):
            plan.answer([*results[:place], wrong, *results[place + 1 :]])


def test_results_are_of_one_kind_or_an_error() -> None:
    vector = np.zeros(3, np.float32)
    assert [id(one) for one in results_as(np.ndarray, [vector, vector])] == [id(vector)] * 2
    with pytest.raises(TypeError, match="MaskResult"):
        results_as(MaskResult, [vector])


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_the_sample_of_a_task_runs_and_is_what_its_items_ask_for(
    task: Task[Any, Any, Any], pipeline_of: Callable[[str], Pipeline]
) -> None:
    pipeline = pipeline_of(DRAWN[task.name][0])
    assert supports(task, pipeline.manifest)
    sample = task.sample()
    items = next(cases(task.name)).plan(pipeline).items()
    if sample is None:
        assert items == [] or task is EMBED_SPARSE  # what it asks for depends on the model
        return
    assert {type(item.output) for item in items} == {type(sample)}
    short = pipeline.model.tokenizer.assemble([5])
    two = dataclasses.replace(short, ids=short.ids[:2], type_ids=short.type_ids[:2])
    results = pipeline._sessions.usual.run([Item(two, sample), Item(short, sample)])
    kind = MaskResult if task in {FILL_MASK, SCORE} else np.ndarray
    assert len(results_as(kind, results)) == 2


def test_a_model_without_a_head_supports_what_needs_none(minilm: Pipeline) -> None:
    supported = [task.name for task in TASKS if supports(task, minilm.manifest)]
    assert supported == ["embed", "embed_all", "similarity", "tokenize", "decode"]


@pytest.mark.parametrize("name", NAMES)
def test_reading_stops_when_the_request_is_given_up(
    name: str, pipeline_of: Callable[[str], Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(DRAWN[name][0])
    case = next(case for case in cases(name) if len(case.inputs) > 1)
    asked = 0

    class GivenUp(Exception):
        """Nobody waits any more."""

    def refuse() -> None:
        nonlocal asked
        asked += 1
        raise GivenUp

    for method in ("pieces", "located", "whole", "given", "word", "written"):
        monkeypatch.setattr(Tokenizer, method, None)
    with pytest.raises(GivenUp):
        case.task.plan(case.inputs, case.options, pipeline.model, refuse)
    assert asked == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_request_is_answered_as_its_plan_says(
    name: str, pipeline_of: Callable[[str], Pipeline]
) -> None:
    pipeline = pipeline_of(DRAWN[name][0])
    for case in list(cases(name))[:5]:
        answered = asyncio.run(pipeline.run(case.task, case.inputs, case.options))
        assert answered.price == case.plan(pipeline).price
        assert answered.usage.tokens == answered.price.tokens
        assert len(answered.value) == len(case.inputs)


@pytest.mark.parametrize("name", NAMES)
def test_reading_ends_with_the_text_that_is_too_much(
    name: str, pipeline_of: Callable[[str], Pipeline]
) -> None:
    """A refusal costs no more than what is allowed, however much was sent."""
    pipeline = pipeline_of(DRAWN[name][0])
    sent = 200
    one = "He keeps the books, and she reads them to the children."
    inputs: dict[str, tuple[Any, Any]] = {
        "embed": (one, EmbedOptions()),
        "fill-mask": (one + " [MASK]", FillMaskOptions()),
        "score": (one, ScoreOptions()),
        "nsp": ((one, one), Cut()),
        "embed_all": (one, EmbedAllOptions()),
        "embed_sparse": (one, SparseOptions(max_active_dims=9)),
        "similarity": (one, SimilarityOptions("He reads.")),
        "predict": ((one, None), PredictOptions()),
        "rerank": ("She reads them.", RerankOptions("Who?")),
        "zero-shot-classification": ("She reads.", ZeroShotOptions(["a", "b"], "{}")),
        "decode": ([1037] * 12, True),
        "token-classification": (one, EntityOptions()),
        "question-answering": (Question("Who?", one), AnswerOptions()),
        "tokenize": ((one, None), TokenizationOptions()),
    }
    given, options = inputs[name]
    task = dict(zip(NAMES, TASKS, strict=True))[name]
    alone = task.plan([given], options, pipeline.model, proceed).price
    limits = Limits(
        max_request_tokens=10 * max(1, alone.tokens), max_answer_bytes=10 * alone.answer_bytes
    )
    model = dataclasses.replace(pipeline.model, limits=limits)
    read = []
    with pytest.raises((TooManyTokens, AnswerTooLarge)):
        task.plan([given] * sent, options, model, lambda: read.append(1))
    assert 10 <= len(read) <= 20
