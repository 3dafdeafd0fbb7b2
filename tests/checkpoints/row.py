"""The encoder checkpoints that people use most, and what each is made of.

Names and configurations are those of the models' pages on the hub in 2026; the weights of all but
one are out of reach of this repository, so a small checkpoint of the same making stands for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.checkpoints.texts import MANY

EMBEDDING, RERANKER, FILL_MASK = "embedding", "reranker", "fill-mask"
CLASSIFICATION, NER, QA = "classification", "NER", "question answering"
NORMALIZE: Final = "Normalize"


@dataclass(frozen=True)
class Tokenizing:
    """How a checkpoint's tokenizer is made and saved."""

    kind: str
    """The function of `tests.checkpoints.tokenizers` that makes it."""
    saved_as: str
    """`tokenizer_class` in tokenizer_config.json."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """For people."""
        lower = {True: ", lower-cased", False: ", cased", None: ""}[self.options.get("lowercase")]
        return f"{self.saved_as}{lower}"


@dataclass(frozen=True)
class Row:
    """One checkpoint."""

    name: str
    kind: str
    language: str
    """A key of `tests.checkpoints.texts.TEXTS`."""
    model_type: str
    architecture: str
    """The class of transformers in `architectures`."""
    tokenizer: Tokenizing
    config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of config.json besides sizes."""
    modules: tuple[str, ...] = ()
    """Of sentence-transformers after Transformer, such as "mean" or "Dense Tanh"."""
    labels: int = 0
    prompts: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    """What the exporter says of it, where it is not served: a part of its sentence."""


def _pieces(*, lowercase: bool, saved_as: str = "BertTokenizer", **options: Any) -> Tokenizing:
    return Tokenizing("word_pieces", saved_as, {"lowercase": lowercase, **options})


UNCASED, CASED = _pieces(lowercase=True), _pieces(lowercase=False)
XLM_R = Tokenizing("unigram", "XLMRobertaTokenizer")
ROBERTA = Tokenizing("byte_pairs", "RobertaTokenizer")
CAMEMBERT = Tokenizing("unigram", "CamembertTokenizer")
ALBERT = Tokenizing("unigram", "AlbertTokenizer")
DEBERTA = Tokenizing("unigram", "DebertaV2Tokenizer")
MPNET = Tokenizing("mpnet_pieces", "MPNetTokenizer", {"lowercase": True})
MODERN = Tokenizing("modern_byte_pairs", "PreTrainedTokenizerFast")
DISTIL_UNCASED = _pieces(lowercase=True, saved_as="DistilBertTokenizer")
DISTIL_CASED = _pieces(lowercase=False, saved_as="DistilBertTokenizer")
ELECTRA = _pieces(lowercase=True, saved_as="ElectraTokenizer")


def _python(saved_as: str) -> Tokenizing:
    """A tokenizer in Python alone, which is refused by its name."""
    return Tokenizing("word_pieces", saved_as, {"lowercase": False})


ONE_LABEL: Final = {"problem_type": None}
IDENTITY: Final = {
    "sentence_transformers": {
        "activation_fn": "torch.nn.modules.linear.Identity", "version": "4.1.0",
    }
}  # fmt: skip
SIGMOID: Final = {
    "sentence_transformers": {
        "activation_fn": "torch.nn.modules.activation.Sigmoid", "version": "4.1.0",
    }
}  # fmt: skip
QUERY: Final = {"query": "Represent this sentence for searching relevant passages: "}


def _bert(name: str, *modules: str, language: str = "en", **rest: Any) -> Row:
    rest = {"tokenizer": UNCASED, **rest}
    return Row(name, EMBEDDING, language, "bert", "BertModel", modules=modules, **rest)


def _xlm_roberta(name: str, *modules: str, **rest: Any) -> Row:
    model = ("xlm-roberta", "XLMRobertaModel")
    return Row(name, EMBEDDING, MANY, *model, XLM_R, modules=modules, **rest)


def _mpnet(name: str, *modules: str) -> Row:
    return Row(name, EMBEDDING, "en", "mpnet", "MPNetModel", MPNET, modules=modules)


def _bert_masks(name: str, language: str, tokenizer: Tokenizing, **rest: Any) -> Row:
    return Row(name, FILL_MASK, language, "bert", "BertForMaskedLM", tokenizer, **rest)


