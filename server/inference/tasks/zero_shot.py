"""Texts and labels of the client's own in, how well each label fits out, best first.

A model that learnt natural language inference is asked whether the text entails a sentence about
the label (Yin, Hay and Roth 2019, arXiv:1909.00161). Which of its labels say so is found by their
names, and what their logits become is computed, as the pipeline of transformers does it. Each text
and each sentence is read once.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.heads import SEQUENCE
from models.manifest import ModelManifest
from models.probabilities import softmax
from server.errors import EmptyText, InvalidParameter, TooLong, TooManyInputs
from server.inference.runtime.packing import Item, PooledLogits, Results, results_as
from server.inference.tasks.pairs import Cut, keep, read_text, require_pairs
from server.inference.tasks.task import (
    CHARACTER_BYTES,
    TEXT_CHARACTERS,
    Plan,
    Price,
    Proceed,
    ReadItem,
    ServedModel,
    Task,
    read_each,
)
from server.inference.tasks.text_classification import LabelsByText, ranked
from server.inference.tokenizer import Pieces, too_long

HYPOTHESIS: Final = "This example is {}."
BLANK: Final = "{}"  # where a hypothesis has its label
LONGEST_TEMPLATE: Final = 1000  # characters, which are read once for each label
_LABELS: Final = "parameters.candidate_labels"
_TEMPLATE: Final = "parameters.hypothesis_template"
_LABEL_BYTES: Final = 320  # of one label of one text, beside its name


class ZeroShotOptions(NamedTuple):
    """What a request asks besides its texts."""

    labels: Sequence[str]
    template: str = HYPOTHESIS
    """A sentence with `{}` for the label."""
    several: bool = False
    """Each label may be true by itself; otherwise one of them is."""
    cut: Cut = Cut()


class ZeroShot(Task[str, ZeroShotOptions, LabelsByText]):
    """The client's labels for each text with their scores, best first."""

    name = "zero-shot-classification"
    title = SEQUENCE.title
    head = SEQUENCE

    def able(self, manifest: ModelManifest) -> bool:
        """Whether one of several labels is that of entailment."""
        entails = len(manifest.labels) > 1 and _entailment(manifest) is not None
        return super().able(manifest) and entails

    def lack(self, manifest: ModelManifest) -> str:
        """A classifier may have learnt other things than inference."""
        if not super().able(manifest):
            return super().lack(manifest)
        return 'did not learn inference: no label among several begins with "entail"'

    def check(self, inputs: Sequence[str], options: ZeroShotOptions, model: ServedModel) -> None:
        """Refuse templates without a place for the label, and too many pairs."""
        if not options.labels:
            raise EmptyText("The list of labels is empty.", param=_LABELS)
        rest = options.template.replace(BLANK, "", 1)
        if len(rest) + len(BLANK) > LONGEST_TEMPLATE:
            raise InvalidParameter(
                f"hypothesis_template must have {LONGEST_TEMPLATE} characters at most.",
                param=_TEMPLATE,
            )
        if rest == options.template or not {"{", "}"}.isdisjoint(rest):
            raise InvalidParameter(
                "hypothesis_template must hold {} once, where the label goes, and no other brace.",
                param=_TEMPLATE,
            )
        most = model.limits.max_inputs
        if len(inputs) * len(options.labels) > most:
            raise TooManyInputs(
                f"A request may pair texts and labels {most} times; split it.", param=_LABELS
            )
        require_pairs(model, "inputs")

    def price(self, inputs: Sequence[str], options: ZeroShotOptions, model: ServedModel) -> Price:
        """One item for each text and label; each is read once."""
        template = len(options.template)
        sentences = [template + len(label) for label in options.labels]
        lengths = [len(text) + sentence for text in inputs for sentence in sentences]
        size = _answer_bytes(len(inputs), options)
        price = Price.estimate(lengths, model.manifest.max_tokens, size)
        count = len(inputs) + len(sentences)
        read = sum(map(len, inputs)) + sum(sentences) + TEXT_CHARACTERS * count
        return price._replace(characters=read)

    def plan(
        self,
        inputs: Sequence[str],
        options: ZeroShotOptions,
        model: ServedModel,
        proceed: Proceed,
    ) -> Plan[LabelsByText]:
        """One item for each text and label; the answer is text -> labels, best first."""
        hypotheses = [
            _hypothesis(options, model, proceed, index) for index in range(len(options.labels))
        ]
        read = partial(_read, hypotheses, self.sample(), options.cut, model)
        by_text, _ = read_each(inputs, read, _price, model, proceed)

        def answer(results: Results) -> LabelsByText:
            logits = np.stack(results_as(np.ndarray, results))
            scores = _scores(logits.reshape(len(inputs), len(hypotheses), -1), options, model)
            return [ranked(row, options.labels) for row in scores]

        return Plan.of(
            [item for items in by_text for item, _ in items],
            answer,
            [any(cut for _, cut in items) for items in by_text],
            _answer_bytes(len(inputs), options),
        )

    def sample(self) -> PooledLogits:
        """The logits of a pair."""
        return PooledLogits(SEQUENCE)


