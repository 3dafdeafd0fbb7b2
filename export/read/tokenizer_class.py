"""The files that name a tokenizer's class in, what that class makes of the others out.

A tokenizer.json does not say all: most of transformers' classes put a tokenizer together anew, from
its vocabulary and the options in tokenizer_config.json. Classes that are known here are read as
they do; every other class and option that could change a token is refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from export.errors import ExportError
from export.read.documents import Fields
from models.tokenizer_models import BPE, UNIGRAM, WORD_PIECE
from models.tokenizer_spec import TokenizerSpec

CONFIG: Final = "tokenizer_config.json"
JAPANESE: Final = "BertJapaneseTokenizer"

_BERT: Final = TokenizerSpec()
_ROBERTA: Final = TokenizerSpec(
    cls="<s>",
    sep="</s>",
    unk="<unk>",
    pad="<pad>",
    mask="<mask>",
    pair_separators=2,
    segments=False,
)
_MPNET: Final = TokenizerSpec(
    cls="<s>", sep="</s>", pad="<pad>", mask="<mask>", pair_separators=2, segments=False
)
_ALBERT: Final = TokenizerSpec(unk="<unk>", pad="<pad>")
_ENDS: Final = ("<s>", "</s>")
_BERT_ENDS: Final = (_BERT.cls, _BERT.sep)
_NOT_USED: Final = ("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED")


@dataclass(frozen=True)
class TokenizerClass:
    """A class of transformers."""

    name: str
    kind: str | None
    """Of the model that it puts together; None where it takes tokenizer.json as it is."""
    spec: TokenizerSpec
    """Its usual special tokens."""
    lists_segments: bool = False
    """Whether its inputs have segment ids, where no file lists them (`model_input_names`).

    That of tokenizers taken as they are is version 5's; version 4 listed them.
    """
    unk_id: int | None = None
    """Of the unknown piece, where the class has it fixed."""
    ends: tuple[str, str] | None = None
    """Its usual `bos_token` and `eos_token`."""
    ends_frame: bool = False
    """Whether these two stand around texts, and not `cls_token` and `sep_token`."""
    mask_strips: bool = False
    """Whether its mask takes the blank before it, where no file says so, to version 5."""
    mask_disputed: bool = False
    """Whether version 4 has it otherwise."""
    segments_disputed: bool = False
    """Whether version 4 lists segments where version 5 does not, and models learnt with them."""
    trim: tuple[bool, bool] | None = None
    """Of the frame that it puts around word pieces (`Frame.trim`)."""
    extra: tuple[str, ...] = ()
    """More special tokens, where no file lists any."""


_CLASSES: Final = {
    one.name: one
    for one in (
        TokenizerClass("BertTokenizer", WORD_PIECE, _BERT, lists_segments=True),
        TokenizerClass("ElectraTokenizer", WORD_PIECE, _BERT, lists_segments=True),
        TokenizerClass("DistilBertTokenizer", WORD_PIECE, _BERT),
        TokenizerClass(
            "MPNetTokenizer", WORD_PIECE, _MPNET, ends=_ENDS, mask_strips=True, trim=(True, False)
        ),
        TokenizerClass("RobertaTokenizer", BPE, _ROBERTA, ends=_ENDS, mask_disputed=True),
        TokenizerClass(
            "XLMRobertaTokenizer", UNIGRAM, _ROBERTA, unk_id=3, ends=_ENDS, ends_frame=True
        ),
        TokenizerClass(
            "CamembertTokenizer",
            UNIGRAM,
            _ROBERTA,
            ends=_ENDS,
            ends_frame=True,
            mask_strips=True,
            extra=_NOT_USED,
        ),
        TokenizerClass(
            "AlbertTokenizer",
            UNIGRAM,
            _ALBERT,
            unk_id=1,
            ends=_BERT_ENDS,
            mask_disputed=True,
            segments_disputed=True,
        ),
        TokenizerClass("DebertaV2Tokenizer", UNIGRAM, _BERT, ends=_BERT_ENDS, lists_segments=True),
        TokenizerClass(JAPANESE, WORD_PIECE, _BERT),
        TokenizerClass("PreTrainedTokenizerFast", None, _BERT),
        TokenizerClass("TokenizersBackend", None, _BERT),
    )
}
# model_type -> the class where no file names one; BERT's where the type is not among these.
_OF_MODEL: Final = {
    "distilbert": "DistilBertTokenizer",
    "mpnet": "MPNetTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "modernbert": "TokenizersBackend",
}
# For which version 5 of transformers takes tokenizer.json as it is, whatever the class.
_AS_IT_IS: Final = frozenset({"modernbert"})
_FAST: Final = "Fast"
# Options that would change tokens, or where a text is cut -> the values that change nothing.
_REFUSED: Final[Mapping[str, tuple[object, ...]]] = {
    "do_basic_tokenize": (True,),
    "never_split": ([],),
    "do_word_tokenize": (True,),
    "do_subword_tokenize": (True,),
    "word_tokenizer_type": ("basic",),
    "subword_tokenizer_type": ("wordpiece",),
    "mecab_kwargs": (),
    "sudachi_kwargs": (),
    "jumanpp_kwargs": (),
    "tokenizer_type": (),
    "split_special_tokens": (False,),
    "padding_side": ("right",),
    "fast_tokenizer_files": ([],),
    "sp_model_kwargs": ({},),
    "errors": ("replace",),
}
_OF_JAPANESE: Final = frozenset(
    {
        "do_word_tokenize",
        "do_subword_tokenize",
        "word_tokenizer_type",
        "subword_tokenizer_type",
        "mecab_kwargs",
    }
)


def read_class(folder: Path, config: Fields) -> TokenizerClass:
    """The class that tokenizer_config.json names, or config.json, or else the model's own.

    Raises:
        ExportError: it is another one, or an option is set that would change a token.
    """
    model = Fields.of(folder / "config.json", optional=True)
    _require_no_code(config)
    file = config if config.values.get("tokenizer_class") is not None else model
    if file is model:
        _require_no_code(model)  # where transformers looks then
    family = model.text("model_type", "bert")
    name = file.text("tokenizer_class", _OF_MODEL.get(family, "BertTokenizer"))
    for option, harmless in _REFUSED.items():
        value = config.values.get(option)
        if name == JAPANESE and option in _OF_JAPANESE:
            continue  # `export.read.japanese` reads them
        if value is not None and not any(_same(value, one) for one in harmless):
            raise ExportError(
                f"{CONFIG} sets {option} to {_shown(value)}, which Cloze cannot do as transformers "
                "does."
            )
    known = _CLASSES.get(name) or _CLASSES.get(name.removesuffix(_FAST))
    if known is None:
        raise ExportError(
            f"{file.file} names the tokenizer class {_shown(name)}; Cloze knows "
            f"{', '.join(_CLASSES)}."
        )
    if family in _AS_IT_IS and known.kind is not None:
        raise ExportError(
            f"{file.file} names the tokenizer class {name}; of a {family} versions of transformers "
            "differ in whether that counts."
        )
    return known


def _require_no_code(file: Fields) -> None:
    """Refuse a tokenizer that brings its own code; older files list it without a key."""
    code = file.values.get("auto_map")
    if isinstance(code, dict):
        code = code.get("AutoTokenizer")
    if code:
        raise ExportError(
            f"{file.file} asks for a tokenizer of its own code (auto_map), never run."
        )


def _same(value: object, harmless: object) -> bool:
    return type(value) is type(harmless) and value == harmless


def _shown(value: object) -> str:
    return ascii(value)[:60]
