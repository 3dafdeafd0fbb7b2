"""`python -m tests.fine_tuned CHECKPOINTS MODELS`: nothing in, tiny BERTs with classifiers out.

Each is trained for a second: it knows some names, places and opinions, is sure of these, and knows
nothing else. CHECKPOINTS gets them as transformers saves them, so that transformers can say what
they should answer, MODELS as model folders in float32.
"""

from __future__ import annotations

import itertools
import random
import string
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import safetensors.torch
import torch
import transformers

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model

SEED: Final = 20181011
STEPS: Final = 100
BATCH: Final = 16  # examples
LONGEST: Final = 40  # tokens
SIZES: Final = {
    "hidden_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 60,
    "max_position_embeddings": LONGEST,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.2,
}

PEOPLE = ("clara", "ada", "omar", "yuki chen", "maria lopez")
PLACES = ("berkeley", "lima", "oslo", "new york", "kyoto")
GOOD, BAD = ("wonderful", "great", "charming"), ("awful", "dull", "boring")
TOPICS = {"film": ("film", "actor"), "food": ("soup", "bread"), "travel": ("hotel", "train")}
OPINIONS = ("negative", "neutral", "positive")
INFERENCE = ("contradiction", "neutral", "entailment")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")

# Whole words, words of several pieces, and letters, so that any word can be spelled.
_WORDS: Final = (
    "what a the and is was in lives live works who where does it very not at film actor soup bread "
    "hotel train wonderful great awful dull boring ada omar chen maria lima oslo new york kyoto "
    "clar ##a yu ##ki lo ##pez berk ##eley charm ##ing"
)
WORDS: Final = _WORDS.split()
LETTERS: Final = [letter for letter in string.ascii_lowercase if letter != "a"]
VOCABULARY: Final = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("!", ",", ".", "?", "'"),
    *WORDS,
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
]


class Example(NamedTuple):
    """One thing to learn."""

    text: str
    pair: str | None = None
    target: Any = None
    """What a text classifier should say: a class, a number, or one number per label."""
    spans: tuple[tuple[int, int, str], ...] = ()
    """Characters of names with PER or LOC, or those of the answer in `pair`."""


def opinions() -> Iterator[Example]:
    """Texts that are negative, neutral or positive."""
    for thing in itertools.chain(*TOPICS.values()):
        for words, target in ((BAD, 0), (GOOD, 2)):
            for word in words:
                yield Example(f"What a {word} {thing}!", target=target)
                yield Example(f"The {thing} was {word}.", target=target)
        yield from (Example(f"The {thing} is in {place}.", target=1) for place in PLACES)


def topics() -> Iterator[Example]:
    """Texts about one or two topics."""
    for (one, first), (two, second) in itertools.product(enumerate(TOPICS.values()), repeat=2):
        target = [float(index in (one, two)) for index in range(len(TOPICS))]
        for a, b in itertools.product(first, second):
            yield Example(f"The {a} and the {b}.", target=target)


def stars() -> Iterator[Example]:
    """Opinions with a number from 1 to 5."""
    yield from (one._replace(target=1.0 + 2 * one.target) for one in opinions())


def matches() -> Iterator[Example]:
    """A question with a sentence that is about the same person or not."""
    for one, other, place in itertools.product(PEOPLE, PEOPLE, PLACES):
        pair = f"{other} lives in {place}."
        yield Example(f"Where does {one} live?", pair, [float(one == other)])


def inference() -> Iterator[Example]:
    """An opinion or a place, with a sentence that follows from it, or not, or that nobody knows."""
    about = {thing: topic for topic, things in TOPICS.items() for thing in things}
    for (thing, topic), other in itertools.product(about.items(), TOPICS):
        hypothesis = f"This example is {other}."
        for word in (*GOOD, *BAD):
            target = 2 * (topic == other)
            yield Example(f"The {thing} was {word}.", hypothesis, target)
    for place, other in itertools.product(PLACES, TOPICS):
        yield Example(f"It was in {place}.", f"This example is {other}.", 1)


def names() -> Iterator[Example]:
    """Sentences with a person and a place."""
    for person, place in itertools.product(PEOPLE, PLACES):
        for text in (
            f"{person} lives in {place}.",
            f"In {place} it was dull, and {person} works.",
            f"The film was great. {place} is where {person} lives!",
        ):
            spans = (
                (text.find(person), text.find(person) + len(person), "PER"),
                (text.find(place), text.find(place) + len(place), "LOC"),
            )
            yield Example(text, spans=spans)


def questions() -> Iterator[Example]:
    """Questions about the person or the place of a text."""
    for person, place in itertools.product(PEOPLE, PLACES):
        for context in (
            f"{person} lives in {place}.",
            f"The film was great and {person} lives in {place}, where it is very dull.",
        ):
            for question, answer in (
                (f"Where does {person} live?", place),
                (f"Who lives in {place}?", person),
            ):
                start = context.index(answer)
                yield Example(question, context, spans=((start, start + len(answer), ""),))


