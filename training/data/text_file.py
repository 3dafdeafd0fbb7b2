"""A file of bytes in, its text out; another encoding than UTF-8 is told apart from bad content.

A file may be compressed (.gz, .bz2, .xz). What is no text at all, such as a spreadsheet, is called
by its name.
"""

import bz2
import codecs
import gzip
import lzma
import zlib
from pathlib import Path

from training.errors import TrainingError

# The longer mark first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNPACK = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
# How files begin that are no text: what they are, and what to do.
_NO_TEXT = (
    (b"PK\x03\x04", "a spreadsheet (.xlsx, .ods) or another archive; save it as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (.xls) or document; save it as CSV"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "a database of SQLite; export a table as CSV"),
    (b"\x1f\x8b", "compressed by gzip; call it .gz, or unpack it"),
    (b"BZh", "compressed by bzip2; call it .bz2, or unpack it"),
    (b"\xfd7zXZ", "compressed by xz; call it .xz, or unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it"),
)


def read_bytes(path: Path) -> bytes:
    """The whole file, unpacked; a `TrainingError` where it cannot be read."""
    unpack = _UNPACK.get(path.suffix.lower())
    try:
        data = path.read_bytes()
        data = unpack(data) if unpack else data
    except (EOFError, lzma.LZMAError, zlib.error, ValueError, gzip.BadGzipFile):
        raise TrainingError(f"{path} cannot be unpacked: its data are damaged.") from None
    except OSError as error:
        said = error.strerror or "its data are damaged"
        raise TrainingError(f"{path} cannot be read: {said}.") from None
    kind = next((kind for start, kind in _NO_TEXT if data.startswith(start)), None)
    if kind:
        raise TrainingError(f"{path} is no text: it is {kind}.")
    return data


def suffix_of(path: Path) -> str:
    """What a file's name promises, in lower case, packed or not.

    >>> suffix_of(Path("a.JSONL.gz")), suffix_of(Path("a.csv"))
    ('.jsonl', '.csv')
    """
    inner = path.with_suffix("") if path.suffix.lower() in _UNPACK else path
    return inner.suffix.lower()


def read_text(path: Path, encoding: str | None = None) -> str:
    """The text of a file: in `encoding`, else as its byte-order mark says, else in UTF-8.

    Raises:
        TrainingError: the bytes are no text in that encoding; the line is named.
    """
    return decode(read_bytes(path), path.name, encoding)


def decode(data: bytes, name: str, encoding: str | None = None) -> str:
    r"""As `read_text`, of bytes that are there already; `name` is what messages call them.

    >>> decode("caf\u00e9".encode("utf-16"), "a.txt") == decode(b"caf\xe9", "a.txt", "latin-1")
    True
    """
    marked = next((kind for mark, kind in _MARKS if data.startswith(mark)), "utf-8")
    wanted = encoding or marked
    if encoding and encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
        wanted = "utf-8-sig"  # with a mark or without
    try:
        text = data.decode(wanted)
    except LookupError:
        raise TrainingError(f"--encoding: there is no encoding {encoding}.") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        shown = f"byte 0x{data[error.start]:02X}"
        wanted = wanted.removesuffix("-sig").upper()
        raise TrainingError(
            f"{name}, line {line}: it is not text in {wanted} ({shown}); save the file as UTF-8, "
            "or name its encoding, such as --encoding cp1252 (Windows, western) or latin-1."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TrainingError(
            f"{name}, line {line}: it holds zero bytes, so it is no text in {wanted.upper()}; "
            "if it is UTF-16 without a byte-order mark, say --encoding utf-16-le or utf-16-be."
        )
    return text


def lines_of(text: str) -> list[str]:
    r"""The lines, without their ends: those of Unix, Windows or old Macs, and no other characters.

    >>> lines_of("one\r\ntwo\u2028still two\n"), lines_of("one\rtwo")
    (['one', 'two\u2028still two', ''], ['one', 'two'])
    """
    if "\n" not in text:
        return text.split("\r")
    return [line.removesuffix("\r") for line in text.split("\n")]
