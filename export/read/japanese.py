"""The options of BertJapaneseTokenizer in, the parts of its tokenizer and its words out.

MeCab finds words, the server spells them: here is only read with which dictionary, and whether
pieces or characters of words are looked up.
"""

import dataclasses

from export.errors import ExportError
from export.read.documents import Fields
from export.read.tokenizer_class import CONFIG
from models.tokenizer_components import Component
from models.tokenizer_json import Frame, Parts
from models.tokenizer_spec import DICTIONARIES, TokenizerSpec

_SUBWORDS = {"wordpiece": False, "character": True}
_HARMLESS = {"do_word_tokenize": True, "do_subword_tokenize": True, "do_lower_case": False}


def japanese_spec(spec: TokenizerSpec, config: Fields) -> TokenizerSpec:
    """The spec with its words.

    Raises:
        ExportError: words or pieces are looked for in another way.
    """
    for option, usual in _HARMLESS.items():
        if config.flag(option, default=usual) != usual:
            raise _refused(option, not usual)
    if (words := config.text("word_tokenizer_type", "basic")) != "mecab":
        raise _refused("word_tokenizer_type", words)
    if (subwords := config.text("subword_tokenizer_type", "wordpiece")) not in _SUBWORDS:
        raise _refused("subword_tokenizer_type", subwords)
    mecab = Fields.wrap(config.values.get("mecab_kwargs") or {}, f"mecab_kwargs in {CONFIG}")
    if "mecab_dic" not in mecab.values:
        raise ExportError(
            f"{CONFIG} does not name MeCab's dictionary, and versions of transformers differ: they "
            "took ipadic until 2024 and take unidic_lite since; set mecab_dic in mecab_kwargs "
            "there to the one that the model learnt with."
        )
    dictionary = mecab.values["mecab_dic"]
    if dictionary not in DICTIONARIES:
        raise _refused("mecab_dic", dictionary)
    if mecab.values.get("mecab_option") or not mecab.flag("normalize_text", default=True):
        raise _refused("mecab_kwargs", mecab.values)
    if extra := set(mecab.values) - {"mecab_dic", "mecab_option", "normalize_text"}:
        raise _refused("mecab_kwargs", min(extra))
    return dataclasses.replace(spec, words=dictionary, characters=_SUBWORDS[subwords])


def japanese_parts(model: Component, spec: TokenizerSpec) -> Parts:
    """What comes behind the words: pieces of what stands between blanks."""
    return Parts(
        model,
        None,
        {"type": "WhitespaceSplit"},
        {"type": "WordPiece", "prefix": "##", "cleanup": False},
        Frame(spec.cls, spec.sep),
    )


def _refused(option: str, value: object) -> ExportError:
    return ExportError(
        f"{CONFIG} sets {option} to {ascii(value)[:60]}; of BertJapaneseTokenizer Cloze reads "
        f"MeCab with {', '.join(DICTIONARIES)}, and wordpiece or character for pieces."
    )
