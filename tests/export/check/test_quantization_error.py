"""What is measured of an int8 graph, on graphs whose drift is known: none, or one that was made."""

import dataclasses
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, Model, Unigram, WordPiece

from export.check.quantization_error import (
    LONGEST,
    MASK_EVERY,
    OFFSETS,
    SENTENCES,
    _affordable,
    _texts,
    _unknown,
    measure_quantization_error,
    texts_for,
)
from export.graph.packed import GraphSpec
from export.graph.quantize import Int8Linear
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.read.config import EncoderConfig
from export.write.model_folder import export_model
from models.manifest import ON_RANDOM_TOKENS, ON_SENTENCES, load_manifest
from tests.export.built_graph import BuiltGraph, MemoryWeights, build_graph

ENOUGH_MASKS = 1000  # an agreement of 0.97 then has an interval of a point to either side
NONE = 1e-4  # absolute, what float32 in another order may differ

Save = Callable[..., Path]


def measure(graph: BuiltGraph, checkpoint: Checkpoint) -> dict[str, float]:
    return measure_quantization_error(
        graph.session, checkpoint.weights, graph.spec, checkpoint.tokenizer_json
    )


def with_change(checkpoint: Checkpoint, name: str, change: object) -> Checkpoint:
    """The checkpoint with `change` added to one weight."""
    arrays = {key: checkpoint.weights[key] for key in checkpoint.weights}
    arrays[name] = (arrays[name] + np.asarray(change)).astype(np.float32)
    return dataclasses.replace(checkpoint, weights=MemoryWeights(arrays))


