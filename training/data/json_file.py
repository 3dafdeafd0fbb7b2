"""JSON in any of its usual forms in, records out: lines, an array, or SQuAD's articles.

JSON lines: an object per line. An array of objects. One object with a list `data`: of objects, or
of SQuAD's articles, each with paragraphs of a context and its questions (Rajpurkar et al. 2016).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from training.data.record import Record, names_of
from training.data.text_file import lines_of
from training.errors import TrainingError

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def json_records(text: str, name: str) -> Iterator[Record]:
    """The records of a text of JSON; `name` is what messages call the file."""
    if text[_skip(text, 0) :][:1] == "[":
        yield from _array(text, name)
        return
    lines = lines_of(text)
    first = next((line for line in lines if line.strip()), "")
    if _nested(first) or (_is_begun(first) and not _is_whole(first)):
        yield from _document(text, name)
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{name}, line {number}"
            yield _record(_parsed(line, place), place)


def _array(text: str, name: str) -> Iterator[Record]:
    """The objects of an array, each with the line on which it begins."""
    at, line, counted = text.index("[") + 1, 1, 0
    while True:
        at = _skip(text, at)
        line, counted = line + text.count("\n", counted, at), at
        place = f"{name}, line {line}"
        if text[at : at + 1] == "]":
            break
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _no_json(error, text, name) from None
        yield _record(value, place)
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            line += text.count("\n", counted, at)
            raise TrainingError(
                f"{name}, line {line}: it is not JSON: a comma or the array's end is expected here."
            )
    if text[_skip(text, at + 1) :]:
        raise TrainingError(
            f"{name}, line {line}: there is more behind the array's end; "
            "a file holds one array, or an object per line."
        )


def _document(text: str, name: str) -> Iterator[Record]:
    """The records of one object."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_json(error, text, name) from None
    data = document.get("data")
    if not isinstance(data, list):
        yield _record(document, f"{name}, line 1")
        return
    number = 0
    for place, entry in enumerate(data, start=1):
        if isinstance(entry, dict) and isinstance(entry.get("paragraphs"), list):
            for question in _questions(entry["paragraphs"], f"{name}, article {place}"):
                number += 1
                question["title"] = entry.get("title", f"article {place}")
                yield _record(question, f"{name}, question {number}")
        else:
            yield _record(entry, f"{name}, entry {place} of data")


def _questions(paragraphs: list[Any], place: str) -> Iterator[dict[str, Any]]:
    """SQuAD's questions, each with its context; one that is impossible has no answer."""
    for paragraph in paragraphs:
        if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
            raise TrainingError(f"{place}: a paragraph must be an object with context and qas.")
        for question in paragraph["qas"]:
            if not isinstance(question, dict):
                raise TrainingError(f"{place}: qas must hold objects.")
            answers = [] if question.get("is_impossible") else question.get("answers")
            yield {**question, "context": paragraph.get("context"), "answers": answers}


def _record(value: object, place: str) -> Record:
    if not isinstance(value, dict):
        raise TrainingError(f"{place}: it is not a JSON object.")
    lists = [name for name, part in value.items() if isinstance(part, list | dict)]
    if len(value) > 1 and len(lists) == len(value) and _is_by_column(value):
        raise TrainingError(
            f"{place}: its fields {names_of(lists)} hold whole columns; an object per row is "
            'expected (pandas: to_json(…, orient="records", lines=True)).'
        )
    return Record(value, place)


def _is_by_column(value: dict[str, Any]) -> bool:
    """Whether an object is a table by column, as pandas writes it by default."""
    return all(isinstance(part, dict) and "0" in part for part in value.values())


def _parsed(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        said = error.msg.removesuffix(" at").lower()
        raise TrainingError(f"{place}: it is not JSON ({said}, column {error.colno}).") from None
    except RecursionError:
        raise TrainingError(f"{place}: it is not JSON (too deep).") from None


def _no_json(error: Exception, text: str, name: str) -> TrainingError:
    if not isinstance(error, json.JSONDecodeError):
        return TrainingError(f"{name}: it is not JSON (too deep).")
    said = "it ends too early" if error.pos >= len(text.rstrip()) else error.msg.lower()
    said = said.removesuffix(" at")
    return TrainingError(
        f"{name}, line {error.lineno}: it is not JSON ({said}, column {error.colno})."
    )


def _is_begun(line: str) -> bool:
    return line.lstrip().startswith("{")


def _is_whole(line: str) -> bool:
    """Whether a line closes as many braces as it opens, or is broken in another way."""
    return line.rstrip().endswith("}")


def _nested(line: str) -> bool:
    """Whether a line is one object with a list `data`: a whole file on one line."""
    if '"data"' not in line:
        return False
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("data"), list)


def _skip(text: str, at: int) -> int:
    """The place of what comes after blanks."""
    found = _BLANK.match(text, at)
    return found.end() if found else at