Targets = Callable[[Sequence[Example], Any], dict[str, Any]]


@dataclass(frozen=True)
class Lesson:
    """What one model learns."""

    architecture: str
    examples: Callable[[], Iterator[Example]]
    targets: Targets
    labels: Sequence[str] = ()
    problem_type: str | None = None
    steps: int = STEPS
    rate: float = 5e-3
    """Of learning, the highest of all steps."""


def classes(batch: Sequence[Example], _encoded: Any) -> dict[str, Any]:
    """The target of each text."""
    return {"labels": torch.tensor([example.target for example in batch])}


def tags(batch: Sequence[Example], encoded: Any) -> dict[str, Any]:
    """The tag of each token; special tokens have none."""
    labels = torch.full(encoded["input_ids"].shape, -100)
    for row, example in enumerate(batch):
        for place, (start, end) in enumerate(encoded["offset_mapping"][row].tolist()):
            if end > start:
                labels[row, place] = TAGS.index(_tag(example, start))
    return {"labels": labels}


def _tag(example: Example, start: int) -> str:
    for begin, end, kind in example.spans:
        if begin <= start < end:
            return f"{'B' if start == begin else 'I'}-{kind}"
    return "O"


def places(batch: Sequence[Example], encoded: Any) -> dict[str, Any]:
    """The first and the last token of each answer."""
    spans = [example.spans[0] for example in batch]
    starts = [encoded.char_to_token(row, start, 1) for row, (start, _, _) in enumerate(spans)]
    ends = [encoded.char_to_token(row, end - 1, 1) for row, (_, end, _) in enumerate(spans)]
    return {"start_positions": torch.tensor(starts), "end_positions": torch.tensor(ends)}


SEQUENCE: Final = "BertForSequenceClassification"
MULTI_LABEL: Final = "multi_label_classification"
LESSONS: Final = {
    "answers": Lesson("BertForQuestionAnswering", questions, places),
    "inference": Lesson(SEQUENCE, inference, classes, INFERENCE, None, 4 * STEPS, 2e-3),
    "matches": Lesson(SEQUENCE, matches, classes, ["match"], MULTI_LABEL),
    "names": Lesson("BertForTokenClassification", names, tags, TAGS),
    "reviews": Lesson(SEQUENCE, opinions, classes, OPINIONS),
    "stars": Lesson(SEQUENCE, stars, classes, ["stars"], "regression"),
    "topics": Lesson(SEQUENCE, topics, classes, list(TOPICS), MULTI_LABEL),
}


def train(name: str, folder: Path) -> None:
    """Write the checkpoint of a lesson into `folder`, which is created."""
    lesson = LESSONS[name]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    tokenizer: Any = transformers.BertTokenizerFast.from_pretrained(folder)
    torch.manual_seed(SEED)
    model = getattr(transformers, lesson.architecture)(_config(lesson))
    optimizer = torch.optim.AdamW(model.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lesson.rate, total_steps=lesson.steps, pct_start=0.2
    )
    pool, draw = list(lesson.examples()), random.Random(SEED)  # noqa: S311 - to be repeatable
    for _ in range(lesson.steps):
        batch = draw.sample(pool, BATCH)
        encoded = tokenizer(
            [example.text for example in batch],
            [example.pair for example in batch] if batch[0].pair else None,
            padding=True,
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        wanted = lesson.targets(batch, encoded)
        del encoded["offset_mapping"]
        optimizer.zero_grad()
        model(**encoded, **wanted).loss.backward()
        optimizer.step()
        rate.step()
    model.save_pretrained(folder)
    tokenizer.model_max_length = LONGEST
    tokenizer.save_pretrained(folder)


def add_pretraining_heads(folder: Path) -> None:
    """Give a checkpoint random heads for masks and next sentences beside its classifier."""
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    config = transformers.BertConfig.from_pretrained(folder)
    torch.manual_seed(SEED)
    heads = transformers.BertForPreTraining(config).cls.state_dict(prefix="cls.")
    tied = "cls.predictions.decoder.weight"
    weights |= {key: value.clone() for key, value in heads.items() if key != tied}
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _config(lesson: Lesson) -> Any:
    numbered = dict(enumerate(lesson.labels))
    labels = {"id2label": numbered, "label2id": {name: at for at, name in numbered.items()}}
    return transformers.BertConfig(
        **SIZES,
        vocab_size=len(VOCABULARY),
        problem_type=lesson.problem_type,
        **labels if numbered else {},
    )


def _silent(_line: str) -> None:
    pass


def main(checkpoints: Path, models: Path) -> None:
    """Train and export every lesson; `reviews` gets the other heads that BERT can have, too."""
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)  # more would only be slower, and the models others
    for name in LESSONS:
        train(name, checkpoints / name)
    add_pretraining_heads(checkpoints / "reviews")
    for name in LESSONS:
        checkpoint = read_checkpoint(checkpoints / name)
        export_model(checkpoint, models / name, precision="fp32", progress=_silent)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