EMBEDDINGS: Final = (
    _bert("sentence-transformers/all-MiniLM-L6-v2", "mean", NORMALIZE),
    _bert("sentence-transformers/all-MiniLM-L12-v2", "mean", NORMALIZE),
    _bert("sentence-transformers/multi-qa-MiniLM-L6-cos-v1", "mean", NORMALIZE),
    _bert("sentence-transformers/paraphrase-MiniLM-L6-v2", "mean"),
    _bert(
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", "mean",
        language=MANY, tokenizer=XLM_R,
    ),
    _mpnet("sentence-transformers/all-mpnet-base-v2", "mean", NORMALIZE),
    _mpnet("sentence-transformers/multi-qa-mpnet-base-dot-v1", "cls"),
    Row(
        "sentence-transformers/all-distilroberta-v1", EMBEDDING, "en", "roberta", "RobertaModel",
        ROBERTA, modules=("mean", NORMALIZE),
    ),
    _xlm_roberta("sentence-transformers/paraphrase-multilingual-mpnet-base-v2", "mean"),
    _bert(
        "sentence-transformers/LaBSE", "cls", "Dense Tanh", NORMALIZE,
        language=MANY, tokenizer=CASED,
    ),
    Row(
        "sentence-transformers/distiluse-base-multilingual-cased-v2", EMBEDDING, MANY, "distilbert",
        "DistilBertModel", DISTIL_CASED, modules=("mean", "Dense Tanh"),
    ),
    Row(
        "sentence-transformers/msmarco-distilbert-base-v4", EMBEDDING, "en", "distilbert",
        "DistilBertModel", DISTIL_UNCASED, modules=("mean",),
    ),
    _bert("BAAI/bge-small-en-v1.5", "cls", NORMALIZE),
    _bert("BAAI/bge-base-en-v1.5", "cls", NORMALIZE),
    _bert("BAAI/bge-large-en-v1.5", "cls", NORMALIZE),
    _bert("BAAI/bge-small-zh-v1.5", "cls", NORMALIZE, language="zh"),
    _xlm_roberta("BAAI/bge-m3", "cls", NORMALIZE),
    _bert("intfloat/e5-base-v2", "mean", NORMALIZE),
    _bert("intfloat/multilingual-e5-small", "mean", NORMALIZE, language=MANY, tokenizer=XLM_R),
    _xlm_roberta("intfloat/multilingual-e5-large", "mean", NORMALIZE),
    _bert("thenlper/gte-base", "mean", NORMALIZE),
    _bert("mixedbread-ai/mxbai-embed-large-v1", "cls", prompts=QUERY),
    _bert("Snowflake/snowflake-arctic-embed-m", "cls", NORMALIZE, prompts=QUERY),
    _xlm_roberta("Snowflake/snowflake-arctic-embed-l-v2.0", "cls", NORMALIZE),
    Row(
        "Alibaba-NLP/gte-modernbert-base", EMBEDDING, "en", "modernbert", "ModernBertModel", MODERN,
        modules=("cls",),
    ),
    Row(
        "nomic-ai/modernbert-embed-base", EMBEDDING, "en", "modernbert", "ModernBertModel", MODERN,
        modules=("mean", NORMALIZE), prompts={"search_query": "search_query: "},
    ),
    Row(
        "princeton-nlp/sup-simcse-roberta-large", EMBEDDING, "en", "roberta", "RobertaModel",
        ROBERTA,
    ),
    _bert("facebook/contriever"),
    _bert("cambridgeltl/SapBERT-from-PubMedBERT-fulltext"),
    Row(
        "jinaai/jina-embeddings-v2-base-en", EMBEDDING, "en", "bert", "JinaBertModel", UNCASED,
        {
            "position_embedding_type": "alibi",
            "auto_map": {"AutoModel": "x--modeling_bert.JinaBertModel"},
        },
        refused="JinaBertModel",
    ),
    Row(
        "nomic-ai/nomic-embed-text-v1.5", EMBEDDING, "en", "nomic_bert", "NomicBertModel", UNCASED,
        {"auto_map": {"AutoModel": "x--modeling_hf_nomic_bert.NomicBertModel"}},
        ("mean", NORMALIZE), prompts={"query": "search_query: "},
    ),
    Row(
        "Alibaba-NLP/gte-multilingual-base", EMBEDDING, MANY, "new", "NewModel", XLM_R,
        {"auto_map": {"AutoModel": "x--modeling.NewModel"}}, refused="new",
    ),
    Row(
        "facebook/dpr-question_encoder-single-nq-base", EMBEDDING, "en", "dpr",
        "DPRQuestionEncoder", UNCASED, refused="dpr",
    ),
    Row(
        "sentence-transformers/gtr-t5-base", EMBEDDING, "en", "t5", "T5EncoderModel",
        _python("T5Tokenizer"), refused="t5",
    ),
)  # fmt: skip

