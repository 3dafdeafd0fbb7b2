"""The bytes of a body in, plain Python values out; what JSON readers differ on is refused.

A key that is repeated in an object keeps its last value.
"""

import codecs
import re
from collections.abc import Collection, Iterable
from typing import Final

import orjson

from server.errors import (
    ClozeError,
    InvalidEncoding,
    InvalidJson,
    InvalidText,
    TooManyInputs,
    UnsupportedMediaType,
)

MAX_DEPTH: Final = 32  # nested lists and objects
MAX_VALUES: Final = 65_536  # of a body, and of its strings; a million of them take a second

# Nineteen digits fit 64 bits, signed or not; orjson would silently round longer
# integers.
_LONG_RUN: Final = b"0" * 20
_LONGEST_RUN: Final = b"0" * 400  # no number of 64 bits has as many, and reading them takes long
_DIGITS_AS_ZEROS: Final = bytes(48 if 48 <= byte < 58 else 32 for byte in range(256))
_ZEROS: Final = re.compile(rb"0+")
_JSON_TYPE: Final = re.compile(rb"application/(?:json|[a-z0-9.+-]+\+json)", re.IGNORECASE)
_CHARSET: Final = re.compile(rb'charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)


def check_media_type(headers: Iterable[tuple[bytes, bytes]], also: Collection[bytes] = ()) -> None:
    """Accepts JSON in UTF-8, a body that does not say what it is, and media types of `also`.

    Raises:
        UnsupportedMediaType: the body is declared as something else.
    """
    for name, value in headers:
        if name != b"content-type" or value == b"application/json":
            continue
        kind, _, parameters = value.partition(b";")
        if kind.strip().lower() in also:
            continue
        charset = _CHARSET.search(parameters)
        if not _JSON_TYPE.fullmatch(kind.strip()):
            raise UnsupportedMediaType(
                "The body is not declared as JSON; send the header 'content-type: application/json'"
                " (with curl: -H 'content-type: application/json')."
            )
        if charset and charset[1].lower() not in {b"utf-8", b"utf8"}:
            raise UnsupportedMediaType("The body is not declared as UTF-8, which JSON has to be.")


def parse_json(raw: bytes) -> object:
    r"""Parses strictly; a byte order mark before JSON is passed over (RFC 8259, 8.1).

    >>> parse_json(b'{"inputs": "a [MASK]"}')
    {'inputs': 'a [MASK]'}

    Raises:
        InvalidEncoding: not UTF-8.
        InvalidText: a string holds half of a surrogate pair.
        TooManyInputs: more than `MAX_VALUES` strings.
        InvalidJson: not JSON (NaN and Infinity are not), nested over `MAX_DEPTH` deep, or with an
            integer beyond 64 bits, or more than `MAX_VALUES` values.
    """
    # From the cheapest to the dearest: what a step lets pass bounds what the next one costs.
    strings = raw.count(b'"') // 2
    if strings > MAX_VALUES and _unescaped(raw).count(b'"') // 2 > MAX_VALUES:
        raise TooManyInputs(f"The body holds more than {MAX_VALUES} texts.")
    brackets = _brackets(raw)
    if max(brackets, raw.count(b",")) > MAX_VALUES:
        outside = _outside_strings(raw)
        if _brackets(outside) + outside.count(b",") > MAX_VALUES:
            raise InvalidJson(f"The body holds more than {MAX_VALUES} values.")
    if _has_run(raw, _LONG_RUN):
        outside = _outside_strings(raw)
        if _has_run(outside, _LONGEST_RUN):
            raise InvalidJson(f"The body holds a number of {len(_LONGEST_RUN)} digits or more.")
        if _has_long_integer(outside):
            raise InvalidJson("The body holds an integer beyond 64 bits.")
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if raw.startswith(codecs.BOM_UTF8) and not raw.startswith(codecs.BOM_UTF8 * 2):
            return parse_json(raw.removeprefix(codecs.BOM_UTF8))
        raise _refusal(raw, error) from None
    if brackets > MAX_DEPTH:
        _check_depth(value)
    return value


def _brackets(raw: bytes) -> int:
    return raw.count(b"[") + raw.count(b"{")


def _has_run(raw: bytes, zeros: bytes) -> bool:
    """Whether so many digits stand in a row; a regular expression would take far longer to tell."""
    return zeros in raw.translate(_DIGITS_AS_ZEROS)


def _has_long_integer(outside: bytes) -> bool:
    """Whether one of the long runs of digits is a whole number, no part of a fraction or exponent.

    The runs are looked for one by one: a regular expression would keep the interpreter's lock, and
    so everybody else, until the last one.
    """
    zeros, end = outside.translate(_DIGITS_AS_ZEROS), 0
    while (start := zeros.find(_LONG_RUN, end)) >= 0:
        run = _ZEROS.match(zeros, start)
        end = run.end() if run else len(zeros)
        before = outside[max(0, start - 2) : start].removesuffix(b"-")[-1:] or b" "
        if before not in b".eE+-" and (outside[end : end + 1] or b" ") not in b".eE":
            return True
    return False


def _outside_strings(raw: bytes) -> bytes:
    r"""JSON without what is inside its strings.

    >>> _outside_strings(rb'{"a\"b": 1, "c": "\\"}')
    b'{"": 1, "": ""}'
    """
    return b'""'.join(_unescaped(raw).split(b'"')[::2])


def _unescaped(raw: bytes) -> bytes:
    """JSON in which every quotation mark begins or ends a string."""
    return raw.replace(b"\\\\", b"").replace(b'\\"', b"")


def _check_depth(value: object) -> None:
    level = [value] if isinstance(value, (list, dict)) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (list, dict))
        ]
        if not level:
            return
    raise InvalidJson(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _refusal(raw: bytes, error: orjson.JSONDecodeError) -> ClozeError:
    if not raw:
        return InvalidJson("The body is empty; send a JSON object.")
    try:
        raw.decode()
    except UnicodeDecodeError as place:
        return InvalidEncoding(f"The body is not UTF-8 at byte {place.start}.")
    if "surrogate" in error.msg:
        return InvalidText("A text holds half of a surrogate pair, which is not a character.")
    return InvalidJson(f"The body is not JSON at line {error.lineno}, column {error.colno}.")
