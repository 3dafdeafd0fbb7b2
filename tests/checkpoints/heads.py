"""Checkpoints that compare, label and answer: rerankers, classifiers, NER, questions."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

from tests.checkpoints.row import CLASSIFICATION, NER, QA, RERANKER, Row, Tokenizing, saved_again
from tests.checkpoints.texts import MANY
from tests.checkpoints.tokenizings import (
    ALBERT_MODEL,
    CAMEMBERT,
    CASED,
    CASED_VOCABULARY,
    DEBERTA,
    DEBERTA_AS_IT_IS,
    DISTIL_CASED,
    DISTIL_UNCASED,
    ELECTRA,
    ELECTRA_CASED,
    MODERN,
    ROBERTA,
    ROBERTA_MERGES,
    UNCASED,
    UNCASED_VOCABULARY,
    UNIDIC,
    UNNAMED,
    XLM_R,
    XLM_R_MODEL,
    python,
)

OF_VERSION_4: Final = "one version of transformers takes that"
ACTIVATIONS: Final = "torch.nn.modules"


def _activation(name: str) -> dict[str, object]:
    own = {"activation_fn": f"{ACTIVATIONS}.{name}", "version": "4.1.0"}
    return {"sentence_transformers": own}


def _both(row: Row, refused: str = OF_VERSION_4) -> tuple[Row, Row]:
    """As published, which is refused, and saved again."""
    return replace(row, refused=refused), saved_again(row)


def _as_it_is(row: Row) -> Row:
    """With version 4's tokenizer, which the model learnt with."""
    return replace(row, tokenizer=DEBERTA_AS_IT_IS, after="with tokenizer_class set")


IDENTITY, SIGMOID = _activation("linear.Identity"), _activation("activation.Sigmoid")
SEVERAL: Final = {"problem_type": "multi_label_classification"}

_pairs = partial(Row, RERANKER, labels=1)
RERANKERS: Final = (
    *(
        _pairs(f"cross-encoder/ms-marco-{name}", "en", "bert", UNCASED, IDENTITY)
        for name in ("MiniLM-L6-v2", "MiniLM-L12-v2", "TinyBERT-L2-v2")
    ),
    _pairs("cross-encoder/stsb-roberta-base", "en", "roberta", ROBERTA, SIGMOID),
    _pairs("cross-encoder/quora-distilroberta-base", "en", "roberta", ROBERTA, SIGMOID),
    _pairs("cross-encoder/mmarco-mMiniLMv2-L12-H384-v1", MANY, "xlm-roberta", XLM_R, IDENTITY),
    _pairs("BAAI/bge-reranker-base", MANY, "xlm-roberta", XLM_R),
    _pairs("BAAI/bge-reranker-v2-m3", MANY, "xlm-roberta", XLM_R),
    _pairs("Dongjin-kr/ko-reranker", "ko", "xlm-roberta", XLM_R),
    _pairs("DiTy/cross-encoder-russian-msmarco", "ru", "bert", CASED),
    _pairs(
        "Alibaba-NLP/gte-reranker-modernbert-base", "en", "modernbert", MODERN,
        {"classifier_pooling": "mean"},
    ),
    *_both(_pairs("mixedbread-ai/mxbai-rerank-base-v1", "en", "deberta-v2", DEBERTA)),
    _as_it_is(_pairs("mixedbread-ai/mxbai-rerank-base-v1", "en", "deberta-v2", DEBERTA)),
    _pairs(
        "jinaai/jina-reranker-v2-base-multilingual", MANY, "xlm-roberta", XLM_R,
        own_class="XLMRobertaFlashForSequenceClassification",
        refused="XLMRobertaFlashForSequenceClassification",
    ),
    _pairs(
        "Qwen/Qwen3-Reranker-0.6B", MANY, "qwen3", python("Qwen2Tokenizer"),
        own_class="Qwen3ForCausalLM", refused="qwen3",
    ),
)  # fmt: skip


def _texts(
    name: str, language: str, model_type: str, tokenizer: Tokenizing, labels: int, **rest: Any
) -> Row:
    return Row(CLASSIFICATION, name, language, model_type, tokenizer, labels=labels, **rest)


