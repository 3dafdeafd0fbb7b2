"""The official clients, unmodified, against a real server."""

from __future__ import annotations

import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.running_server import RunningServer


@pytest.fixture(scope="module")
def client(two_model_server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{two_model_server.url}/v1", api_key="none", max_retries=0)


def test_openai_embeds_in_both_encodings(client: openai.OpenAI) -> None:
    texts = ["A cat.", "The quick brown fox."]
    packed = client.embeddings.create(input=texts, model="minilm")
    plain = client.embeddings.create(input=texts, model="minilm", encoding_format="float")
    assert [len(entry.embedding) for entry in packed.data] == [384, 384]
    for one, other in zip(packed.data, plain.data, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
    assert packed.usage.total_tokens > 0


def test_openai_slices_dimensions(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(input="A cat.", model="minilm", dimensions=11)
    assert len(answer.data[0].embedding) == 11


def test_openai_lists_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["cloze-small-en", "minilm"]
    assert client.models.retrieve("minilm").id == "minilm"


def test_openai_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(input="a", model="text-embedding-3-small")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as empty:
        client.embeddings.create(input="", model="minilm")
    assert (empty.value.code, empty.value.param) == ("empty_text", "input")


def test_huggingface_fills_masks(two_model_server: RunningServer) -> None:
    url = f"{two_model_server.url}/fill-mask"
    text = "Paris is the [MASK] of France."
    first, *_ = InferenceClient().fill_mask(text, model=url)
    assert (first.token_str, first.sequence) == ("capital", "paris is the capital of france.")
    (heart,) = InferenceClient().fill_mask(text, model=url, targets=["heart"], top_k=1)
    assert heart.token_str == "heart"


def test_huggingface_extracts_features(two_model_server: RunningServer) -> None:
    url = f"{two_model_server.url}/models/minilm/embed"
    vector = InferenceClient().feature_extraction("A cat.", model=url)
    assert vector.shape == (1, 384)
    long = InferenceClient().feature_extraction(
        "cat " * 2000, model=url, truncate=True, truncation_direction="left", normalize=True
    )
    assert long.shape == (1, 384)


def test_huggingface_raises_on_refusals(two_model_server: RunningServer) -> None:
    with pytest.raises(HfHubHTTPError, match="422"):
        InferenceClient().fill_mask("no blank", model=f"{two_model_server.url}/fill-mask")


def test_huggingface_classifies_texts(classifier_server: RunningServer) -> None:
    url = f"{classifier_server.url}/predict"
    text = "What a wonderful film!"
    every = InferenceClient().text_classification(text, model=url)
    assert every[0].label == "positive"
    assert {label.label for label in every} == {"negative", "neutral", "positive"}
    assert sum(label.score for label in every) == pytest.approx(1)
    (best,) = InferenceClient().text_classification(text, model=url, top_k=1)
    assert best == every[0]
    (logit,) = InferenceClient().text_classification(
        text, model=url, top_k=1, function_to_apply="none"
    )
    assert logit.score > 1


def test_huggingface_finds_entities(classifier_server: RunningServer) -> None:
    url = f"{classifier_server.url}/models/names/token-classification"
    text = "Clara lives in Berkeley."
    person, place = InferenceClient().token_classification(text, model=url)
    assert (person.entity_group, person.word) == ("PER", "clara")
    assert (place.entity_group, text[place.start : place.end]) == ("LOC", "Berkeley")
    tokens = InferenceClient().token_classification(
        text, model=url, aggregation_strategy="none", ignore_labels=["O", "I-LOC"]
    )
    assert [token.entity for token in tokens] == ["B-PER", "I-PER", "B-LOC"]
    long = InferenceClient().token_classification(
        " ".join([text] * 20), model=url, aggregation_strategy="first", stride=8
    )
    assert len(long) > 20


def test_huggingface_answers_questions(classifier_server: RunningServer) -> None:
    url = f"{classifier_server.url}/models/answers/question-answering"
    question, context = "Where does Clara live?", "Clara lives in Berkeley."
    best = InferenceClient().question_answering(question, context, model=url)
    assert (best.answer, best.start, best.end) == ("Berkeley", 15, 23)
    several = InferenceClient().question_answering(
        question,
        context * 9,
        model=url,
        top_k=3,
        max_answer_len=5,
        max_seq_len=30,
        doc_stride=4,
        max_question_len=10,
        handle_impossible_answer=True,
        align_to_words=False,
    )
    assert len(several) == 3
    assert several[0].score >= several[1].score >= several[2].score


def test_huggingface_raises_where_the_head_is_missing(classifier_server: RunningServer) -> None:
    with pytest.raises(HfHubHTTPError, match="422"):
        InferenceClient().text_classification(
            "a", model=f"{classifier_server.url}/models/names/predict"
        )
