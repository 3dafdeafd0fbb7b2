"""One line per record, whatever is in it."""

from __future__ import annotations

import json
import logging

import pytest

from server.logs import JsonLines, TextLines


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "cloze", "levelname": "INFO", "msg": message})
    made.__dict__.update(extra)
    return made


def test_a_record_becomes_one_json_line_with_its_fields() -> None:
    line = JsonLines().format(record("model ready", model="minilm", ms=1.5))
    fields = json.loads(line)
    assert (fields["message"], fields["model"], fields["ms"]) == ("model ready", "minilm", 1.5)
    assert (fields["level"], fields["logger"]) == ("info", "cloze")


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_control_characters_cannot_forge_a_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("a\nb\x1b[31m", field="c\r\nd\x00"))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_an_exception_is_told_by_type_and_place_but_not_message(
    formatter: logging.Formatter,
) -> None:
    with pytest.raises(ValueError, match="Zanzibar") as caught:
        int("Zanzibar")
    raised = (caught.type, caught.value, caught.tb)
    line = formatter.format(record("failed", exc_info=raised))
    told = [part for part in line.replace("\\n", "\n").splitlines() if "int(" not in part]
    assert "ValueError" in line
    assert "test_logs.py" in line
    assert not any("Zanzibar" in part for part in told)
