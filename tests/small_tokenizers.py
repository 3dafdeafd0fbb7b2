"""Small tokenizers of each kind in transformers' own format, trained on texts of this repository.

Their vocabularies are far too small for the odd texts, on purpose: much is unknown.
"""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import transformers
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.odd_texts import MARKS, SCRIPTS
from tests.running_server import REPOSITORY

# SentencePiece's own table for XLM-R, CamemBERT and others (nmt_nfkc, Apache License 2.0).
CHARSMAP = Path(__file__).parent / "data" / "nmt_nfkc.charsmap.gz"
SIZE = 400  # pieces
ROBERTA = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
UNK: dict[str, Any]
BERT_UNK: dict[str, Any]
UNK, BERT_UNK = {"unk_token": "<unk>"}, {"unk_token": "[UNK]"}
METASPACE: dict[str, Any] = {"replacement": "\u2581", "prepend_scheme": "always"}


def charsmap() -> bytes:
    """The table of nmt_nfkc."""
    return gzip.decompress(CHARSMAP.read_bytes())


@cache
def corpus() -> tuple[str, ...]:
    """A few hundred lines of English, and some of other scripts."""
    english = (REPOSITORY / "benchmarks" / "texts.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in (*english, *SCRIPTS, *MARKS) if line)


@cache
def unigram_pieces() -> tuple[tuple[str, float], ...]:
    """Pieces with their log-probabilities, without special tokens."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Precompiled(charsmap())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(**METASPACE)
    trainer = trainers.UnigramTrainer(vocab_size=SIZE, show_progress=False, **UNK)
    tokenizer.train_from_iterator(corpus(), trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    return tuple((piece, score) for piece, score in pieces if piece != "<unk>")


@cache
def byte_pairs() -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """Pieces by id, after four special tokens, and merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[*ROBERTA.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], tuple((one, other) for one, other in model["merges"])


def word_pieces(*special: str) -> dict[str, int]:
    """Word pieces by id, special tokens first."""
    tokenizer = Tokenizer(models.WordPiece(**BERT_UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=SIZE, special_tokens=[*special], show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    vocabulary: dict[str, int] = json.loads(tokenizer.to_str())["model"]["vocab"]
    return vocabulary


def save_xlm_roberta(folder: Path, **options: Any) -> Path:
    """As XLMRobertaTokenizer saves itself."""
    pieces = [(token, 0.0) for token in ROBERTA.values()] + [*unigram_pieces(), ("<mask>", 0.0)]
    options = {"_spm_precompiled_charsmap": charsmap(), "mask_token": _mask()} | options
    transformers.XLMRobertaTokenizer(vocab=pieces, **options).save_pretrained(folder)
    return folder


def save_camembert(folder: Path, **options: Any) -> Path:
    """As CamembertTokenizer saves itself."""
    first = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
    pieces = [(token, 0.0) for token in first] + [*unigram_pieces(), ("<mask>", 0.0)]
    options = {"_spm_precompiled_charsmap": charsmap()} | options
    transformers.CamembertTokenizer(vocab=pieces, **options).save_pretrained(folder)
    return folder


def save_albert(folder: Path, *, table: bool = True, **options: Any) -> Path:
    """As AlbertTokenizer saves itself."""
    first = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [(token, 0.0) for token in first] + [*unigram_pieces()]
    mask = AddedToken("[MASK]", lstrip=True, special=True, normalized=False)
    own = {"_spm_precompiled_charsmap": charsmap()} if table else {}
    options = own | {"mask_token": mask} | options
    transformers.AlbertTokenizer(vocab=pieces, **options).save_pretrained(folder)
    return folder


def save_deberta(folder: Path, *, unknown: float = 0.0, **options: Any) -> Path:
    """As DebertaV2Tokenizer saves itself, with the mask behind all pieces, as version 3 has it.

    `unknown` is the score of the unknown piece.
    """
    first = [(token, 0.0) for token in ("[PAD]", "[CLS]", "[SEP]")]
    pieces = [*first, ("[UNK]", unknown), *unigram_pieces()]
    transformers.DebertaV2Tokenizer(vocab=pieces, **options).save_pretrained(folder)
    return folder


def save_roberta(folder: Path, **options: Any) -> Path:
    """As RobertaTokenizer saves itself."""
    vocabulary, merges = byte_pairs()
    vocabulary = vocabulary | {"<mask>": len(vocabulary)}
    options = {"mask_token": _mask()} | options
    tokenizer = transformers.RobertaTokenizer(vocab=vocabulary, merges=[*merges], **options)
    tokenizer.save_pretrained(folder)
    return folder


def write_roberta(folder: Path) -> Path:
    """Its two older files, vocab.json and merges.txt."""
    vocabulary, merges = byte_pairs()
    vocabulary = vocabulary | {"<mask>": len(vocabulary)}
    text = "#version: 0.2\n" + "".join(f"{one} {other}\n" for one, other in merges)
    (folder / "merges.txt").write_text(text, encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    return folder


def save_modern_bert(folder: Path, **options: Any) -> Path:
    """As ModernBERT's is saved: byte-level BPE with BERT's special tokens at the end."""
    vocabulary, merges = byte_pairs()
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[*merges]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    named = {name: f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    plain = [AddedToken(f"{' ' * length}", normalized=True) for length in (24, 3, 2)]
    tokenizer.add_tokens(plain)
    tokenizer.add_special_tokens(
        [AddedToken(token, lstrip=name == "mask") for name, token in named.items()]
    )
    ids = {token: tokenizer.token_to_id(token) for token in named.values()}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    return save_as_it_is(
        folder, tokenizer, **{f"{n}_token": t for n, t in named.items()}, **options
    )


def save_mpnet(folder: Path, **options: Any) -> Path:
    """As MPNetTokenizer saves itself: word pieces with RoBERTa's special tokens."""
    vocabulary = word_pieces("<s>", "<pad>", "</s>", "<unk>", "[UNK]")
    vocabulary["<mask>"] = len(vocabulary)
    transformers.MPNetTokenizer(vocab=vocabulary, **options).save_pretrained(folder)
    return folder


def save_multilingual(folder: Path, normalizer: str, words: str, **options: Any) -> Path:
    """A Unigram tokenizer.json as conversions of XLM-R's have written it over the years."""
    pieces = [(token, 0.0) for token in ROBERTA.values()] + [*unigram_pieces(), ("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 3))
    table, blanks = normalizers.Precompiled(charsmap()), Regex(" {2,}")
    tokenizer.normalizer = {
        "table": table,
        "replace": normalizers.Sequence([table, normalizers.Replace(blanks, " ")]),
        "strip": normalizers.Sequence(
            [
                table,
                normalizers.Strip(left=False, right=True),
                normalizers.Replace(blanks, "\u2581"),
            ]
        ),
    }[normalizer]
    meta = pre_tokenizers.Metaspace(**METASPACE)
    parted = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), meta])
    tokenizer.pre_tokenizer = parted if words == "parted" else meta
    tokenizer.decoder = decoders.Metaspace(**METASPACE)
    tokenizer.add_special_tokens([AddedToken(token) for token in ROBERTA.values()])
    tokenizer.add_special_tokens([_mask()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    named = {f"{name}_token": token for name, token in ROBERTA.items()}
    named |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    return save_as_it_is(folder, tokenizer, **named, **options)


def save_as_it_is(folder: Path, tokenizer: Tokenizer, **options: Any) -> Path:
    """As PreTrainedTokenizerFast saves a tokenizer of the library."""
    saved = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)
    saved.save_pretrained(folder)
    return folder


def _mask() -> AddedToken:
    return AddedToken("<mask>", lstrip=True, special=True, normalized=False)
