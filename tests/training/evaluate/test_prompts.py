"""Cloze prompts: what the file of our own may hold, and how answers are counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer

from training.errors import TrainingError
from training.evaluate.inference import Subject
from training.evaluate.prompts import (
    PROMPTS,
    Prompt,
    accepted_ids,
    measure_prompts,
    read_prompts,
)


def test_file_has_a_hundred_prompts_of_three_kinds_each_once() -> None:
    prompts = read_prompts(PROMPTS)
    assert Counter(prompt.kind for prompt in prompts) == {"fact": 35, "grammar": 30, "sense": 35}
    assert len({prompt.text for prompt in prompts}) == 100
    for prompt in prompts:
        assert len(set(prompt.accept)) == len(prompt.accept), prompt.text


def test_every_accepted_word_is_one_token_of_an_uncased_english_vocabulary(
    minilm_checkpoint: Path,
) -> None:
    tokenizer = Tokenizer.from_file(str(minilm_checkpoint / "tokenizer.json"))
    tokenizer.no_padding()
    vocabulary = tokenizer.get_vocab()
    accepted = {word for prompt in read_prompts(PROMPTS) for word in prompt.accept}
    assert not accepted - set(vocabulary)
    for word in accepted:
        assert tokenizer.encode(word, add_special_tokens=False).ids == [vocabulary[word]]


def test_answer_does_not_stand_in_its_own_prompt() -> None:
    for prompt in read_prompts(PROMPTS):
        words = set(prompt.text.lower().replace(",", " ").replace(".", " ").split())
        if prompt.kind != "grammar":  # function words come twice in any sentence
            assert not words & set(prompt.accept), prompt.text


def test_figures_are_what_transformers_top_choices_give(
    subject: Subject, prompts_file: Path, reference: transformers.BertForPreTraining
) -> None:
    hits: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for prompt in read_prompts(prompts_file)[:4]:  # the vocabulary lacks the fifth one's answer
        encoding = subject.tokenizer.encode(prompt.text)
        place = encoding.tokens.index("[MASK]")
        with torch.no_grad():
            logits = reference(input_ids=torch.tensor([encoding.ids])).prediction_logits[0, place]
        for top in (1, 5):
            best = [subject.tokenizer.id_to_token(i) for i in logits.topk(top).indices.tolist()]
            hits[prompt.kind, top].append(bool(set(best) & set(prompt.accept)))
    figures = {f.key: f for f in measure_prompts(subject, read_prompts(prompts_file))}
    assert any(found for values in hits.values() for found in values)
    for (kind, top), values in hits.items():
        figure = figures[f"prompts.{kind}.top{top}"]
        assert (figure.interval.value, figure.count) == (sum(values) / 2, 2)
    for top in (1, 5):
        both = hits["fact", top] + hits["sense", top]
        assert figures[f"prompts.top{top}"].interval.value == sum(both) / 4


def test_any_accepted_word_counts(subject: Subject) -> None:
    with torch.no_grad():
        subject.model.get_parameter("cls.predictions.bias")[
            subject.tokenizer.token_to_id("dog")
        ] = 1e4
    prompts = [
        Prompt("The [MASK] ran.", ("cat", "dog"), "sense"),
        Prompt("The [MASK] sat.", ("cat",), "sense"),
    ]
    figures = measure_prompts(subject, prompts)
    assert next(f for f in figures if f.key == "prompts.top1").interval.value == 0.5


def test_accepted_words_are_single_known_tokens(subject: Subject) -> None:
    prompt = Prompt("The [MASK].", ("dog", "playing", "bone", "Cat"), "sense")
    found = accepted_ids(prompt, subject.tokenizer, subject.vocabulary.unk)
    assert [subject.tokenizer.id_to_token(i) for i in found] == ["cat", "dog"]


def test_prompts_without_any_known_answer_are_refused(subject: Subject) -> None:
    with pytest.raises(TrainingError, match="No prompt has an answer"):
        measure_prompts(subject, [Prompt("The [MASK].", ("bone",), "sense")])


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '{"text": "secret", "accept": ["a"], "kind": "fact"}',
        '{"text": "secret [MASK] [MASK]", "accept": ["a"], "kind": "fact"}',
        '{"text": "secret [MASK]", "accept": [], "kind": "fact"}',
        '{"text": "secret [MASK]", "accept": "a", "kind": "fact"}',
        '{"text": "secret [MASK]", "accept": ["a"]}',
        '{"text": "secret [MASK]", "accept": [1], "kind": "fact"}',
    ],
)
def test_bad_line_is_named_by_number_and_never_shown(tmp_path: Path, line: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('\n{"text": "A [MASK].", "accept": ["a"], "kind": "fact"}\n' + line + "\n")
    with pytest.raises(TrainingError, match=r"^prompts\.jsonl, line 3: ") as caught:
        read_prompts(path)
    assert "secret" not in str(caught.value)


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n")
    with pytest.raises(TrainingError, match="holds no examples"):
        read_prompts(path)
