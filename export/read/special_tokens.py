"""What a checkpoint's configuration says of special and added tokens in, the tokens themselves out.

Four files may declare them, and the libraries that write them moved from one to the next:
`added_tokens_decoder` in tokenizer_config.json, and where that lacks special_tokens_map.json and
added_tokens.json, and a tokenizer.json. As in transformers, what is declared is found whole in a
text, before words are looked for.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.errors import ExportError
from export.read.documents import Fields
from export.read.tokenizer_class import TokenizerClass
from models.tokenizer_components import Component
from models.tokenizer_json import ADDED_FLAGS, Parts, added_token
from models.tokenizer_models import ids_of
from models.tokenizer_spec import TokenizerSpec

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
_MASK = "mask_token"
_LISTS = ("additional_special_tokens", "extra_special_tokens")
_PLAIN = dict.fromkeys(ADDED_FLAGS, False)


@dataclass(frozen=True)
class Declared:
    """The tokens that configuration declares."""

    named: Mapping[str, Component]
    """Option -> its token, without an id."""
    usual: Mapping[str, Component]
    """The same of the class's own tokens, where no file declares another."""
    numbered: tuple[Component, ...]
    """Tokens with ids, in their order."""
    extra: tuple[Component, ...]
    """More special tokens, without ids."""
    complete: bool
    """Whether `numbered` claims to be all that there are (`added_tokens_decoder`)."""
    flags_mask: bool
    """Whether the token for masks is declared with its flags, not by its name alone."""

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


def read_declared(folder: Path, config: Fields, known: TokenizerClass) -> Declared:
    """The tokens that the files of `folder` declare beside tokenizer.json; `config` is one of them.

    Raises:
        ExportError: a token is not written as transformers writes one, or two files contradict
            each other.
    """
    # What special_tokens_map.json says wins over tokenizer_config.json, as in transformers.
    old = Fields.of(folder / "special_tokens_map.json", optional=True)
    if config.values.get("added_tokens_decoder") is not None:
        decoder = _object(config, "added_tokens_decoder")
        numbered = [_token(token, config.file) | {"id": _id(n, config)} for n, token in decoder]
        files: tuple[Fields, ...] = (config,)
    else:
        numbered = _added(folder, config, old)
        files = (config, old)
    numbered.sort(key=lambda token: int(token["id"]))
    _require_same(files)
    named: dict[str, Component] = {}
    for file in files:
        named |= _named(file, known)
    return Declared(
        named,
        _usual(known),
        tuple(numbered),
        next(filter(None, (_extra(file, *_LISTS) for file in files)), ()),
        complete=len(files) == 1,
        flags_mask=any(isinstance(file.values.get(_MASK), dict) for file in files),
    )


def _added(folder: Path, config: Fields, old: Fields) -> list[Component]:
    """Tokens of added_tokens.json.

    Those that special_tokens_map.json lists by the older name are special to version 4 of
    transformers, not to version 5. Their ids are the same.
    """
    special = {
        token["content"]
        for token in (
            *_named(config).values(),
            *_named(old).values(),
            *_extra(config, *_LISTS),
            *_extra(old, _LISTS[-1]),
        )
    }
    file = Fields.of(folder / "added_tokens.json", optional=True)
    return [
        _spelled(content, special=content in special) | {"id": file.integer(content, least=0)}
        for content in file.values
    ]


def with_declared(parts: Parts, declared: Declared, spec: TokenizerSpec, rows: int | None) -> Parts:
    """The parts with all declared tokens, each with the id that the library would give it.

    Transformers also adds the special tokens that nothing but its class names and the vocabulary
    lacks. Of these a mask is taken where no head reads it and the weights have a row of the `rows`.

    Raises:
        ExportError: configuration says another id.
    """
    own = {token["content"]: token for token in parts.added}
    _require_one_way(declared, {*own, *(token["content"] for token in declared.numbered)})
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
        if lacks and (content in spec.names[:-1] or rows is None or index >= rows):
            continue
        own[content] = {"id": index} | token | {"id": index}
    return dataclasses.replace(parts, added=tuple(own.values()))


def _in_order(declared: Declared, spec: TokenizerSpec) -> Iterator[Component]:
    """All tokens that are declared or that the class has, as transformers adds them."""
    yield from declared.numbered
    for option, field in _NAMED.items():
        if option in declared.named:
            yield declared.named[option]
        elif option in declared.usual:
            yield declared.usual[option]
        elif field is not None:
            yield _spelled(getattr(spec, field), special=True)
    yield from declared.extra or [one for n, one in declared.usual.items() if n not in _NAMED]


def _is_declared(content: str, declared: Declared) -> bool:
    return any(token["content"] == content for token in declared.every())


def _usual(known: TokenizerClass) -> dict[str, Component]:
    ends = zip(("bos_token", "eos_token"), known.ends or (), strict=False)
    every = dict(ends) | {token: token for token in known.extra}
    usual = {name: _spelled(token, special=True) for name, token in every.items()}
    if known.mask_strips:
        usual[_MASK] = _spelled(known.spec.mask, special=True) | {"lstrip": True}
    return usual


def _require_same(files: Sequence[Fields]) -> None:
    """Refuse lists of special tokens that differ: versions of transformers take different ones."""
    lists = [
        [token["content"] for token in _extra(file, name)] for file in files for name in _LISTS
    ]
    if len({frozenset(contents) for contents in lists if contents}) > 1:
        raise ExportError(
            f"{' or '.join(file.file for file in files)} lists special tokens twice, and not the "
            f"same ({' and '.join(_LISTS)})."
        )


def _require_one_way(declared: Declared, settled: Iterable[str]) -> None:
    """Refuse tokens that are declared twice, with different flags; some are settled elsewhere."""
    seen: dict[str, Component] = {}
    for token in (*declared.named.values(), *declared.extra):
        content = token["content"]
        if content not in settled and seen.setdefault(content, token) != token:
            raise ExportError(f"The token {content} is declared twice and not in the same way.")


def _named(fields: Fields, known: TokenizerClass | None = None) -> dict[str, Component]:
    found = {}
    for option in _NAMED:
        if (value := fields.values.get(option)) is not None:
            found[option] = _token(value, fields.file) | {"special": True}
            if option == _MASK and isinstance(value, str) and known:
                found[option]["lstrip"] = known.mask_strips
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
