"""Text files in, the folder of a WordPiece tokenizer of their language out.

The pieces are those of the `tokenizers` library's WordPiece trainer: characters, joined again and
again where two of them stand together most often, until there are as many as asked for (Schuster
and Nakajima 2012; Sennrich et al. 2016). What becomes of a text before it is split is BERT's.
Nothing here knows of languages: words that are written without blanks between them, as in Thai, are
one word each, and a word of more than 100 characters is unknown.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer

from training.errors import TrainingError
from training.options import add_flags, given_flags, option
from training.text import TextFile, find_files, read_documents
from training.tokenizer_settings import write_settings
from training.vocabulary import TOKENIZER_FILE

VOCABULARY_FILE = "vocab.txt"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
UNKNOWN = SPECIAL[1]
PREFIX = "##"  # of a piece that goes on with a word
POSITIONS = 512  # the longest input of BERT's
SAMPLE = 5_000  # paragraphs by which the vocabulary is measured


@dataclass(frozen=True)
class VocabularyOptions:
    """What the pieces are made of."""

    size: int = option(30_000, "pieces, special ones among them, at most")
    cased: bool = option(False, "tell upper case from lower case")
    strip_accents: bool = option(
        False,
        "take accents off letters, as BERT's uncased English model does; in many scripts these are "
        "vowels",
    )
    min_frequency: int = option(2, "how often two pieces must stand together to be joined")
    alphabet: int = option(6_000, "characters, the most frequent; others are unknown")

    def __post_init__(self) -> None:
        """Refuse what leaves no pieces."""
        if self.size <= len(SPECIAL):
            raise TrainingError(f"--size must be above the {len(SPECIAL)} special pieces.")
        if self.alphabet < 1 or self.min_frequency < 1:
            raise TrainingError("--alphabet and --min-frequency must be at least 1.")


@dataclass(frozen=True)
class Measured:
    """What a vocabulary makes of a sample of its own text."""

    pieces: int  # in the vocabulary
    per_word: float  # of text
    unknown: float  # share of the pieces of the text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training vocabulary`."""
    parser.add_argument("inputs", nargs="+", type=Path, help="files of text, or folders")
    parser.add_argument("out", type=Path, help="the folder to make")
    add_flags(parser, VocabularyOptions)


def run(arguments: argparse.Namespace) -> None:
    """Make the vocabulary, and say how well it fits its text and what comes next."""
    options = VocabularyOptions(**given_flags(arguments, VocabularyOptions))
    measured = build_vocabulary(arguments.inputs, arguments.out, options)
    fewer = " (the text has no more)" if measured.pieces < options.size else ""
    sys.stdout.write(
        f"{arguments.out}: {measured.pieces:,} pieces{fewer}; {measured.per_word:.2f} pieces a "
        f"word, {measured.unknown:.2%} of them unknown\n"
        f"next: python -m training corpus TEXT CORPUS --tokenizer {arguments.out}\n"
    )


def build_vocabulary(
    inputs: Sequence[Path], out: Path, options: VocabularyOptions | None = None
) -> Measured:
    """Make the folder `out`, with a tokenizer.json that BERT's tokenizer would be made of.

    Args:
        inputs: as a corpus takes them.
        out: the folder to make; it appears only once it is complete.
        options: the defaults when None.

    Raises:
        TrainingError: an input cannot be used, or `out` is already there.
    """
    options = options or VocabularyOptions()
    files = find_files(inputs)
    if out.exists():
        raise TrainingError(f"{out} exists already; choose another folder or remove it.")
    tokenizer = train_tokenizer(_paragraphs(files), options)
    pieces = tokenizer.get_vocab()
    if len(pieces) == len(SPECIAL):
        raise TrainingError("The inputs have no text to make pieces of.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        new = Path(scratch, "vocabulary")
        new.mkdir()
        tokenizer.save(str(new / TOKENIZER_FILE))
        listed = "".join(f"{piece}\n" for piece in sorted(pieces, key=pieces.__getitem__))
        (new / VOCABULARY_FILE).write_text(listed, encoding="utf-8")
        write_settings(new, POSITIONS)
        new.rename(out)
    return measure(tokenizer, islice(_paragraphs(files), SAMPLE))


def train_tokenizer(paragraphs: Iterator[str], options: VocabularyOptions) -> Tokenizer:
    """BERT's tokenizer with pieces of these texts."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=not options.cased, strip_accents=options.strip_accents
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=options.size,
        min_frequency=options.min_frequency,
        limit_alphabet=options.alphabet,
        special_tokens=list(SPECIAL),
        continuing_subword_prefix=PREFIX,
        show_progress=False,
    )
    tokenizer.train_from_iterator(paragraphs, trainer)
    around = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=around,
    )
    tokenizer.decoder = decoders.WordPiece(prefix=PREFIX)
    return tokenizer


def measure(tokenizer: Tokenizer, paragraphs: Iterator[str]) -> Measured:
    """How many pieces words have, and how many are unknown."""
    words = pieces = unknown = 0
    for encoding in tokenizer.encode_batch(list(paragraphs), add_special_tokens=False):
        words += len(set(encoding.word_ids))
        pieces += len(encoding.ids)
        unknown += encoding.tokens.count(UNKNOWN)
    return Measured(
        pieces=tokenizer.get_vocab_size(),
        per_word=pieces / max(1, words),
        unknown=unknown / max(1, pieces),
    )


def _paragraphs(files: Sequence[TextFile]) -> Iterator[str]:
    """Those of all files, one after the other."""
    for file in files:
        for document in read_documents(file.path, lambda _: None, whole=file.whole):
            yield from document
