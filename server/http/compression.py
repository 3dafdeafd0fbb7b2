"""Bodies in gzip or deflate in, their bytes out; and answers in gzip, for those who ask for it.

Level 1: of embeddings it leaves 45 % in a tenth of a millisecond for each 10 kB, where level 6
leaves 40 % in four times as long, and Starlette's own layer, which uses 9 and does it on the event
loop, takes longer still. See docs/notebook/compression.md.
"""

import gzip
import re
import zlib
from functools import lru_cache
from typing import Final

from starlette.responses import Response

from server.errors import BodyTooLarge, InvalidCompression, UnsupportedMediaType

GZIP: Final = "gzip"
IDENTITY: Final = "identity"
WORTH_PACKING: Final = 1024  # bytes of an answer
_LEVEL: Final = 1
_STEP: Final = 1 << 16  # bytes that are inflated at a time, and so at most beyond the limit
_CODING: Final = re.compile(
    r"\s*([!#$%&'*+.^_`|~\w-]+)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?",
    re.ASCII | re.IGNORECASE,
)
_LONGEST_KNOWN: Final = 200  # characters of an Accept-Encoding; browsers send 30


# --- requests -------------------------------------------------------------------------------------


def known_coding(value: bytes) -> str:
    """What a `content-encoding` says.

    Raises:
        UnsupportedMediaType: it is none of those that are read here.

    >>> known_coding(b"X-GZip"), known_coding(b"identity"), known_coding(b"deflate")
    ('gzip', 'identity', 'deflate')
    """
    name = value.strip().lower()
    if name in {b"", b"identity"}:
        return IDENTITY
    if name in {b"gzip", b"x-gzip"}:
        return GZIP
    if name == b"deflate":
        return "deflate"
    raise UnsupportedMediaType("The body is in a coding that is not read here; send gzip, or none.")


def inflated(packed: bytes, coding: str, most: int) -> bytes:
    """The bytes of a body, of which at most 64 KB more than `most` are ever made.

    Raises:
        BodyTooLarge: there are more.
        InvalidCompression: it is cut short, damaged, or something follows it.
    """
    stream = zlib.decompressobj(_window(packed, coding))
    parts, size, rest = [], 0, packed
    try:
        while not stream.eof:
            part = stream.decompress(rest, _STEP)
            rest = stream.unconsumed_tail
            if not part and not rest and not stream.eof:
                raise InvalidCompression(f"The body ends before its {coding} does.")
            parts.append(part)
            size += len(part)
            if size > most:
                raise BodyTooLarge(
                    f"The body is larger than the {most} bytes accepted once it is inflated; send "
                    "fewer texts."
                )
    except zlib.error:
        raise InvalidCompression(f"The body is not the {coding} that it is said to be.") from None
    if stream.unused_data or rest:
        raise InvalidCompression(f"Something follows the end of the body's {coding}.")
    return b"".join(parts)


def _window(packed: bytes, coding: str) -> int:
    """The `wbits` of zlib; some clients send deflate without the frame that it should have."""
    if coding == GZIP:
        return 16 + zlib.MAX_WBITS
    framed = len(packed) > 1 and packed[0] & 15 == 8 and (packed[0] << 8 | packed[1]) % 31 == 0
    return zlib.MAX_WBITS if framed else -zlib.MAX_WBITS


# --- answers --------------------------------------------------------------------------------------


def content_coding(accepted: str) -> str | None:
    """The better of "gzip" and "identity" for an Accept-Encoding (RFC 9110, 12.5.3).

    None where the client takes neither.

    >>> content_coding("br, gzip;q=0.5"), content_coding("gzip;q=0, *"), content_coding("")
    ('gzip', 'identity', 'identity')
    """
    members = [found for part in accepted.split(",") if (found := _CODING.fullmatch(part))]
    weights = {found[1].lower(): float(found[2] or 1) for found in members}
    rest = weights.get("*")
    packed = weights.get(GZIP, weights.get("x-gzip", rest or 0))
    plain = weights.get(IDENTITY, rest)
    if packed > 0 and packed >= (plain or 0):
        return GZIP
    return None if plain == 0 else IDENTITY


def takes_gzip(accepted: bytes) -> bool:
    """Whether an answer is to be packed for a client that says so.

    >>> takes_gzip(b"gzip, deflate"), takes_gzip(b"gzip;q=0"), takes_gzip(b"br")
    (True, False, False)
    """
    if len(accepted) > _LONGEST_KNOWN:
        return content_coding(accepted.decode("latin-1")) == GZIP
    return _takes_gzip(accepted)


@lru_cache(maxsize=64)  # clients say it with each request
def _takes_gzip(accepted: bytes) -> bool:
    return content_coding(accepted.decode("latin-1")) == GZIP


def pack(response: Response) -> None:
    """Packs an answer in place, if that makes it shorter."""
    packed = gzip.compress(response.body, _LEVEL, mtime=0)
    if len(packed) < len(response.body):
        response.body = packed
        response.headers["content-length"] = str(len(packed))
        response.headers["content-encoding"] = GZIP
