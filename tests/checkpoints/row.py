"""What a row of docs/checkpoints.md says of a checkpoint: enough to make a small one like it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

EMBEDDING, RERANKER, FILL_MASK = "Embeddings", "Rerankers", "Masked words"
CLASSIFICATION, NER, QA = "Labels of texts", "Labels of words", "Answers to questions"
KINDS: Final = (EMBEDDING, RERANKER, FILL_MASK, CLASSIFICATION, NER, QA)
NORMALIZE: Final = "Normalize"
SPLADE: Final = "SpladePooling"

# Which files hold the tokenizer, besides tokenizer_config.json.
SAVED: Final = "tokenizer.json"
VERSION_4: Final = "tokenizer.json of version 4"
VOCABULARY: Final = "vocab.txt"
ALONE: Final = "vocab.txt, without tokenizer_config.json"
MERGES: Final = "vocab.json, merges.txt"

_FAMILIES: Final = {
    "bert": "Bert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "camembert": "Camembert",
    "distilbert": "DistilBert",
    "mpnet": "MPNet",
    "electra": "Electra",
    "albert": "Albert",
    "modernbert": "ModernBert",
    "nomic_bert": "NomicBert",
    "deberta-v2": "DebertaV2",
}
_CLASSES: Final = {
    EMBEDDING: "Model",
    RERANKER: "ForSequenceClassification",
    FILL_MASK: "ForMaskedLM",
    CLASSIFICATION: "ForSequenceClassification",
    NER: "ForTokenClassification",
    QA: "ForQuestionAnswering",
}


@dataclass(frozen=True)
class Tokenizing:
    """How a checkpoint's tokenizer is made and saved."""

    kind: str
    """The function of `tests.checkpoints.tokenizers` that makes it."""
    saved_as: str
    """The class of transformers that saves it."""
    named: str = ""
    """Another class that tokenizer_config.json names."""
    lowercase: bool | None = None
    """Of word pieces."""
    dictionary: str = ""
    """Of MeCab, where the files name it."""
    characters: bool = False
    """Whether Japanese words are looked up by their characters."""
    files: str = SAVED
    """One of the above, or the name of SentencePiece's own file."""

    @property
    def told(self) -> str:
        """For people."""
        if self.kind == "word_pieces" and self.named:
            return self.named  # which reads files of its own
        case = {True: "lower-cased", False: "cased", None: ""}[self.lowercase]
        words = "characters" if self.characters else ""
        parts = (self.named or self.saved_as, case, self.dictionary, words, self.files)
        return ", ".join(filter(None, parts))

    @property
    def decided_cased(self) -> bool:
        """Whether only the vocabulary shows that texts keep their capitals."""
        return self.files == ALONE and not self.lowercase


@dataclass(frozen=True)
class Row:
    """One checkpoint."""

    kind: str
    name: str
    language: str
    """A key of `tests.checkpoints.texts.TEXTS`."""
    model_type: str
    tokenizer: Tokenizing
    config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of config.json besides sizes."""
    modules: tuple[str, ...] = ()
    """Of sentence-transformers after Transformer, such as "mean" or "Dense Tanh"."""
    labels: int = 0
    prompts: Mapping[str, str] = field(default_factory=dict)
    own_class: str = ""
    """In `architectures`, where it is not the family's for what the checkpoint is for."""
    refused: str = ""
    """What the exporter says of it, where it is not served: a part of its sentence."""
    after: str = ""
    """What is done to the published files first."""

    @property
    def architecture(self) -> str:
        """In `architectures` of config.json."""
        return self.own_class or _FAMILIES[self.model_type] + _CLASSES[self.kind]

    @property
    def making(self) -> str:
        """All that decides what is made of it: the same of rows of other names and languages."""
        return repr(replace(self, name="", after="", language=""))


def distinct(rows: Iterable[Row], key: Callable[[Row], object]) -> Sequence[Row]:
    """The first row of each key."""
    first: dict[object, Row] = {}
    for row in rows:
        first.setdefault(key(row), row)
    return tuple(first.values())


def saved_again(row: Row, **changes: Any) -> Row:
    """A row that is refused as published, loaded and saved with transformers 5."""
    tokenizer = replace(row.tokenizer, files=SAVED)
    saved = replace(row, tokenizer=tokenizer, refused="", after="saved by transformers 5")
    return replace(saved, **changes)