CLASSIFIERS: Final = (
    _texts(
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english", "en", "distilbert",
        DISTIL_UNCASED, 2,
    ),
    _texts("cardiffnlp/twitter-roberta-base-sentiment-latest", "en", "roberta", ROBERTA_MERGES, 3),
    _texts("FacebookAI/roberta-large-mnli", "en", "roberta", ROBERTA, 3),
    _texts("j-hartmann/emotion-english-distilroberta-base", "en", "roberta", ROBERTA, 7),
    _texts("SamLowe/roberta-base-go_emotions", "en", "roberta", ROBERTA, 28, config=SEVERAL),
    _texts("ProsusAI/finbert", "en", "bert", UNCASED_VOCABULARY, 3),
    _texts("yiyanghkust/finbert-tone", "en", "bert", UNCASED_VOCABULARY, 3),
    _texts("unitary/toxic-bert", "en", "bert", UNCASED, 6, config=SEVERAL),
    *_both(_texts("MoritzLaurer/DeBERTa-v3-base-mnli-fever-anli", "en", "deberta-v2", DEBERTA, 3)),
    *_both(
        _texts("protectai/deberta-v3-base-prompt-injection-v2", "en", "deberta-v2", DEBERTA, 2)
    ),
    _texts(
        "textattack/albert-base-v2-imdb", "en", "albert", ALBERT_MODEL, 2,
        refused="only spiece.model",
    ),
    _texts("nlptown/bert-base-multilingual-uncased-sentiment", MANY, "bert", UNCASED_VOCABULARY, 5),
    _texts(
        "lxyuan/distilbert-base-multilingual-cased-sentiments-student", MANY, "distilbert",
        DISTIL_CASED, 3,
    ),
    _texts("papluca/xlm-roberta-base-language-detection", MANY, "xlm-roberta", XLM_R, 20),
    _texts("joeddav/xlm-roberta-large-xnli", MANY, "xlm-roberta", XLM_R, 3),
    *_both(
        _texts(
            "cardiffnlp/twitter-xlm-roberta-base-sentiment", MANY, "xlm-roberta", XLM_R_MODEL, 3
        ),
        "only sentencepiece.bpe.model",
    ),
    _texts("oliverguhr/german-sentiment-bert", "de", "bert", CASED_VOCABULARY, 3),
    _texts("uer/roberta-base-finetuned-jd-binary-chinese", "zh", "bert", UNCASED_VOCABULARY, 2),
    _texts("blanchefort/rubert-base-cased-sentiment", "ru", "bert", CASED_VOCABULARY, 3),
    _texts("savasy/bert-base-turkish-sentiment-cased", "tr", "bert", CASED_VOCABULARY, 2),
    _texts("finiteautomata/beto-sentiment-analysis", "es", "bert", CASED_VOCABULARY, 3),
    _texts("CAMeL-Lab/bert-base-arabic-camelbert-da-sentiment", "ar", "bert", CASED_VOCABULARY, 3),
    _texts("snunlp/KR-FinBert-SC", "ko", "bert", CASED, 3),
    _texts("koheiduck/bert-japanese-finetuned-sentiment", "ja", "bert", UNNAMED, 3,
           refused="does not name MeCab's dictionary"),
    _texts("wonrax/phobert-base-vietnamese-sentiment", "vi", "roberta", python("PhobertTokenizer"),
           3, refused="PhobertTokenizer"),
    _texts("facebook/bart-large-mnli", "en", "bart", ROBERTA, 3,
           own_class="BartForSequenceClassification", refused="bart"),
)  # fmt: skip

_words = partial(Row, NER, labels=9)
ENTITIES: Final = (
    _words("dslim/bert-base-NER", "en", "bert", CASED),
    _words("dbmdz/bert-large-cased-finetuned-conll03-english", "en", "bert", CASED),
    _words("elastic/distilbert-base-uncased-finetuned-conll03-english", "en", "distilbert",
           DISTIL_UNCASED),
    _words("d4data/biomedical-ner-all", "en", "distilbert", DISTIL_UNCASED),
    _words("Jean-Baptiste/roberta-large-ner-english", "en", "roberta", ROBERTA),
    *_both(_words("blaze999/Medical-NER", "en", "deberta-v2", DEBERTA)),
    _as_it_is(_words("blaze999/Medical-NER", "en", "deberta-v2", DEBERTA)),
    _words("Davlan/xlm-roberta-base-ner-hrl", MANY, "xlm-roberta", XLM_R),
    _words("Davlan/distilbert-base-multilingual-cased-ner-hrl", MANY, "distilbert", DISTIL_CASED),
    _words("Babelscape/wikineural-multilingual-ner", MANY, "bert", CASED),
    _words("Jean-Baptiste/camembert-ner", "fr", "camembert", CAMEMBERT),
    _words("ckiplab/bert-base-chinese-ner", "zh", "bert", CASED_VOCABULARY),
    _words("hatmimoha/arabic-ner", "ar", "bert", CASED_VOCABULARY),
    _words("savasy/bert-base-turkish-ner-cased", "tr", "bert", CASED_VOCABULARY),
    _words("llm-book/bert-base-japanese-v3-ner-wikipedia-dataset", "ja", "bert", UNIDIC,
           refused="MeCab's words have no places"),
)  # fmt: skip

_answers = partial(Row, QA)
ANSWERS: Final = (
    _answers("deepset/roberta-base-squad2", "en", "roberta", ROBERTA),
    _answers("deepset/tinyroberta-squad2", "en", "roberta", ROBERTA),
    _answers("distilbert/distilbert-base-cased-distilled-squad", "en", "distilbert", DISTIL_CASED),
    _answers("distilbert/distilbert-base-uncased-distilled-squad", "en", "distilbert",
             DISTIL_UNCASED),
    _answers("google-bert/bert-large-uncased-whole-word-masking-finetuned-squad", "en", "bert",
             UNCASED),
    _answers("deepset/bert-base-cased-squad2", "en", "bert", CASED),
    _answers("deepset/electra-base-squad2", "en", "electra", ELECTRA),
    *_both(_answers("deepset/deberta-v3-base-squad2", "en", "deberta-v2", DEBERTA)),
    _as_it_is(_answers("deepset/deberta-v3-base-squad2", "en", "deberta-v2", DEBERTA)),
    _answers("twmkn9/albert-base-v2-squad2", "en", "albert", ALBERT_MODEL,
             refused="only spiece.model"),
    _answers("deepset/xlm-roberta-base-squad2", MANY, "xlm-roberta", XLM_R),
    _answers("deepset/gelectra-base-germanquad", "de", "electra", ELECTRA_CASED),
    _answers("etalab-ia/camembert-base-squadFR-fquad-piaf", "fr", "camembert", CAMEMBERT),
    _answers("mrm8488/bert-base-spanish-wwm-cased-finetuned-spa-squad2-es", "es", "bert", CASED),
    _answers("uer/roberta-base-chinese-extractive-qa", "zh", "bert", UNCASED_VOCABULARY),
    _answers("monologg/koelectra-small-v2-distilled-korquad-384", "ko", "electra", ELECTRA_CASED),
)  # fmt: skip

HEADS: Final = RERANKERS + CLASSIFIERS + ENTITIES + ANSWERS