RERANKERS: Final = (
    Row(
        "cross-encoder/ms-marco-MiniLM-L6-v2", RERANKER, "en", "bert",
        "BertForSequenceClassification", UNCASED, IDENTITY, labels=1,
    ),
    Row(
        "cross-encoder/stsb-roberta-base", RERANKER, "en", "roberta",
        "RobertaForSequenceClassification", ROBERTA, SIGMOID, labels=1,
    ),
    Row(
        "BAAI/bge-reranker-base", RERANKER, MANY, "xlm-roberta",
        "XLMRobertaForSequenceClassification", XLM_R, labels=1,
    ),
    Row(
        "BAAI/bge-reranker-v2-m3", RERANKER, MANY, "xlm-roberta",
        "XLMRobertaForSequenceClassification", XLM_R, labels=1,
    ),
    Row(
        "Alibaba-NLP/gte-reranker-modernbert-base", RERANKER, "en", "modernbert",
        "ModernBertForSequenceClassification", MODERN, {"classifier_pooling": "cls"}, labels=1,
    ),
    Row(
        "mixedbread-ai/mxbai-rerank-base-v1", RERANKER, "en", "deberta-v2",
        "DebertaV2ForSequenceClassification", DEBERTA, labels=1,
    ),
    Row(
        "jinaai/jina-reranker-v2-base-multilingual", RERANKER, MANY, "xlm-roberta",
        "XLMRobertaFlashForSequenceClassification", XLM_R, labels=1,
        refused="XLMRobertaFlashForSequenceClassification",
    ),
)  # fmt: skip

MASKS: Final = (
    _bert_masks("google-bert/bert-base-uncased", "en", UNCASED),
    _bert_masks("google-bert/bert-base-cased", "en", CASED),
    _bert_masks("google-bert/bert-base-multilingual-cased", MANY, CASED),
    _bert_masks("google-bert/bert-base-chinese", "zh", CASED),
    _bert_masks("hfl/chinese-roberta-wwm-ext", "zh", UNCASED),
    _bert_masks("dbmdz/bert-base-german-cased", "de", CASED),
    _bert_masks("neuralmind/bert-base-portuguese-cased", "pt", CASED),
    _bert_masks("dccuchile/bert-base-spanish-wwm-uncased", "es", UNCASED),
    _bert_masks("DeepPavlov/rubert-base-cased", "ru", CASED),
    _bert_masks("aubmindlab/bert-base-arabertv02", "ar", CASED),
    _bert_masks("klue/bert-base", "ko", CASED),
    _bert_masks("emilyalsentzer/Bio_ClinicalBERT", "en", CASED),
    _bert_masks("allenai/scibert_scivocab_uncased", "en", UNCASED),
    _bert_masks(
        "tohoku-nlp/bert-base-japanese-v3", "ja", _python("BertJapaneseTokenizer"),
        refused="BertJapaneseTokenizer",
    ),
    _bert_masks(
        "monologg/kobert", "ko", _python("KoBertTokenizer"), refused="KoBertTokenizer"
    ),
    _bert_masks(
        "allegro/herbert-base-cased", "pl", _python("HerbertTokenizer"), refused="HerbertTokenizer"
    ),
    Row(
        "distilbert/distilbert-base-uncased", FILL_MASK, "en", "distilbert",
        "DistilBertForMaskedLM", DISTIL_UNCASED,
    ),
    Row(
        "FacebookAI/roberta-base", FILL_MASK, "en", "roberta", "RobertaForMaskedLM", ROBERTA
    ),
    Row(
        "FacebookAI/xlm-roberta-base", FILL_MASK, MANY, "xlm-roberta", "XLMRobertaForMaskedLM",
        XLM_R,
    ),
    Row(
        "almanach/camembert-base", FILL_MASK, "fr", "camembert", "CamembertForMaskedLM", CAMEMBERT
    ),
    Row(
        "microsoft/mpnet-base", FILL_MASK, "en", "mpnet", "MPNetForMaskedLM", MPNET
    ),
    Row(
        "google/electra-base-generator", FILL_MASK, "en", "electra", "ElectraForMaskedLM", ELECTRA
    ),
    Row(
        "answerdotai/ModernBERT-base", FILL_MASK, "en", "modernbert", "ModernBertForMaskedLM",
        MODERN,
    ),
    Row(
        "klue/roberta-base", FILL_MASK, "ko", "roberta", "RobertaForMaskedLM",
        Tokenizing("mpnet_pieces", "BertTokenizer", {"lowercase": False, "klue": True}),
    ),
    Row(
        "albert/albert-base-v2", FILL_MASK, "en", "albert", "AlbertForMaskedLM", ALBERT
    ),
    Row(
        "microsoft/deberta-v3-base", FILL_MASK, "en", "deberta-v2", "DebertaV2ForMaskedLM", DEBERTA,
    ),
    Row(
        "vinai/phobert-base-v2", FILL_MASK, "vi", "roberta", "RobertaForMaskedLM",
        _python("PhobertTokenizer"), refused="PhobertTokenizer",
    ),
    Row(
        "vinai/bertweet-base", FILL_MASK, "en", "roberta", "RobertaForMaskedLM",
        _python("BertweetTokenizer"), refused="BertweetTokenizer",
    ),
)  # fmt: skip

