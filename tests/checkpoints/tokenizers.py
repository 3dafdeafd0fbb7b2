"""Small tokenizers of every kind, learnt from a few texts and saved by transformers' classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from tests.checkpoints.rows import Tokenizing

PIECES: Final = 300
UNKNOWN: Final = "[UNK]"
SENTENCE_UNKNOWN: Final = "<unk>"
LONGEST: Final = 128  # tokens
_LIKE_BERT: Final = {"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"}


def write_tokenizer(made: Tokenizing, texts: Sequence[str], folder: Path) -> int:
    """Learn one and write its files; how many tokens it has."""
    tokenizer = _MAKERS[made.kind](texts, made.saved_as, **made.options)
    tokenizer.model_max_length = LONGEST
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def _learnt_pieces(texts: Sequence[str], *, lowercase: bool, special: list[str]) -> dict[str, int]:
    learner = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    learner.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # One in eight characters is left out, so that some words cannot be spelled.
    learner.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=PIECES,
            special_tokens=special,
            limit_alphabet=int(len(set("".join(texts))) * 7 / 8),
            show_progress=False,
        ),
    )
    return learner.get_vocab()


def _word_pieces(texts: Sequence[str], saved_as: str, *, lowercase: bool) -> Any:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # One that is written in Python stands in its configuration only.
    known = getattr(transformers, saved_as if saved_as in _LIKE_BERT else "BertTokenizer")
    vocabulary = _learnt_pieces(texts, lowercase=lowercase, special=special)
    return known(vocab=vocabulary, do_lower_case=lowercase)


def _mpnet_pieces(
    texts: Sequence[str], saved_as: str, *, lowercase: bool, klue: bool = False
) -> Any:
    if klue:  # RoBERTa with BERT's tokenizer: [CLS] has RoBERTa's first id
        special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
        vocabulary = _learnt_pieces(texts, lowercase=lowercase, special=special)
        return getattr(transformers, saved_as)(vocab=vocabulary, do_lower_case=lowercase)
    special = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
    vocabulary = _learnt_pieces(texts, lowercase=lowercase, special=special)
    return getattr(transformers, saved_as)(vocab=vocabulary, do_lower_case=lowercase)


def _unigram(texts: Sequence[str], saved_as: str) -> Any:
    learner = Tokenizer(models.Unigram())
    learner.normalizer = normalizers.NFKC()
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=PIECES,
            special_tokens=[SENTENCE_UNKNOWN],
            unk_token=SENTENCE_UNKNOWN,
            show_progress=False,
        ),
    )
    learnt = sorted(learner.get_vocab().items(), key=lambda pair: pair[1])
    scores = [-2.0 - 0.01 * index for index in range(len(learnt))]
    pieces = [(piece, score) for (piece, _), score in zip(learnt, scores, strict=True)]
    pieces = [(piece, score) for piece, score in pieces if piece != "<unk>"]
    match saved_as:
        case "CamembertTokenizer":
            first = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"]
            last = ["<s>", "</s>", "<mask>"]
        case "AlbertTokenizer":
            first, last = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], []
        case "DebertaV2Tokenizer":
            first, last = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], ["[MASK]"]
        case _:
            first, last = ["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"]
    vocabulary = [(name, 0.0) for name in first] + pieces + [(name, 0.0) for name in last]
    return getattr(transformers, saved_as)(vocab=vocabulary)


def _byte_pairs(texts: Sequence[str], saved_as: str) -> Any:
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    _learn_byte_pairs(learner, texts, special)
    learnt = learner.to_str()
    return getattr(transformers, saved_as)(**_vocabulary_and_merges(learnt))


def _modern_byte_pairs(texts: Sequence[str], saved_as: str) -> Any:
    """As ModernBERT's: GPT-NeoX's pieces with BERT's special tokens behind them."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    _learn_byte_pairs(learner, texts, special)
    ids = [(name, learner.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    learner.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0", special_tokens=ids
    )
    names = ("unk_token", "cls_token", "sep_token", "pad_token")
    spelled = dict(zip(names, special, strict=False))
    mask = transformers.AddedToken("[MASK]", lstrip=True, special=True, normalized=False)
    return getattr(transformers, saved_as)(
        tokenizer_object=learner,
        mask_token=mask,
        model_input_names=["input_ids", "attention_mask"],
        **spelled,
    )


def _learn_byte_pairs(learner: Tokenizer, texts: Sequence[str], special: list[str]) -> None:
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=256 + len(special) + PIECES,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )


def _vocabulary_and_merges(learnt: str) -> dict[str, Any]:
    model = json.loads(learnt)["model"]
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


_MAKERS: Final[dict[str, Callable[..., Any]]] = {
    "word_pieces": _word_pieces,
    "mpnet_pieces": _mpnet_pieces,
    "unigram": _unigram,
    "byte_pairs": _byte_pairs,
    "modern_byte_pairs": _modern_byte_pairs,
}
