"""Checkpoints that fill masks."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.checkpoints.row import FILL_MASK, Row, Tokenizing, saved_again
from tests.checkpoints.texts import MANY
from tests.checkpoints.tokenizings import (
    ALBERT,
    ALBERT_MODEL,
    CAMEMBERT,
    CAMEMBERT_MODEL,
    CASED,
    CASED_ALONE,
    CASED_VOCABULARY,
    DISTIL_CASED,
    DISTIL_UNCASED,
    ELECTRA,
    IPADIC,
    IPADIC_CHARACTERS,
    KLUE,
    MODERN,
    MPNET,
    ROBERTA,
    UNCASED,
    UNCASED_ALONE,
    UNIDIC,
    UNIDIC_CHARACTERS,
    UNNAMED,
    XLM_R,
    python,
)

_row = partial(Row, FILL_MASK)
PRETRAINING: Final = "BertForPreTraining"


def _bert(tokenizer: Tokenizing, **names: str) -> tuple[Row, ...]:
    """BERTs by the language of each."""
    return tuple([_row(name, language, "bert", tokenizer) for language, name in names.items()])


def _english(model_type: str, tokenizer: Tokenizing, *names: str) -> tuple[Row, ...]:
    return tuple([_row(name, "en", model_type, tokenizer) for name in names])


BERTS: Final = (
    *_english(
        "bert", UNCASED, "google-bert/bert-base-uncased", "google-bert/bert-large-uncased",
        "nlpaueb/legal-bert-base-uncased",
        "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
    ),
    *_english("bert", CASED, "google-bert/bert-base-cased"),
    *_english("bert", UNCASED_ALONE, "allenai/scibert_scivocab_uncased"),
    *_english("bert", CASED_ALONE, "emilyalsentzer/Bio_ClinicalBERT", "dmis-lab/biobert-v1.1"),
    _row("google-bert/bert-base-multilingual-cased", MANY, "bert", CASED),
    _row("google-bert/bert-base-multilingual-uncased", MANY, "bert", UNCASED),
    _row("google/muril-base-cased", "hi", "bert", CASED_VOCABULARY),
    *_bert(
        CASED, zh="google-bert/bert-base-chinese", de="deepset/gbert-base",
        pt="neuralmind/bert-base-portuguese-cased", ru="DeepPavlov/rubert-base-cased",
        ar="aubmindlab/bert-base-arabertv02", ko="klue/bert-base",
        tr="dbmdz/bert-base-turkish-cased", it="dbmdz/bert-base-italian-xxl-cased",
        nl="GroNLP/bert-base-dutch-cased",
        sv="KB/bert-base-swedish-cased", fi="TurkuNLP/bert-base-finnish-cased-v1",
        he="dicta-il/dictabert", es="dccuchile/bert-base-spanish-wwm-cased",
        vi="FPTAI/vibert-base-cased",
    ),
    *_bert(
        UNCASED, zh="hfl/chinese-roberta-wwm-ext", es="dccuchile/bert-base-spanish-wwm-uncased",
        id="indobenchmark/indobert-base-p1", fa="HooshvareLab/bert-fa-base-uncased",
        el="nlpaueb/bert-base-greek-uncased-v1", de="dbmdz/bert-base-german-uncased",
    ),
    *_bert(UNCASED, zh="hfl/chinese-macbert-base"),
    *_bert(CASED, ar="CAMeL-Lab/bert-base-arabic-camelbert-msa", ko="beomi/kcbert-base",
           de="dbmdz/bert-base-german-cased"),
)  # fmt: skip

JAPANESE: Final = (
    _row("tohoku-nlp/bert-base-japanese-v3", "ja", "bert", UNIDIC, own_class=PRETRAINING),
    _row("tohoku-nlp/bert-base-japanese-char-v3", "ja", "bert", UNIDIC_CHARACTERS,
         own_class=PRETRAINING),
    _row("tohoku-nlp/bert-base-japanese-v2", "ja", "bert", UNIDIC),
    _row("tohoku-nlp/bert-base-japanese-whole-word-masking", "ja", "bert", UNNAMED,
         {"tokenizer_class": "BertJapaneseTokenizer"},
         refused="does not name MeCab's dictionary"),
    *(
        _row(name, "ja", "bert", tokenizer, {"tokenizer_class": "BertJapaneseTokenizer"},
             after="with mecab_dic set")
        for name, tokenizer in (
            ("tohoku-nlp/bert-base-japanese-whole-word-masking", IPADIC),
            ("tohoku-nlp/bert-base-japanese-char", IPADIC_CHARACTERS),
        )
    ),
    _row("rinna/japanese-roberta-base", "ja", "roberta", python("T5Tokenizer"),
         refused="T5Tokenizer"),
    _row("ku-nlp/deberta-v2-base-japanese", "ja", "deberta-v2", python("DebertaV2Tokenizer"),
         {"conv_kernel_size": 3, "conv_act": "gelu"}, refused="conv"),
)  # fmt: skip

FAMILIES: Final = (
    *_english("distilbert", DISTIL_UNCASED, "distilbert/distilbert-base-uncased"),
    _row("distilbert/distilbert-base-multilingual-cased", MANY, "distilbert", DISTIL_CASED),
    *_english(
        "roberta", ROBERTA, "FacebookAI/roberta-base", "distilbert/distilroberta-base",
        "microsoft/codebert-base-mlm",
    ),
    _row("PlanTL-GOB-ES/roberta-base-bne", "es", "roberta", ROBERTA),
    _row("pdelobelle/robbert-v2-dutch-base", "nl", "roberta", ROBERTA),
    _row("klue/roberta-base", "ko", "roberta", KLUE),
    _row("FacebookAI/xlm-roberta-base", MANY, "xlm-roberta", XLM_R),
    _row("almanach/camembert-base", "fr", "camembert", CAMEMBERT),
    _row("microsoft/mpnet-base", "en", "mpnet", MPNET),
    _row("google/electra-base-generator", "en", "electra", ELECTRA),
    _row("answerdotai/ModernBERT-base", "en", "modernbert", MODERN),
    _row("albert/albert-base-v2", "en", "albert", ALBERT),
)  # fmt: skip

REFUSED: Final = (
    _row("airesearch/wangchanberta-base-att-spm-uncased", "th", "camembert", CAMEMBERT_MODEL,
         refused="only sentencepiece.bpe.model"),
    saved_again(
        _row("airesearch/wangchanberta-base-att-spm-uncased", "th", "camembert", CAMEMBERT_MODEL)
    ),
    _row("ai4bharat/indic-bert", "hi", "albert", ALBERT_MODEL, refused="only spiece.model"),
    _row("monologg/kobert", "ko", "bert", python("KoBertTokenizer"), refused="KoBertTokenizer"),
    _row("allegro/herbert-base-cased", "pl", "bert", python("HerbertTokenizer"),
         refused="HerbertTokenizer"),
    _row("vinai/phobert-base-v2", "vi", "roberta", python("PhobertTokenizer"),
         refused="PhobertTokenizer"),
    _row("vinai/bertweet-base", "en", "roberta", python("BertweetTokenizer"),
         refused="BertweetTokenizer"),
    _row("jhu-clsp/mmBERT-base", MANY, "modernbert", python("GemmaTokenizer"),
         refused="GemmaTokenizer"),
    _row("google/mobilebert-uncased", "en", "mobilebert", UNCASED,
         own_class="MobileBertForPreTraining", refused="mobilebert"),
    _row("allenai/longformer-base-4096", "en", "longformer", ROBERTA,
         own_class="LongformerModel", refused="longformer"),
    _row("google/bigbird-roberta-base", "en", "big_bird", python("BigBirdTokenizer"),
         own_class="BigBirdForPreTraining", refused="big_bird"),
    _row("microsoft/deberta-base", "en", "deberta", python("DebertaTokenizer"),
         own_class="DebertaModel", refused="deberta"),
    _row("flaubert/flaubert_base_cased", "fr", "flaubert", python("FlaubertTokenizer"),
         own_class="FlaubertWithLMHeadModel", refused="flaubert"),
)  # fmt: skip

MASKS: Final = BERTS + JAPANESE + FAMILIES + REFUSED
