"""Sentences with one gap in, how often the model fills it as a reader would out.

A cloze test (Taylor 1953; for language models Petroni et al. 2019, "Language Models as Knowledge
Bases?") of our own: facts, grammar and sense. `prompts.jsonl` beside this module was written before
any model was run on it and is not to be changed for any model's sake.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.data.read import read_examples
from training.data.record import Record, is_text
from training.errors import TrainingError
from training.evaluate.figures import Figure, shares
from training.evaluate.inference import Ids, Subject, evaluating, finite, hidden_rows
from training.masking import pad

PROMPTS = Path(__file__).with_name("prompts.jsonl")
GAP = "[MASK]"


@dataclass(frozen=True)
class Prompt:
    """A sentence with one gap."""

    text: str
    accept: tuple[str, ...]  # every word that a reader would call right there
    kind: str  # "fact", "grammar", "sense", or any other


def read_prompts(path: Path) -> list[Prompt]:
    """Read JSON lines of `{"text": …, "accept": […], "kind": …}`.

    Raises `TrainingError`, with the line but never the text, for one that is not like that.
    """
    return read_examples(path, _prompt)


def _prompt(record: Record) -> Prompt:
    text, kind, accept = record.text("text"), record.text("kind"), record.list("accept")
    if text.count(GAP) != 1 or not accept or not all(map(is_text, accept)):
        raise record.error(f"expected one {GAP} in text, and one word or more in accept")
    return Prompt(text, tuple(accept), kind)


def measure_prompts(subject: Subject, prompts: Sequence[Prompt]) -> list[Figure]:
    """Share of the prompts of which an accepted word is the first choice, and among the first five.

    A prompt none of whose words is a single token of the checkpoint's vocabulary is left out.
    """
    known = [
        (prompt, accepted)
        for prompt in prompts
        if len(accepted := accepted_ids(prompt, subject.tokenizer, subject.vocabulary.unk))
    ]
    if not known:
        raise TrainingError("No prompt has an answer in the checkpoint's vocabulary.")
    logits = _logits(subject, [prompt for prompt, _ in known])
    best = np.array([row[ids].max() for row, (_, ids) in zip(logits, known, strict=True)])
    # A tie counts against the prompt, so that a model that says nothing gets nothing.
    ranks = (logits >= best[:, None]).sum(axis=1) - 1  # 0 for the model's first choice
    kinds = [prompt.kind for prompt, _ in known]
    parts = {"": ranks} | {
        kind: ranks[[other == kind for other in kinds]] for kind in sorted(set(kinds))
    }
    return [
        Figure(
            key=f"prompts.{kind}.top{top}" if kind else f"prompts.top{top}",
            name=f"cloze prompts{kind and f', {kind}'}, top {top}",
            interval=shares(int((part < top).sum()), len(part)),
            style="share",
            count=len(part),
            of="prompts",
        )
        for kind, part in parts.items()
        for top in (1, 5)
    ]


def accepted_ids(prompt: Prompt, tokenizer: Tokenizer, unknown: int) -> Ids:
    """Int64 (n,): the accepted words that are one token, capitalised too for cased vocabularies."""
    forms = {form for word in prompt.accept for form in (word, word.capitalize())}
    encoded = (tokenizer.encode(form, add_special_tokens=False).ids for form in forms)
    single = {ids[0] for ids in encoded if len(ids) == 1}
    return np.array(sorted(single - {unknown}), np.int64)


def _logits(subject: Subject, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
    """Float32 (prompts, vocabulary): what the model says of each gap."""
    model, mask = subject.model, subject.vocabulary.mask
    batch = pad([np.array(subject.tokenizer.encode(prompt.text).ids) for prompt in prompts])
    rows = np.flatnonzero(batch.ids == mask)
    if len(rows) != len(prompts):
        raise TrainingError(f"The checkpoint's tokenizer does not read {GAP} as one token.")
    with evaluating(model):
        return finite(model.mlm_logits(hidden_rows(model.bert, batch, rows)))