def test_float32_graph_does_not_drift(bert: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(bert)
    drift = measure(build_graph(checkpoint, tmp_path / "graph", layers=(-2,)), checkpoint)
    assert drift["mlm_top1_agreement"] == 1
    assert drift["embedding_cosine_mean"] == pytest.approx(1, abs=1e-6)
    assert drift["embedding_cosine_worst"] == pytest.approx(1, abs=1e-6)
    assert 0 < drift["mlm_log_probability_mean_abs"] < NONE
    assert 0 < drift["nsp_logits_mean_abs"] < NONE


def test_int8_graph_drifts_a_little(bert: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(bert)
    drift = measure(build_graph(checkpoint, tmp_path / "graph", linear=Int8Linear), checkpoint)
    assert 0.9 < drift["embedding_cosine_worst"] < drift["embedding_cosine_mean"] < 1 - 1e-6
    assert drift["mlm_log_probability_mean_abs"] > NONE
    assert drift["nsp_logits_mean_abs"] > NONE


@pytest.mark.parametrize(
    ("architecture", "weight", "measured"),
    [
        ("BertForPreTraining", "nsp.bias", "nsp_logits_mean_abs"),
        ("BertForSequenceClassification", "sequence.bias", "sequence_logits_mean_abs"),
        ("BertForTokenClassification", "token.bias", "token_logits_mean_abs"),
        ("BertForQuestionAnswering", "qa.bias", "qa_logits_mean_abs"),
    ],
)
def test_change_of_a_logit_is_measured(
    save: Save, tmp_path: Path, architecture: str, weight: str, measured: str
) -> None:
    checkpoint = read_checkpoint(save(architecture, num_labels=2))
    graph = build_graph(with_change(checkpoint, weight, [0.25, -0.75]), tmp_path / "graph")
    assert measure(graph, checkpoint)[measured] == pytest.approx(0.5, abs=NONE)


def test_word_that_takes_over_ends_the_agreement(bert: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(bert)
    favour = np.zeros(67)
    favour[66] = 1000  # no mask of the true model prefers the last row, which has no word piece
    graph = build_graph(with_change(checkpoint, "mlm.decoder.bias", favour), tmp_path / "graph")
    drift = measure(graph, checkpoint)
    assert drift["mlm_top1_agreement"] < 0.2
    assert drift["mlm_log_probability_mean_abs"] > 500
    assert drift["embedding_cosine_worst"] == pytest.approx(1, abs=1e-6)


def test_vectors_turned_round_have_cosine_minus_one(bert: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(bert)
    name = "layers.2.output.norm"
    turned = with_change(checkpoint, f"{name}.weight", -2 * checkpoint.weights[f"{name}.weight"])
    turned = with_change(turned, f"{name}.bias", -2 * checkpoint.weights[f"{name}.bias"])
    drift = measure(build_graph(turned, tmp_path / "graph"), checkpoint)
    assert drift["embedding_cosine_mean"] == pytest.approx(-1, abs=1e-6)


def test_without_heads_only_vectors_are_compared(save: Save, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save("BertModel"))
    drift = measure(build_graph(checkpoint, tmp_path / "graph"), checkpoint)
    assert set(drift) == {"embedding_cosine_mean", "embedding_cosine_worst"}


def test_masks_stand_where_words_were(minilm_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(minilm_checkpoint)
    texts, masks = _texts(
        checkpoint.tokenizer_json, GraphSpec(checkpoint.config, ("mlm",)), "[MASK]"
    )
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()
    assert len(texts) == len(masks) == len(sentences) * len(OFFSETS)
    for text, rows in zip(texts, masks, strict=True):
        assert np.flatnonzero(text.ids == 103).tolist() == rows  # [MASK]
        assert rows
        assert 0 < rows[0] <= rows[-1] < len(text.ids) - 1, "[CLS] and [SEP] are never masked"
        assert set(np.diff(rows)) <= {MASK_EVERY}
        assert (text.ids[0], text.ids[-1], len(text.ids) <= LONGEST) == (101, 102, True)
    assert sum(map(len, masks)) >= ENOUGH_MASKS


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LATIN = [piece for letter in string.ascii_lowercase for piece in (letter, f"##{letter}")]
# Japanese, Hindi and Russian models, whose vocabularies have none of English.
OTHERS = [chr(code) for start in (0x3041, 0x905, 0x430) for code in range(start, start + 20)]


def written(folder: Path, vocabulary: list[str]) -> Path:
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("vocabulary", "texts"),
    [
        (SPECIAL + LATIN, ON_SENTENCES),
        (SPECIAL + OTHERS + LATIN, ON_SENTENCES),
        (SPECIAL + OTHERS, ON_RANDOM_TOKENS),
        # Full stops and commas are tokens that it has, most are words.
        (SPECIAL + OTHERS + list(".,-0123456789"), ON_RANDOM_TOKENS),
        (SPECIAL + OTHERS + ["the", "a", "of"], ON_RANDOM_TOKENS),
    ],
    ids=["English", "letters too", "none of English", "marks and digits", "few words"],
)
def test_sentences_are_used_where_most_of_their_tokens_are_known(
    save: Save, vocabulary: list[str], texts: str
) -> None:
    folder = written(save("BertForMaskedLM", vocab_size=200), vocabulary)
    assert texts_for(read_checkpoint(folder).tokenizer_json) == texts


def test_random_tokens_stand_where_the_sentences_tokens_did(save: Save, tmp_path: Path) -> None:
    vocabulary = SPECIAL + OTHERS
    folder = written(save("BertForMaskedLM", vocab_size=200), vocabulary)
    checkpoint = read_checkpoint(folder)
    spec = GraphSpec(checkpoint.config, checkpoint.heads)
    texts, masks = _texts(checkpoint.tokenizer_json, spec, "[MASK]")
    assert len(texts) == len(SENTENCES.read_text(encoding="utf-8").splitlines()) * len(OFFSETS)
    inner = np.concatenate([text.ids[1:-1] for text in texts if len(text.ids) < 29])
    assert set(inner) == {4, *range(5, len(vocabulary))}, "all tokens, masks, and no [UNK]"
    assert {(text.ids[0], len(text.ids) <= 29) for text in texts} == {(2, True)}
    assert all((text.ids[rows] == 4).all() for text, rows in zip(texts, masks, strict=True))
    again, _ = _texts(checkpoint.tokenizer_json, spec, "[MASK]")
    assert all((one.ids == two.ids).all() for one, two in zip(texts, again, strict=True))


def test_manifest_and_card_say_what_was_measured_on(save: Save, tmp_path: Path) -> None:
    for name, vocabulary, texts in (
        ("known", SPECIAL + LATIN, ON_SENTENCES),
        ("unknown", SPECIAL + OTHERS, ON_RANDOM_TOKENS),
    ):
        folder = written(save("BertModel", vocab_size=200), vocabulary)
        checkpoint = dataclasses.replace(read_checkpoint(folder), name="tiny")
        manifest = export_model(
            checkpoint, tmp_path / name, precision="int8", progress=lambda _: None
        )
        assert manifest.quantization_texts == texts
        assert load_manifest(tmp_path / name) == manifest
        card = (tmp_path / name / "README.md").read_text(encoding="utf-8")
        assert ("on random tokens" in card) == (texts == ON_RANDOM_TOKENS)


@pytest.mark.parametrize(
    ("model", "unknown"),
    [
        (WordPiece({"?": 0, "b": 7}, unk_token="?"), 0),  # noqa: S106 (no password)
        (Unigram([("a", 0.0), ("<unk>", 0.0)], unk_id=1), 1),
        (BPE({"a": 0}, []), -1),  # of bytes: knows every text
    ],
)
def test_unknown_token_is_the_models_own(model: Model, unknown: int) -> None:
    tokenizer = Tokenizer(model)
    assert _unknown(tokenizer.to_str(), tokenizer) == unknown


def test_larger_encoders_are_measured_on_fewer_sentences() -> None:
    sentences = len(SENTENCES.read_text(encoding="utf-8").splitlines())
    base = EncoderConfig(30522, 768, 12, 12, 3072, 512, 2, "gelu")
    large = dataclasses.replace(
        base, hidden_size=1024, num_hidden_layers=24, intermediate_size=4096
    )
    endless = dataclasses.replace(large, num_hidden_layers=100_000)
    assert _affordable(base) >= sentences > _affordable(large) > 32
    assert _affordable(endless) == 1


def test_sentences_are_cut_to_the_positions_of_the_model(save: Save, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save("BertForMaskedLM", max_position_embeddings=4))
    drift = measure(build_graph(checkpoint, tmp_path / "graph"), checkpoint)
    assert drift["mlm_top1_agreement"] == 1
    assert drift["mlm_masks"] == len(SENTENCES.read_text(encoding="utf-8").splitlines())
