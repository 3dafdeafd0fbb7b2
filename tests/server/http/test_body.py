"""Bodies that JSON readers differ on."""

from __future__ import annotations

import codecs
import contextlib
import json
import math
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidEncoding, InvalidJson, InvalidText
from server.http.body import MAX_DEPTH, parse_json
from tests.running_server import RunningServer

REFUSED = {
    b"": (400, "invalid_json"),
    b"{": (400, "invalid_json"),
    b'{"inputs": NaN}': (400, "invalid_json"),
    b'{"inputs": -Infinity}': (400, "invalid_json"),
    b'{"inputs": 1e999}': (400, "invalid_json"),
    b'{"inputs": 123456789012345678901234567890}': (400, "invalid_json"),
    b'{"inputs": "a"} trailing': (400, "invalid_json"),
    b'\xef\xbb\xbf\xef\xbb\xbf{"inputs": "a"}': (400, "invalid_json"),
    b'{"inputs": "raw \x01 control"}': (400, "invalid_json"),
    b'{"inputs": "\xff"}': (400, "invalid_encoding"),
    b'{"inputs": "\xed\xa0\x80"}': (400, "invalid_encoding"),
    b'{"inputs": "\\ud800"}': (422, "invalid_text"),
    b'{"inputs": "\\udc00 [MASK]"}': (422, "invalid_text"),
    b'{"inputs": 1, "x": "\\ud800"}': (422, "invalid_text"),
}


@pytest.mark.parametrize("body", REFUSED, ids=repr)
def test_a_bad_body_is_refused_with_its_own_code(server: RunningServer, body: bytes) -> None:
    response = server.post_raw("/fill-mask", body)
    assert (response.status_code, response.json()["code"]) == REFUSED[body]


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_depth_is_bounded_exactly() -> None:
    parse_json(nested(MAX_DEPTH))
    with pytest.raises(InvalidJson, match="32"):
        parse_json(nested(MAX_DEPTH + 1))
    with pytest.raises(InvalidJson):
        parse_json(nested(100_000))
    with pytest.raises(InvalidJson):
        parse_json(b'{"a":' * 40 + b"1" + b"}" * 40)


def test_many_brackets_without_depth_are_accepted() -> None:
    text = "[MASK]" * 1000
    assert parse_json(f'{{"inputs": "{text}"}}'.encode()) == {"inputs": text}
    assert parse_json(b"[" + b",".join([b"[]"] * 1000) + b"]") == [[]] * 1000


@pytest.mark.parametrize("number", ["1" * 20, "-" + "9" * 30, "[1, " + "2" * 25 + "]"])
def test_integers_beyond_64_bits_are_refused(number: str) -> None:
    with pytest.raises(InvalidJson, match="64 bits"):
        parse_json(number.encode())


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"9223372036854775807", 2**63 - 1),
        (b'"12345678901234567890123 \\" 12345678901234567890123"', None),
        (b"0.12345678901234567890123", 0.12345678901234567890123),
        (b"12345678901234567890123.5", None),
    ],
)
def test_long_runs_of_digits_elsewhere_are_accepted(raw: bytes, value: object) -> None:
    parsed = parse_json(raw)
    assert value is None or parsed == value


@given(st.lists(st.sampled_from(["7" * 19, "7" * 20, "7" * 40, *".eE+-, []"]), max_size=7))
def test_integers_beyond_64_bits_are_told_from_other_numbers(parts: list[str]) -> None:
    text = "[" + "".join(parts) + "]"
    raw = text.encode()
    try:
        value = json.loads(text, parse_int=int)
    except ValueError:
        with pytest.raises(InvalidJson):
            parse_json(raw)
        return
    except RecursionError:
        return
    if any(isinstance(one, int) and len(str(abs(one))) > 19 for one in flat(value)):
        with pytest.raises(InvalidJson, match="64 bits"):
            parse_json(raw)
    elif not any(isinstance(one, float) and math.isinf(one) for one in flat(value)):
        assert parse_json(raw) == value


def flat(value: object) -> Iterator[object]:
    """What is in lists of lists."""
    if isinstance(value, list):
        for one in value:
            yield from flat(one)
    else:
        yield value


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join([b"-0." + b"3" * 25] * 60_000) + b"]",
        b"[" + b"7" * 19 + b",1" + b" " * 1_800_000 + b"1e" + b"0" * 21 + b"1]",
        b"[" + b",".join([b"1e" + b"0" * 398 + b"1"] * 4700) + b"]",
    ],
    ids=["fractions", "blanks", "exponents"],
)
def test_others_run_while_long_numbers_are_looked_at(body: bytes) -> None:
    """The interpreter's lock is never held for long, however long the whole takes."""
    assert len(body) < 2_000_000
    before, longest, done = sys.getswitchinterval(), 0.0, threading.Event()
    sys.setswitchinterval(0.0005)  # as the server does

    def parse() -> None:
        with contextlib.suppress(InvalidJson):
            parse_json(body)
        done.set()

    worst = math.inf
    try:
        for _ in range(3):  # other programs only ever add to it
            thread, longest, last = threading.Thread(target=parse), 0.0, time.perf_counter()
            done.clear()
            thread.start()
            while not done.is_set():
                now = time.perf_counter()
                longest, last = max(longest, now - last), now
            thread.join()
            worst = min(worst, longest)
    finally:
        sys.setswitchinterval(before)
    assert worst < 0.015


def test_nul_and_escaped_control_characters_are_text() -> None:
    assert parse_json(b'"a\\u0000\\u001fb"') == "a\x00\x1fb"


def test_refusals_do_not_quote_the_body() -> None:
    for raw in (b'{"secret": nope}', b'"secret \xff"', b'"secret \\ud800"'):
        with pytest.raises((InvalidJson, InvalidEncoding, InvalidText)) as caught:
            parse_json(raw)
        assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        nested(100_000),
        b"[" + b"[],[" * 400_000 + b"]]",
        b'{"inputs": [' + b"0," * 900_000 + b"0]}",
        b"{" + b",".join(b'"%d":0' % n for n in range(150_000)) + b"}",
        b'{"inputs": "[MASK]", "parameters": {'
        + b",".join(b'"%d":0' % n for n in range(150_000))
        + b"}}",
        b'{"inputs": [' + b'"[MASK]",' * 199_999 + b'"[MASK]"]}',
        b'{"inputs": "' + b"a [MASK] " * 200_000 + b'"}',
    ],
    ids=["deep", "wide", "wrong types", "fields", "nested fields", "many texts", "long text"],
)
def test_the_worst_bodies_are_refused_quickly(server: RunningServer, body: bytes) -> None:
    assert len(body) < 2_000_000
    started = time.monotonic()
    response = server.post_raw("/fill-mask", body)
    assert 400 <= response.status_code < 500
    assert len(response.content) <= 4096
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("body", [b'{"inputs": "a"}', b" [1]", b'"\xef\xbb\xbf"', b"{}"])
def test_a_byte_order_mark_before_json_is_passed_over(body: bytes) -> None:
    assert parse_json(codecs.BOM_UTF8 + body) == parse_json(body)


def test_a_byte_order_mark_alone_is_no_json() -> None:
    for marks in (1, 2, 3000):
        with pytest.raises(InvalidJson):
            parse_json(codecs.BOM_UTF8 * marks)
