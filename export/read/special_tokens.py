"""What a checkpoint's configuration says of special and added tokens in, the tokens themselves out.

Four files may declare them, and the libraries that write them moved from one to the next:
`added_tokens_decoder` in tokenizer_config.json, and where that lacks special_tokens_map.json and
added_tokens.json, and a tokenizer.json. As in transformers, what is declared is found whole in a
text, before words are looked for.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from export.errors import ExportError
from export.read.documents import Fields
from models.tokenizer_components import Component
from models.tokenizer_json import ADDED_FLAGS, Parts, added_token
from models.tokenizer_models import ids_of
from models.tokenizer_spec import TokenizerSpec

CONFIG = "tokenizer_config.json"
# Options that name a token -> the field of a spec; in the order in which transformers adds them.
_NAMED: Mapping[str, str | None] = {
    "bos_token": None,
    "eos_token": None,
    "unk_token": "unk",
    "sep_token": "sep",
    "pad_token": "pad",
    "cls_token": "cls",
    "mask_token": "mask",
}
_LISTS = ("additional_special_tokens", "extra_special_tokens")
_PLAIN = dict.fromkeys(ADDED_FLAGS, False)


@dataclass(frozen=True)
class Declared:
    """The tokens that configuration declares."""

    named: Mapping[str, Component]
    """Option -> its token, without an id."""
    numbered: tuple[Component, ...]
    """Tokens with ids, in their order."""
    extra: tuple[Component, ...]
    """More special tokens, without ids."""
    complete: bool
    """Whether `numbered` claims to be all that there are (`added_tokens_decoder`)."""

    @property
    def names_mask(self) -> bool:
        """Whether the token for masks is declared, with its flags."""
        return "mask_token" in self.named

    def every(self) -> tuple[Component, ...]:
        """All of them."""
        return (*self.numbered, *self.named.values(), *self.extra)

    def spec(self, usual: TokenizerSpec) -> TokenizerSpec:
        """The usual spellings with those declared in their place."""
        spelled = {
            field: self.named[option]["content"]
            for option, field in _NAMED.items()
            if field is not None and option in self.named
        }
        return dataclasses.replace(usual, **spelled)


def read_declared(folder: Path, config: Fields) -> Declared:
    """The tokens that the files of `folder` declare beside tokenizer.json; `config` is one of them.

    Raises:
        ExportError: a token is not written as transformers writes one.
    """
    if config.values.get("added_tokens_decoder") is not None:
        decoder = _object(config, "added_tokens_decoder")
        numbered = [_token(token, config.file) | {"id": _id(n, config)} for n, token in decoder]
        numbered.sort(key=lambda token: int(token["id"]))
        return Declared(_named(config), tuple(numbered), _extra(config, *_LISTS), complete=True)
    # What special_tokens_map.json says wins over tokenizer_config.json, as in transformers.
    old = Fields.of(folder / "special_tokens_map.json", optional=True)
    named = _named(config) | _named(old)
    extra = (*_extra(config, *_LISTS), *_extra(old, *_LISTS))
    # Tokens of added_tokens.json that special_tokens_map.json lists by the older name are special
    # to version 4 of transformers, not to version 5. Their ids are the same.
    known = (*named.values(), *_extra(config, *_LISTS), *_extra(old, _LISTS[-1]))
    special = {token["content"] for token in known}
    file = Fields.of(folder / "added_tokens.json", optional=True)
    added = [
        _spelled(content, special=content in special) | {"id": file.integer(content, least=0)}
        for content in file.values
    ]
    added.sort(key=lambda token: int(token["id"]))
    return Declared(named, tuple(added), extra, complete=False)


def with_declared(parts: Parts, declared: Declared, spec: TokenizerSpec, rows: int | None) -> Parts:
    """The parts with all declared tokens, each with the id that the library would give it.

    Transformers also adds the special tokens that nothing but its class names and the vocabulary
    lacks. Of these a mask is taken where no head reads it and the weights have a row of the `rows`.

    Raises:
        ExportError: configuration says another id.
    """
    own = {token["content"]: token for token in parts.added}
    pieces = ids_of(parts.model)
    for token in _in_order(declared, spec):
        content = token["content"]
        beyond = max([len(pieces) - 1, *(int(one["id"]) for one in own.values())]) + 1
        index = own[content]["id"] if content in own else pieces.get(content, beyond)
        if token.get("id", index) != index:
            raise ExportError(
                f"The configuration gives the added token {content} id {token['id']}; beside this "
                f"vocabulary it has {index}."
            )
        if content in own and not (declared.complete and "id" in token):
            continue  # the flags of tokenizer.json stand
        lacks = content not in pieces and not _is_declared(content, declared)
        if lacks and not (content == spec.mask and rows is not None and index < rows):
            continue
        own[content] = {"id": index} | token | {"id": index}
    return dataclasses.replace(parts, added=tuple(own.values()))


def _in_order(declared: Declared, spec: TokenizerSpec) -> Iterator[Component]:
    """All tokens that are declared or that the class has, as transformers adds them."""
    yield from declared.numbered
    for option, field in _NAMED.items():
        if option in declared.named:
            yield declared.named[option]
        elif field is not None:
            yield _spelled(getattr(spec, field), special=True)
    yield from declared.extra


def _is_declared(content: str, declared: Declared) -> bool:
    return any(token["content"] == content for token in declared.every())


def _named(fields: Fields) -> dict[str, Component]:
    found = {}
    for option in _NAMED:
        if (value := fields.values.get(option)) is not None:
            found[option] = _token(value, fields.file) | {"special": True}
    return found


def _extra(fields: Fields, *lists: str) -> tuple[Component, ...]:
    # Version 5 of transformers writes tokens of the user's own naming among the options.
    tokens: list[object] = [
        value
        for option, value in fields.values.items()
        if option.endswith("_token") and option not in _NAMED and isinstance(value, str)
    ]
    for name in lists:
        value = fields.values.get(name)
        if isinstance(value, dict):
            tokens += value.values()
        elif isinstance(value, list):
            tokens += value
        elif value is not None:
            raise ExportError(f"{name} in {fields.file} must be a list of tokens.")
    return tuple([_token(token, fields.file) | {"special": True} for token in tokens])


def _token(value: object, file: str) -> Component:
    """A token that is written as its text, or as an object with flags; without its id."""
    if isinstance(value, str):
        return _spelled(value, special=True)
    token = dict(Fields.wrap(value, f"an added token in {file}").values)
    special = token.get("special") is True
    checked = added_token({"normalized": not special} | token | {"id": 0}, f"a token in {file}")
    del checked["id"]
    return checked


def _spelled(content: str, *, special: bool) -> Component:
    return {"content": content} | _PLAIN | {"normalized": not special, "special": special}


def _object(fields: Fields, name: str) -> Iterator[tuple[str, object]]:
    inner = Fields.wrap(fields.values[name], f"{name} in {fields.file}")
    yield from inner.values.items()


def _id(text: str, fields: Fields) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ExportError(f"added_tokens_decoder in {fields.file} must have ids as its keys.")
    return int(text)
