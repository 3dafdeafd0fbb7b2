"""Every task on encoders whose tokenizer is not BERT's, against transformers on the same folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import transformers

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from server.errors import MaskTruncated, NoMask, TooLong
from server.inference.pipeline import Pipeline
from server.inference.tasks.entities import Strategy
from server.inference.tasks.fill_mask import FILL_MASK, Filling, FillMaskOptions
from server.inference.tasks.pairs import Cut
from server.inference.tasks.score import SCORE, Metric, ScoreOptions
from server.inference.tasks.text_classification import TEXT_CLASSIFICATION, PredictOptions
from server.inference.tasks.token_classification import TOKEN_CLASSIFICATION, EntityOptions
from server.inference.tasks.tokenization import TOKENIZATION, TokenizationOptions
from tests.server.inference.conftest import resources, value_of
from tests.server.inference.pseudo_likelihood import assert_same_scores, pseudo_likelihood
from tests.small_tokenizers import (
    save_camembert,
    save_modern_bert,
    save_mpnet,
    save_roberta,
    save_xlm_roberta,
)

PARITY = 1e-5  # largest difference of a score
LONGEST = 48  # tokens
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SAVES: dict[str, Callable[[Path], Path]] = {
    "xlm-roberta": save_xlm_roberta,
    "camembert": save_camembert,
    "roberta": save_roberta,
    "mpnet": save_mpnet,
    "modernbert": lambda folder: save_modern_bert(
        folder, model_input_names=["input_ids", "attention_mask"]
    ),
}
TEXTS = (
    "Clara lives in New York, doesn't she?",
    "Köln and Łódź: 東京!",
    "  two  blanks, café ",
    "it ' s \U0001f600 unknown",
)
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Save = Callable[[str], Path]


@pytest.fixture(scope="module", params=SAVES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Save:
    """`saved("BertForMaskedLM")`: a folder with that head and the tokenizer of each kind."""
    place, known = tmp_path_factory.mktemp(request.param), dict[str, Path]()

    def save(architecture: str) -> Path:
        if architecture not in known:
            known[architecture] = folder = place / architecture
            SAVES[request.param](folder)
            rows = len(transformers.AutoTokenizer.from_pretrained(folder))
            _draw(folder, architecture, rows)
        return known[architecture]

    return save


def _draw(folder: Path, architecture: str, rows: int) -> None:
    torch.manual_seed(5)
    config = transformers.BertConfig(
        vocab_size=rows,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=LONGEST,
        initializer_range=0.3,
        id2label=dict(enumerate(LABELS)),
    )
    getattr(transformers, architecture)(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def served(saved: Save, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """`served("BertForMaskedLM")`: the same, exported and running."""
    running: dict[str, Pipeline] = {}

    def serve(architecture: str) -> Pipeline:
        if architecture not in running:
            out = tmp_path_factory.mktemp("models") / architecture.lower()
            checkpoint = replace(read_checkpoint(saved(architecture)), name="other")
            export_model(checkpoint, out, precision="fp32", progress=lambda _: None)
            running[architecture] = Pipeline(out, resources(threads=1))
            running[architecture].start()
        return running[architecture]

    yield serve
    for pipeline in running.values():
        pipeline.close()


def theirs(saved: Save, task: str, architecture: str) -> Any:
    return transformers.pipeline(task, str(saved(architecture)), device="cpu")


def test_masks_are_filled_as_transformers_fills_them(saved: Save, served: Any) -> None:
    pipeline, reference = served("BertForMaskedLM"), theirs(saved, "fill-mask", "BertForMaskedLM")
    mask = pipeline.model.tokenizer.spec.mask
    assert mask == reference.tokenizer.mask_token
    texts = [
        f"{mask} is it.",
        f"It is the {mask} of all",
        f"It is{mask}, café !",
        f"a  {mask}\n{mask} b",
    ]
    for text in texts:
        ((*found,),) = value_of(pipeline, FILL_MASK, [text], FillMaskOptions(top_k=4))
        wanted = reference(text, top_k=4)
        wanted = wanted if isinstance(wanted[0], list) else [wanted]
        for ours, expected in zip(found, wanted, strict=True):
            assert_same_fillings(ours, expected)


def assert_same_fillings(found: list[Filling], wanted: list[dict[str, Any]]) -> None:
    for name in ("token", "token_str", "sequence"):
        assert [getattr(one, name) for one in found] == [one[name] for one in wanted]
    assert [one.score for one in found] == pytest.approx(
        [one["score"] for one in wanted], abs=PARITY
    )


@pytest.mark.parametrize("metric", get_args(Metric))
def test_texts_are_scored_as_a_loop_over_transformers_does(
    metric: Metric, saved: Save, served: Any
) -> None:
    pipeline, folder = served("BertForMaskedLM"), saved("BertForMaskedLM")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    texts = [*TEXTS, f"It is {tokenizer.mask_token} unbelievably."]
    scored = value_of(pipeline, SCORE, texts, ScoreOptions(metric))
    for text, found in zip(texts, scored, strict=True):
        assert_same_scores(found, pseudo_likelihood(tokenizer, model, text, metric), PARITY)


def test_targets_are_spelled_as_the_vocabulary_has_them(saved: Save, served: Any) -> None:
    pipeline, reference = served("BertForMaskedLM"), theirs(saved, "fill-mask", "BertForMaskedLM")
    text = f"It is the {pipeline.model.tokenizer.spec.mask}."
    tokenizer = reference.tokenizer
    words = [tokenizer.convert_ids_to_tokens(index) for index in (30, 60, 90, 120)]
    ((found,),) = value_of(pipeline, FILL_MASK, [text], FillMaskOptions(targets=[words]))
    assert_same_fillings(found, reference(text, targets=words, top_k=4))


def test_a_text_without_a_mask_is_told_its_spelling(served: Any) -> None:
    pipeline = served("BertForMaskedLM")
    mask = pipeline.model.tokenizer.spec.mask
    other = "[MASK]" if mask == "<mask>" else "<mask>"
    with pytest.raises(NoMask, match=re.escape(f"no {mask}; write {mask} where")):
        value_of(pipeline, FILL_MASK, [f"It is the {other}."], FillMaskOptions())
    long = "word " * (LONGEST * 40) + mask
    with pytest.raises(MaskTruncated):
        value_of(pipeline, FILL_MASK, [long], FillMaskOptions(truncate=True))


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_words_are_labelled_as_transformers_labels_them(
    strategy: Strategy, saved: Save, served: Any
) -> None:
    name = "BertForTokenClassification"
    pipeline, reference = served(name), theirs(saved, "token-classification", name)
    options = EntityOptions(strategy=strategy, ignore=frozenset())
    found = value_of(pipeline, TOKEN_CLASSIFICATION, TEXTS, options)
    for text, ours in zip(TEXTS, found, strict=True):
        wanted = reference(text, aggregation_strategy=strategy, ignore_labels=[])
        assert [(one.start, one.end, one.word) for one in ours] == [
            (one["start"], one["end"], one["word"]) for one in wanted
        ]
        labels = [one.get("entity_group") or one["entity"] for one in wanted]
        assert [one.label for one in ours] == labels
        assert [one.score for one in ours] == pytest.approx(
            [float(one["score"]) for one in wanted], abs=PARITY
        )


def test_pairs_are_read_and_cut_as_transformers_does(saved: Save, served: Any) -> None:
    name = "BertForSequenceClassification"
    pipeline, folder = served(name), saved(name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = [(first, second) for first in TEXTS for second in (None, "and more", "long one " * 40)]
    options = PredictOptions(top_k=None, cut=Cut(truncate=True))
    found = value_of(pipeline, TEXT_CLASSIFICATION, pairs, options)
    for (first, second), labels in zip(pairs, found, strict=True):
        inputs = tokenizer(first, second, truncation=True, max_length=LONGEST, return_tensors="pt")
        with torch.inference_mode():
            scores = model(**inputs).logits.softmax(-1)[0].tolist()
        expected = dict(zip(LABELS, scores, strict=True))
        assert {label.label: label.score for label in labels} == pytest.approx(expected, abs=PARITY)
    with pytest.raises(TooLong):
        value_of(pipeline, TEXT_CLASSIFICATION, pairs, PredictOptions(top_k=None))


def test_tokens_are_shown_with_the_text_they_cover(saved: Save, served: Any) -> None:
    name = "BertForMaskedLM"
    pipeline, tokenizer = served(name), transformers.AutoTokenizer.from_pretrained(saved(name))
    pair = (TEXTS[0], TEXTS[1])
    ((shown, _),) = value_of(pipeline, TOKENIZATION, [pair], TokenizationOptions())
    expected = tokenizer(*pair, return_offsets_mapping=True)
    assert list(shown.ids) == expected["input_ids"]
    assert list(shown.tokens) == tokenizer.convert_ids_to_tokens(expected["input_ids"])
    spans = [span for span in shown.offsets if span is not None]
    wanted = zip(expected["offset_mapping"], expected.sequence_ids(), strict=True)
    assert spans == [span for span, of in wanted if of is not None]
    assert set(shown.token_type_ids) == {0}