def _entailment(manifest: ModelManifest) -> int | None:
    """The number of the label that says that the second text follows from the first."""
    labels = enumerate(manifest.labels)
    return next((at for at, label in labels if label.lower().startswith("entail")), None)


def _answer_bytes(texts: int, options: ZeroShotOptions) -> int:
    names = sum(map(len, options.labels))
    return texts * (len(options.labels) * _LABEL_BYTES + names * CHARACTER_BYTES)


def _price(items: Sequence[ReadItem]) -> Price:
    return Price(0, sum([len(item.encoding.ids) for item, _ in items]), 0)


def _hypothesis(
    options: ZeroShotOptions, model: ServedModel, proceed: Proceed, index: int
) -> Pieces:
    """The sentence about a label, which is never cut."""
    proceed()
    param, label = f"{_LABELS}[{index}]", options.labels[index]
    if not label.strip():
        raise EmptyText("The label is empty.", param=param)
    hypothesis = read_text(options.template.replace(BLANK, label), Cut(), model, param)
    most = model.manifest.max_tokens
    if len(hypothesis.ids) + model.tokenizer.spec.pair_specials >= most:
        raise TooLong(
            f"The sentence with this label leaves no room for a text in {most} tokens; "
            "shorten the label or hypothesis_template.",
            param=param,
        )
    return hypothesis


def _read(
    hypotheses: Sequence[Pieces],
    output: PooledLogits,
    cut: Cut,
    model: ServedModel,
    text: str,
    param: str,
) -> list[ReadItem]:
    """The items of one text, which alone is cut where a pair is too long."""
    premise, most = read_text(text, cut, model, param), model.manifest.max_tokens
    items = []
    for hypothesis in hypotheses:
        room = most - model.tokenizer.spec.pair_specials - len(hypothesis.ids)
        over = len(premise.ids) > room
        if over and not cut.truncate:
            raise too_long(most, param)
        kept = keep(premise.ids, min(room, len(premise.ids)), cut.end(model))
        item = Item(model.tokenizer.assemble(kept, hypothesis.ids), output)
        items.append((item, over or premise.cut))
    return items


def _scores(
    logits: NDArray[np.float32], options: ZeroShotOptions, model: ServedModel
) -> NDArray[np.float64]:
    """How well each label fits: float32 (texts, labels, classes) -> (texts, labels).

    Labels that exclude each other share the probability by their logits of entailment. Others are
    each weighed against contradiction, which is the first class, or the last one if the first is
    entailment.
    """
    entailment = _entailment(model.manifest) or 0
    if not options.several and len(options.labels) > 1:
        return softmax(logits[..., entailment])
    contradiction = 0 if entailment else -1
    return softmax(logits[..., [contradiction, entailment]])[..., 1]


ZERO_SHOT: Final = ZeroShot()
