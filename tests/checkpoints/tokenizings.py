"""The tokenizers that checkpoints have, each by the name of what it is best known from."""

from __future__ import annotations

from dataclasses import replace

from tests.checkpoints.row import ALONE, MERGES, VERSION_4, VOCABULARY, Tokenizing


def _pieces(*, lowercase: bool, saved_as: str = "BertTokenizer") -> Tokenizing:
    return Tokenizing("word_pieces", saved_as, lowercase=lowercase)


def python(name: str) -> Tokenizing:
    """A class that Cloze does not know, which is refused by its name."""
    return Tokenizing("word_pieces", "BertTokenizer", name)


def japanese(dictionary: str, *, characters: bool = False) -> Tokenizing:
    """MeCab's words, or their characters; the dictionary is empty where the files name none."""
    return Tokenizing(
        "japanese",
        "BertJapaneseTokenizer",
        dictionary=dictionary,
        characters=characters,
        files=VOCABULARY,
    )


def published(tokenizing: Tokenizing, files: str) -> Tokenizing:
    """The same in other files."""
    return replace(tokenizing, files=files)


UNCASED, CASED = _pieces(lowercase=True), _pieces(lowercase=False)
UNCASED_VOCABULARY, CASED_VOCABULARY = (published(one, VOCABULARY) for one in (UNCASED, CASED))
UNCASED_ALONE, CASED_ALONE = (published(one, ALONE) for one in (UNCASED, CASED))
DISTIL_UNCASED = _pieces(lowercase=True, saved_as="DistilBertTokenizer")
DISTIL_CASED = _pieces(lowercase=False, saved_as="DistilBertTokenizer")
ELECTRA = _pieces(lowercase=True, saved_as="ElectraTokenizer")
ELECTRA_CASED = _pieces(lowercase=False, saved_as="ElectraTokenizer")
MPNET = Tokenizing("mpnet_pieces", "MPNetTokenizer", lowercase=True)
KLUE = Tokenizing("klue_pieces", "BertTokenizer", lowercase=False)
XLM_R = Tokenizing("unigram", "XLMRobertaTokenizer", files=VERSION_4)
XLM_R_MODEL = published(XLM_R, "sentencepiece.bpe.model")
CAMEMBERT = Tokenizing("unigram", "CamembertTokenizer", files=VERSION_4)
CAMEMBERT_MODEL = published(CAMEMBERT, "sentencepiece.bpe.model")
ALBERT = Tokenizing("unigram", "AlbertTokenizer", files=VERSION_4)
ALBERT_MODEL = published(ALBERT, "spiece.model")
DEBERTA = Tokenizing("unigram", "DebertaV2Tokenizer", files=VERSION_4)
DEBERTA_AS_IT_IS = replace(DEBERTA, named="PreTrainedTokenizerFast")
DEBERTA_MODEL = published(DEBERTA, "spm.model")
ROBERTA = Tokenizing("byte_pairs", "RobertaTokenizer")
ROBERTA_MERGES = published(ROBERTA, MERGES)
MODERN = Tokenizing("modern_byte_pairs", "PreTrainedTokenizerFast")
UNIDIC, UNIDIC_CHARACTERS = japanese("unidic_lite"), japanese("unidic_lite", characters=True)
IPADIC, IPADIC_CHARACTERS = japanese("ipadic"), japanese("ipadic", characters=True)
UNNAMED = japanese("")
