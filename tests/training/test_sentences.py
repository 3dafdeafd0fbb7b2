"""Where sentences end."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["He came.", "She left!", "Why?", "Nobody knows …", "It is so."],
        ["Dr. Smith met Mrs. Jones on Mt. Etna.", "They spoke."],
        ["J. R. R. Tolkien wrote it.", "We read it."],
        ["He lives in the U.S. Army base.", "It rains."],
        ["He lives in the U.S.", "The end is near."],
        ["It costs 3.50 in all.", "See www.example.com for more."],
        ["Fig. 3 shows it, as does p. 12 of vol. 2.", "On Jan. 5 it rained."],
        ["He said no.", "No. 5 is alive."],
        ["“He is,” I said.", "“Why?” he asked.", "“Because.”", "(It was so.)", "[And more.]"],
        ['"What now?" she cried.', "'Nothing.'"],
        ["“He is mad.”", "“He is not.”"],
        ["It ended at 5 p.m. on Monday.", "Then they slept."],
        ["This is between you and I.", "Mary laughed."],
        ["No stop at the end"],
        ["Wait ... what?", "Élan is all.", "Ça va."],
    ],
)
def test_sentences_joined_by_a_space_are_split_again(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


def test_speeches_without_space_between_them_are_split() -> None:
    assert split_sentences("“Go.”“No.” He went.") == ["“Go.”", "“No.”", "He went."]


def test_chinese_full_stops_need_no_space() -> None:
    text = "我来了。你呢？好！」他说"  # noqa: RUF001
    assert split_sentences(text) == [text[:4], text[4:7], text[7:10], text[10:]]


def test_blank_text_has_no_sentences() -> None:
    assert split_sentences(" \t ") == []


@settings(deadline=None)  # milliseconds say nothing on a busy machine
@given(st.text(alphabet="aB. !?…”“(U.S)3。\u00a0", max_size=60))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in sentences)


@pytest.mark.parametrize("unit", [".", "a", " ", "“", "A.", "” ", ". “"])
def test_no_text_takes_long(unit: str) -> None:
    started = time.perf_counter()
    split_sentences("He said. " + unit * 100_000 + "x")
    assert time.perf_counter() - started < 10  # seconds; something quadratic takes minutes