CLASSIFIERS: Final = (
    Row(
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english", CLASSIFICATION, "en",
        "distilbert", "DistilBertForSequenceClassification", DISTIL_UNCASED, labels=2,
    ),
    Row(
        "cardiffnlp/twitter-roberta-base-sentiment-latest", CLASSIFICATION, "en", "roberta",
        "RobertaForSequenceClassification", ROBERTA, labels=3,
    ),
    Row(
        "nlptown/bert-base-multilingual-uncased-sentiment", CLASSIFICATION, MANY, "bert",
        "BertForSequenceClassification", UNCASED, labels=5,
    ),
    Row(
        "ProsusAI/finbert", CLASSIFICATION, "en", "bert", "BertForSequenceClassification", UNCASED,
        labels=3,
    ),
    Row(
        "unitary/toxic-bert", CLASSIFICATION, "en", "bert", "BertForSequenceClassification",
        UNCASED, {"problem_type": "multi_label_classification"}, labels=6,
    ),
    Row(
        "SamLowe/roberta-base-go_emotions", CLASSIFICATION, "en", "roberta",
        "RobertaForSequenceClassification", ROBERTA,
        {"problem_type": "multi_label_classification"}, labels=7,
    ),
    Row(
        "papluca/xlm-roberta-base-language-detection", CLASSIFICATION, MANY, "xlm-roberta",
        "XLMRobertaForSequenceClassification", XLM_R, labels=5,
    ),
    Row(
        "dslim/bert-base-NER", NER, "en", "bert", "BertForTokenClassification", CASED, labels=9
    ),
    Row(
        "dbmdz/bert-large-cased-finetuned-conll03-english", NER, "en", "bert",
        "BertForTokenClassification", CASED, labels=9,
    ),
    Row(
        "Davlan/xlm-roberta-base-ner-hrl", NER, MANY, "xlm-roberta",
        "XLMRobertaForTokenClassification", XLM_R, labels=9,
    ),
    Row(
        "Jean-Baptiste/camembert-ner", NER, "fr", "camembert", "CamembertForTokenClassification",
        CAMEMBERT, labels=5,
    ),
    Row(
        "deepset/roberta-base-squad2", QA, "en", "roberta", "RobertaForQuestionAnswering", ROBERTA
    ),
    Row(
        "distilbert/distilbert-base-cased-distilled-squad", QA, "en", "distilbert",
        "DistilBertForQuestionAnswering", DISTIL_CASED,
    ),
    Row(
        "google-bert/bert-large-uncased-whole-word-masking-finetuned-squad", QA, "en", "bert",
        "BertForQuestionAnswering", UNCASED,
    ),
)  # fmt: skip

ROWS: Final = EMBEDDINGS + RERANKERS + MASKS + CLASSIFIERS
