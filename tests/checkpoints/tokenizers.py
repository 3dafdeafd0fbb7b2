"""Small tokenizers of every kind, learnt from a few texts and saved by transformers' classes."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from tests.checkpoints.japanese import write_japanese
from tests.checkpoints.published import CONFIG, publish
from tests.checkpoints.row import Tokenizing
from tests.checkpoints.texts import EVERY, TEXTS
from tests.small_tokenizers import charsmap

PIECES: Final = 2000  # so many characters have all the texts, and some words
BERTS: Final = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTAS: Final = ["<s>", "<pad>", "</s>", "<unk>"]
LONGEST: Final = 128  # tokens
# What stands before SentencePiece's own pieces and behind them.
_AROUND_PIECES: Final = {
    "XLMRobertaTokenizer": (ROBERTAS, ["<mask>"]),
    "CamembertTokenizer": (
        ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"],
        ["<s>", "</s>", "<mask>"],
    ),
    "AlbertTokenizer": (["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], []),
    "DebertaV2Tokenizer": (["[PAD]", "[CLS]", "[SEP]", "[UNK]"], ["[MASK]"]),
}
_MASKS: Final = {"XLMRobertaTokenizer": "<mask>", "AlbertTokenizer": "[MASK]"}


def write_tokenizer(made: Tokenizing, folder: Path) -> tuple[int, int]:
    """Learn one and write its files; how many tokens it has, and padding's id."""
    kept, tokens, padding = _written(made)
    shutil.copytree(kept.name, folder, dirs_exist_ok=True)
    return tokens, padding


@cache
def _written(made: Tokenizing) -> tuple[TemporaryDirectory[str], int, int]:
    """A folder with the files, made once and gone when the process ends."""
    kept = TemporaryDirectory(prefix="tokenizer-")
    folder = Path(kept.name)
    if made.kind == "japanese":
        return kept, write_japanese(made, TEXTS["ja"], folder, LONGEST), 0
    tokenizer = _MAKERS[made.kind](made)
    tokenizer.model_max_length = LONGEST
    tokenizer.save_pretrained(folder)
    publish(made, folder, base64.b64encode(charsmap()).decode())
    if made.named:
        options = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        options["tokenizer_class"] = made.named
        (folder / CONFIG).write_text(json.dumps(options), encoding="utf-8")
    return kept, len(tokenizer), tokenizer.pad_token_id


def _learnt_pieces(special: list[str], *, lowercase: bool) -> dict[str, int]:
    learner = Tokenizer(models.WordPiece(unk_token=BERTS[1]))
    learner.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # One in eight characters is left out, so that some words cannot be spelled.
    learner.train_from_iterator(
        EVERY,
        trainers.WordPieceTrainer(
            vocab_size=PIECES,
            special_tokens=special,
            limit_alphabet=int(len(set("".join(EVERY))) * 7 / 8),
            show_progress=False,
        ),
    )
    return learner.get_vocab()


def _from_pieces(special: list[str], made: Tokenizing) -> Any:
    lowercase = bool(made.lowercase)
    vocabulary = _learnt_pieces(special, lowercase=lowercase)
    return getattr(transformers, made.saved_as)(vocab=vocabulary, do_lower_case=lowercase)


def _word_pieces(made: Tokenizing) -> Any:
    return _from_pieces(BERTS, made)


def _klue_pieces(made: Tokenizing) -> Any:
    """RoBERTa with BERT's tokenizer: [CLS] has RoBERTa's first id."""
    special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    return _from_pieces(special, made)


def _mpnet_pieces(made: Tokenizing) -> Any:
    return _from_pieces([*ROBERTAS, "[UNK]", "<mask>"], made)


def _unigram(made: Tokenizing) -> Any:
    first, last = _AROUND_PIECES[made.saved_as]
    pieces = [(piece, -2.0 - 0.01 * index) for index, piece in enumerate(_sentence_pieces())]
    vocabulary = [*((name, 0.0) for name in first), *pieces, *((name, 0.0) for name in last)]
    options: dict[str, Any] = {}
    if made.saved_as != "DebertaV2Tokenizer":  # of which version 5 leaves the table out
        options["_spm_precompiled_charsmap"] = charsmap()
    if made.saved_as in _MASKS:
        options["mask_token"] = _taking_blanks(_MASKS[made.saved_as])
    return getattr(transformers, made.saved_as)(vocab=vocabulary, **options)


def _taking_blanks(mask: str) -> Any:
    """A token for masks that takes the blank before it."""
    return transformers.AddedToken(mask, lstrip=True, special=True, normalized=False)


@cache
def _sentence_pieces() -> tuple[str, ...]:
    learner = Tokenizer(models.Unigram())
    learner.normalizer = normalizers.Precompiled(charsmap())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    unknown = ROBERTAS[-1]
    trainer = trainers.UnigramTrainer(
        vocab_size=PIECES, special_tokens=[unknown], unk_token=unknown, show_progress=False
    )
    learner.train_from_iterator(EVERY, trainer)
    learnt = learner.get_vocab()
    return tuple(piece for piece in sorted(learnt, key=learnt.__getitem__) if piece != unknown)


def _byte_pairs(made: Tokenizing) -> Any:
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    _learn_byte_pairs(learner, [*ROBERTAS, "<mask>"])
    model = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    own = getattr(transformers, made.saved_as)
    return own(vocab=model["vocab"], merges=merges, mask_token=_taking_blanks("<mask>"))


def _modern_byte_pairs(made: Tokenizing) -> Any:
    """As ModernBERT's: GPT-NeoX's pieces with BERT's special tokens behind them."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    _learn_byte_pairs(learner, special)
    ids = [(name, learner.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    learner.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0", special_tokens=ids
    )
    names = ("unk_token", "cls_token", "sep_token", "pad_token")
    spelled = dict(zip(names, special, strict=False))
    return getattr(transformers, made.saved_as)(
        tokenizer_object=learner,
        mask_token=_taking_blanks("[MASK]"),
        model_input_names=["input_ids", "attention_mask"],
        **spelled,
    )


def _learn_byte_pairs(learner: Tokenizer, special: list[str]) -> None:
    learner.train_from_iterator(
        EVERY,
        trainers.BpeTrainer(
            vocab_size=256 + len(special) + PIECES,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )


_MAKERS: Final[dict[str, Callable[[Tokenizing], Any]]] = {
    "word_pieces": _word_pieces,
    "klue_pieces": _klue_pieces,
    "mpnet_pieces": _mpnet_pieces,
    "unigram": _unigram,
    "byte_pairs": _byte_pairs,
    "modern_byte_pairs": _modern_byte_pairs,
}
