"""The license of model cards as people write them: whatever the encoding."""

from pathlib import Path

import pytest

from export.errors import ExportError
from export.read.card import read_license

CARD = "---\r\nlanguage: français\r\nlicense: cc-by-4.0\r\n---\r\n# Modèle entraîné\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_license_is_found_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    card = tmp_path / "README.md"
    card.write_bytes(CARD.encode(encoding))
    assert read_license(card) == "cc-by-4.0"


@pytest.mark.parametrize(
    ("content", "license_"),
    [
        (b"", "unknown"),
        (bytes(range(256)) * 40, "unknown"),
        (b"---\nlicense: 'mit'\n---\n", "mit"),
        (b"---\nlicense:\n- apache-2.0\n- mit\n---\n", "apache-2.0"),
        (b"---\nlicense: [bsd-3-clause]\n---\n" + b"\xe9" * 100, "bsd-3-clause"),
        (b"---\nlicense: gpl\n", "unknown"),
        (b"---\n\xff\xfe: x\nlicense: openrail\n---\n", "openrail"),
    ],
)
def test_bytes_of_a_card_never_fail(tmp_path: Path, content: bytes, license_: str) -> None:
    card = tmp_path / "README.md"
    card.write_bytes(content)
    assert read_license(card) == license_


def test_card_that_is_none_states_nothing(tmp_path: Path) -> None:
    assert read_license(tmp_path / "README.md") == "unknown"
    (tmp_path / "README.md").mkdir()
    assert read_license(tmp_path / "README.md") == "unknown"


def test_card_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "README.md"
    card.write_text(CARD)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(card))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ExportError, match=r"README\.md cannot be read: Permission denied\."):
        read_license(card)
