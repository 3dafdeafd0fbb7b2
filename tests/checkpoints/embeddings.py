"""Checkpoints that turn texts into vectors."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from tests.checkpoints.row import EMBEDDING, NORMALIZE, SPLADE, Row, Tokenizing, saved_again
from tests.checkpoints.texts import MANY
from tests.checkpoints.tokenizings import (
    CAMEMBERT,
    CASED,
    CASED_VOCABULARY,
    DEBERTA_MODEL,
    DISTIL_CASED,
    DISTIL_UNCASED,
    ELECTRA,
    IPADIC,
    KLUE,
    MODERN,
    MPNET,
    ROBERTA,
    UNCASED,
    UNCASED_ALONE,
    UNCASED_VOCABULARY,
    UNIDIC,
    UNNAMED,
    XLM_R,
    python,
)

_row = partial(Row, EMBEDDING)
MEAN, CLS = ("mean",), ("cls",)
UNIT_MEAN, UNIT_CLS = (*MEAN, NORMALIZE), (*CLS, NORMALIZE)
PASSAGES: Final = {"query": "Represent this sentence for searching relevant passages: "}
E5: Final = {"query": "query: ", "passage": "passage: "}
NOMIC: Final = {"search_query": "search_query: ", "search_document": "search_document: "}


def _english(model_type: str, tokenizer: Tokenizing, *names: str, **rest: Any) -> tuple[Row, ...]:
    return tuple([_row(name, "en", model_type, tokenizer, **rest) for name in names])


def _many(model_type: str, tokenizer: Tokenizing, *names: str, **rest: Any) -> tuple[Row, ...]:
    return tuple([_row(name, MANY, model_type, tokenizer, **rest) for name in names])


ENGLISH: Final = (
    *_english(
        "bert", UNCASED, "sentence-transformers/all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L12-v2",
        "sentence-transformers/multi-qa-MiniLM-L6-cos-v1", "thenlper/gte-small",
        "thenlper/gte-base", "intfloat/e5-small-v2", modules=UNIT_MEAN,
    ),
    *_english(
        "bert", UNCASED, "sentence-transformers/paraphrase-MiniLM-L6-v2",
        "intfloat/e5-base-unsupervised", modules=MEAN,
    ),
    *_english(
        "bert", UNCASED, "BAAI/bge-small-en-v1.5", "BAAI/bge-base-en-v1.5",
        "BAAI/bge-large-en-v1.5", "avsolatorio/GIST-small-Embedding-v0", modules=UNIT_CLS,
    ),
    _row(
        "mixedbread-ai/mxbai-embed-large-v1", "en", "bert", UNCASED, modules=CLS,
        prompts=PASSAGES,
    ),
    *_english(
        "bert", UNCASED, "Snowflake/snowflake-arctic-embed-xs",
        "Snowflake/snowflake-arctic-embed-m", modules=UNIT_CLS, prompts=PASSAGES,
    ),
    *_english(
        "mpnet", MPNET, "sentence-transformers/all-mpnet-base-v2",
        "sentence-transformers/multi-qa-mpnet-base-cos-v1", modules=UNIT_MEAN,
    ),
    _row("sentence-transformers/multi-qa-mpnet-base-dot-v1", "en", "mpnet", MPNET, modules=CLS),
    _row("sentence-transformers/paraphrase-mpnet-base-v2", "en", "mpnet", MPNET, modules=MEAN),
    *_english(
        "roberta", ROBERTA, "sentence-transformers/all-distilroberta-v1",
        "sentence-transformers/all-roberta-large-v1", modules=UNIT_MEAN,
    ),
    _row("ibm-granite/granite-embedding-30m-english", "en", "roberta", ROBERTA, modules=UNIT_CLS),
    _row("princeton-nlp/sup-simcse-roberta-large", "en", "roberta", ROBERTA),
    *_english(
        "distilbert", DISTIL_UNCASED, "sentence-transformers/msmarco-distilbert-base-v4",
        "sentence-transformers/multi-qa-distilbert-dot-v1", modules=MEAN,
    ),
    _row(
        "sentence-transformers/msmarco-distilbert-base-tas-b", "en", "distilbert", DISTIL_UNCASED,
        modules=CLS,
    ),
    *_english(
        "modernbert", MODERN, "Alibaba-NLP/gte-modernbert-base", modules=CLS,
    ),
    *_english(
        "modernbert", MODERN, "nomic-ai/modernbert-embed-base", modules=UNIT_MEAN, prompts=NOMIC,
    ),
    *_english(
        "modernbert", MODERN, "ibm-granite/granite-embedding-english-r2", modules=UNIT_CLS,
    ),
    _row(
        "nomic-ai/nomic-embed-text-v1.5", "en", "nomic_bert", UNCASED,
        {"auto_map": {"AutoModel": "x--modeling_hf_nomic_bert.NomicBertModel"}}, UNIT_MEAN,
        prompts=NOMIC,
    ),
    *_english(
        "bert", UNCASED, "facebook/contriever", "cambridgeltl/SapBERT-from-PubMedBERT-fulltext",
        "allenai/specter2_base",
    ),
    _row("google/electra-base-discriminator", "en", "electra", ELECTRA,
         own_class="ElectraForPreTraining"),
    _row("prajjwal1/bert-tiny", "en", "bert", UNCASED_ALONE),
    _row(
        "microsoft/deberta-v3-base", "en", "deberta-v2", DEBERTA_MODEL, refused="only spm.model",
    ),
    saved_again(
        _row("microsoft/deberta-v3-base", "en", "deberta-v2", DEBERTA_MODEL),
    ),
    _row(
        "jinaai/jina-embeddings-v2-base-en", "en", "bert", UNCASED,
        {
            "position_embedding_type": "alibi",
            "auto_map": {"AutoModel": "x--modeling_bert.JinaBertModel"},
        },
        own_class="JinaBertModel", refused="JinaBertModel",
    ),
    _row(
        "answerdotai/answerai-colbert-small-v1", "en", "bert", UNCASED,
        own_class="HF_ColBERT", refused="HF_ColBERT",
    ),
    _row(
        "naver/splade-cocondenser-ensembledistil", "en", "bert", UNCASED,
        modules=(SPLADE,), own_class="BertForMaskedLM", refused=SPLADE,
    ),
    _row(
        "facebook/dpr-question_encoder-single-nq-base", "en", "dpr", UNCASED,
        own_class="DPRQuestionEncoder", refused="dpr",
    ),
    _row(
        "sentence-transformers/gtr-t5-base", "en", "t5", python("T5Tokenizer"),
        own_class="T5EncoderModel", refused="t5",
    ),
)  # fmt: skip

MULTILINGUAL: Final = (
    _row(
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", MANY, "bert", XLM_R,
        modules=MEAN,
    ),
    _row(
        "sentence-transformers/paraphrase-multilingual-mpnet-base-v2", MANY, "xlm-roberta", XLM_R,
        modules=MEAN,
    ),
    _row(
        "sentence-transformers/LaBSE", MANY, "bert", CASED,
        modules=("cls", "Dense Tanh", NORMALIZE),
    ),
    *_many(
        "distilbert", DISTIL_CASED, "sentence-transformers/distiluse-base-multilingual-cased-v1",
        "sentence-transformers/distiluse-base-multilingual-cased-v2",
        modules=("mean", "Dense Tanh"),
    ),
    _row("intfloat/multilingual-e5-small", MANY, "bert", XLM_R, modules=UNIT_MEAN),
    *_many(
        "xlm-roberta", XLM_R, "intfloat/multilingual-e5-base", "intfloat/multilingual-e5-large",
        "intfloat/multilingual-e5-large-instruct", modules=UNIT_MEAN,
    ),
    *_many(
        "xlm-roberta", XLM_R, "BAAI/bge-m3", "ibm-granite/granite-embedding-107m-multilingual",
        modules=UNIT_CLS,
    ),
    _row(
        "Snowflake/snowflake-arctic-embed-l-v2.0", MANY, "xlm-roberta", XLM_R, modules=UNIT_CLS,
        prompts={"query": "query: "},
    ),
    _row(
        "Alibaba-NLP/gte-multilingual-base", MANY, "new", XLM_R,
        {"auto_map": {"AutoModel": "x--modeling.NewModel"}}, own_class="NewModel", refused="new",
    ),
    _row(
        "Qwen/Qwen3-Embedding-0.6B", MANY, "qwen3", python("Qwen2Tokenizer"),
        own_class="Qwen3ForCausalLM", refused="qwen3",
    ),
    _row(
        "google/embeddinggemma-300m", MANY, "gemma3_text", python("GemmaTokenizer"),
        own_class="Gemma3TextModel", refused="gemma3_text",
    ),
)  # fmt: skip

OTHERS: Final = (
    _row("BAAI/bge-small-zh-v1.5", "zh", "bert", UNCASED, modules=UNIT_CLS),
    _row("shibing624/text2vec-base-chinese", "zh", "bert", UNCASED, modules=MEAN),
    _row("moka-ai/m3e-base", "zh", "bert", UNCASED, modules=MEAN),
    _row("sonoisa/sentence-bert-base-ja-mean-tokens-v2", "ja", "bert", UNNAMED, modules=MEAN,
         refused="does not name MeCab's dictionary"),
    saved_again(
        _row("sonoisa/sentence-bert-base-ja-mean-tokens-v2", "ja", "bert", IPADIC, modules=MEAN),
        tokenizer=IPADIC, after="with mecab_dic set",
    ),
    _row("cl-nagoya/sup-simcse-ja-base", "ja", "bert", UNIDIC, modules=CLS),
    _row(
        "cl-nagoya/ruri-v3-310m", "ja", "modernbert", python("LlamaTokenizer"), modules=MEAN,
        refused="LlamaTokenizer",
    ),
    _row("jhgan/ko-sroberta-multitask", "ko", "roberta", KLUE, modules=MEAN),
    _row("BM-K/KoSimCSE-roberta-multitask", "ko", "roberta", KLUE),
    _row("snunlp/KR-SBERT-V40K-klueNLI-augSTS", "ko", "bert", CASED, modules=MEAN),
    _row("cointegrated/rubert-tiny2", "ru", "bert", CASED, modules=UNIT_CLS),
    _row("ai-forever/sbert_large_nlu_ru", "ru", "bert", UNCASED, modules=MEAN),
    _row("ai-forever/ru-en-RoSBERTa", "ru", "roberta", ROBERTA, modules=UNIT_CLS),
    _row("deutsche-telekom/gbert-large-paraphrase-cosine", "de", "bert", CASED, modules=MEAN),
    _row("dangvantuan/sentence-camembert-base", "fr", "camembert", CAMEMBERT, modules=MEAN),
    _row("hiiamsid/sentence_similarity_spanish_es", "es", "bert", CASED, modules=MEAN),
    _row("l3cube-pune/hindi-sentence-similarity-sbert", "hi", "bert", CASED, modules=MEAN),
    _row("emrecan/bert-base-turkish-cased-mean-nli-stsb-tr", "tr", "bert", CASED, modules=MEAN),
    _row("firqaaa/indo-sentence-bert-base", "id", "bert", UNCASED, modules=MEAN),
    _row("AITeamVN/Vietnamese_Embedding", "vi", "xlm-roberta", XLM_R, modules=UNIT_CLS),
    _row(
        "bkai-foundation-models/vietnamese-bi-encoder", "vi", "roberta",
        python("PhobertTokenizer"), modules=MEAN, refused="PhobertTokenizer",
    ),
    _row("nickprock/sentence-bert-base-italian-xxl-uncased", "it", "bert", UNCASED, modules=MEAN),
    _row("SZTAKI-HLT/hubert-base-cc", "hu", "bert", CASED_VOCABULARY),
    _row("uer/sbert-base-chinese-nli", "zh", "bert", UNCASED_VOCABULARY, modules=MEAN),
)  # fmt: skip

EMBEDDINGS: Final = ENGLISH + MULTILINGUAL + OTHERS
