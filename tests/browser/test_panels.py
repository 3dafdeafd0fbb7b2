"""Each panel of the page, used by mouse and by keyboard: it shows what the server answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.browser.conftest import WANTING, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

expect = pytest.importorskip("playwright.sync_api", reason=WANTING).expect
pytestmark = pytest.mark.browser


def texts(bars: Locator) -> list[str]:
    """What the bars of a list are named."""
    bars.locator("li").first.wait_for()
    return [str(text) for text in bars.locator(".bar-name").all_inner_texts()]


def candidates(page: Page, number: int) -> Locator:
    return page.get_by_role("list", name=f"Candidates for blank {number}")


def words(answer: list[dict[str, Any]]) -> list[str]:
    return [str(one["token_str"]) for one in answer]


def expect_words(bars: Locator, expected: list[str]) -> None:
    """Waits until the bars are those, in this order."""
    expect(bars.locator(".bar-name")).to_have_text(expected)


def test_a_candidate_that_is_clicked_fills_its_blank_and_changes_the_others(
    visitor: Visitor,
) -> None:
    page = visitor.open()
    first = texts(candidates(page, 1))[0]
    candidates(page, 1).get_by_role("button", name=first).click()
    page.get_by_role("button", name=f"Blank 1, filled with {first}: empty it").wait_for()
    asked = {
        "inputs": f"The {first} and the queen lived in a [MASK].",
        "parameters": {"top_k": 7},
    }
    expect_words(candidates(page, 2), words(visitor.server.post("/fill-mask", asked).json()))
    pressed = candidates(page, 1).locator('[aria-pressed="true"]')
    assert pressed.locator(".bar-name").inner_text() == first


def test_words_are_hidden_and_filled_by_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.open("#fill?text=" + quote("Paris is the capital of France."))
    page.get_by_role("button", name="capital: hide it").focus()
    page.keyboard.press("Enter")
    texts(candidates(page, 1))
    answer = visitor.server.post(
        "/fill-mask",
        {"inputs": "Paris is the [MASK] of France.", "parameters": {"top_k": 7}},
    ).json()
    expect_words(candidates(page, 1), words(answer))
    for _ in range(20):
        if page.evaluate("document.activeElement.classList.contains('bar')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Blank 1, filled with capital: empty it").wait_for()


def test_the_best_fillings_together_are_the_servers(visitor: Visitor) -> None:
    page = visitor.open("#fill?text=" + quote("[Paris] is the capital of [France]."))
    asked = {
        "inputs": "[MASK] is the capital of [MASK].",
        "parameters": {"joint": True, "top_k": 4},
    }
    expected = visitor.server.post("/fill-mask", asked).json()
    together = page.get_by_role("list", name="Fillings of all blanks")
    expect_words(together, [" … ".join(one["token_strs"]) for one in expected])
    together.get_by_role("button").first.click()
    city, country = expected[0]["token_strs"]
    page.get_by_role("button", name=f"Blank 1, filled with {city}: empty it").wait_for()
    page.get_by_role("button", name=f"Blank 2, filled with {country}: empty it").wait_for()


def test_only_ones_own_words_are_compared(visitor: Visitor) -> None:
    page = visitor.open("#fill?text=" + quote("He drank a cup of [tea]."))
    texts(candidates(page, 1))
    page.get_by_label("Compare your own words").fill("coffee, gatekeepers,tea")
    asked = {
        "inputs": "He drank a cup of [MASK].",
        "parameters": {"targets": ["coffee", "gatekeepers", "tea"]},
    }
    expect_words(candidates(page, 1), words(visitor.server.post("/fill-mask", asked).json()))


def test_what_is_typed_is_in_the_address_and_can_be_shared(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_label("Your text").fill("Bees make [honey] & sell it 50 % off #1.")
    expected = texts(candidates(page, 1))
    page.wait_for_url(re.compile("honey"))
    other = visitor.open(url=page.url)
    expect_words(candidates(other, 1), expected)
    assert (
        other.get_by_label("Your text").input_value()
        == page.get_by_label("Your text").input_value()
    )


def test_a_pair_is_judged_as_the_server_does(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_role("link", name="Next sentence").focus()
    page.keyboard.press("Enter")
    page.get_by_label("What may come next").fill("Honey is made by bees.")
    asked = {"inputs": ["The train was late.", "Honey is made by bees."]}
    probability = visitor.server.post("/nsp", asked).json()["probability"]
    bars = page.get_by_role("list", name="Whether the second sentence follows")
    bars.get_by_text(f"{100 * probability:.1f} %").wait_for()


def test_every_sentence_of_a_story_is_tried_after_every_other(visitor: Visitor) -> None:
    story = ["He put the kettle on.", "Soon the water was boiling.", "The bank was robbed."]
    page = visitor.open("#following?story=" + quote("\n".join(story)))
    cells = page.get_by_role("table").locator("td.cell")
    page.get_by_role("table").wait_for()
    pairs = [[a, b] for a in story for b in story if a != b]
    answers = visitor.server.post("/nsp", {"inputs": pairs}).json()
    shown = [int(text) for text in cells.all_inner_texts()]
    assert shown == pytest.approx([100 * one["probability"] for one in answers], abs=1)
    order = [text.split("\n")[-1] for text in page.locator(".order li").all_inner_texts()]
    assert sorted(order) == sorted(story)
    page.get_by_role("button", name="Shuffle").click()
    page.wait_for_url(re.compile("seed=2"))
    assert sorted(page.get_by_label("One sentence a line").input_value().split("\n")) == sorted(
        story
    )


def test_sentences_are_compared_mapped_and_searched(visitor: Visitor) -> None:
    lines = ["A river runs.", "A stream flows.", "Bread and butter."]
    page = visitor.open(
        "#sentences?" + "&".join([f"texts={quote(chr(10).join(lines))}", "query=water"])
    )
    page.get_by_role("table").wait_for()
    vectors = visitor.server.post("/embed", {"inputs": lines}).json()
    expected = [sum(x * y for x, y in zip(a, b, strict=True)) for a in vectors for b in vectors]
    shown = [
        float(text.replace("\N{MINUS SIGN}", "-"))
        for text in page.locator("td.cell").all_inner_texts()
    ]
    assert shown == pytest.approx(expected, abs=0.01)
    assert page.get_by_role("img", name="Map of the 3 lines").locator("circle").count() == 3
    asked = {"inputs": {"source_sentence": "water", "sentences": lines}}
    alike = visitor.server.post("/similarity", asked).json()
    nearest = page.get_by_role("list", name="By their vectors")
    expect_words(nearest, sorted(lines, key=lambda line: -alike[lines.index(line)]))
    assert len(texts(page.get_by_role("list", name="Read beside the question"))) == 3


def test_words_are_marked_and_labelled(visitor: Visitor) -> None:
    page = visitor.open("#labels")
    page.locator("mark", has_text="Clara").first.wait_for()
    texts(page.get_by_role("list", name="Labels", exact=True))
    page.get_by_label("Labels", exact=True).last.fill("film, food")
    own = page.get_by_role("list", name="Your labels")
    own.locator("li").nth(2).wait_for(state="detached")
    assert sorted(texts(own)) == ["film", "food"]
    asked = {"question": "Where does Clara live?", "context": "Clara lives in Berkeley."}
    page.get_by_label("A text that holds the answer").fill(asked["context"])
    answer = visitor.server.post("/question-answering", {"inputs": asked}).json()
    page.locator("mark", has_text=answer["answer"]).last.wait_for()


def test_surprise_is_told_in_numbers_too(visitor: Visitor) -> None:
    page = visitor.open("#labels")
    page.get_by_label("A sentence").fill("The cat sat on the mat.")
    page.locator("summary", has_text="As numbers").press("Enter")
    row = page.get_by_role("row", name=re.compile("cat"))
    row.wait_for()
    answer = visitor.server.post("/score", {"inputs": "The cat sat on the mat."}).json()
    bits = -answer["tokens"][1]["log_probability"] / 0.6931
    assert float(row.get_by_role("cell").last.inner_text()) == pytest.approx(bits, abs=0.06)


def test_pieces_and_parameters_are_the_models(visitor: Visitor) -> None:
    page = visitor.open("#adds?text=" + quote("Jellyfishes swim.") + "&pair=Slowly.")
    asked = {"inputs": {"text": "Jellyfishes swim.", "text_pair": "Slowly."}}
    (tokens,) = visitor.server.post("/tokenize", asked).json()
    rows = page.locator("table.pieces tbody tr")
    rows.first.wait_for()
    assert [re.split(r"\s+", row.strip()) for row in rows.all_inner_texts()] == [
        [one["token"], str(one["id"]), str(one["token_type_id"]), str(one["position"])]
        for one in tokens
    ]
    info = visitor.server.get("/info").json()
    page.get_by_role("heading", name=f"{info['parameters']['total']:,} parameters").wait_for()
    page.get_by_text(f"{info['parameters']['textbook']:,}").wait_for()


def written(page: Page) -> list[list[float]]:
    """The lines of numbers that are shown of one piece."""
    lines = page.locator("table.numbers tr").all()
    return [
        [
            float(text.replace("\N{MINUS SIGN}", "-"))
            for text in line.locator("td").all_inner_texts()
        ]
        for line in lines
    ]


def test_the_numbers_of_a_piece_add_up(visitor: Visitor) -> None:
    page = visitor.open("#adds?text=" + quote("A river runs."))
    asked = {"inputs": "A river runs.", "embeddings": 8}
    (tokens,) = visitor.server.post("/tokenize", asked).json()
    page.locator("table.numbers tr").first.wait_for()
    assert_adds_up(page, tokens[2])
    page.get_by_role("button", name="runs: show its numbers").press("Enter")
    page.locator("table.numbers caption", has_text="runs").wait_for()
    assert_adds_up(page, tokens[3])
    page.wait_for_url(re.compile("piece=3"))
    other = visitor.open(url=page.url)
    other.locator("table.numbers caption", has_text="runs").wait_for()


def assert_adds_up(page: Page, token: dict[str, Any]) -> None:
    lines = written(page)
    parts = [token["embeddings"][name] for name in ("token", "segment", "position")]
    for shown, numbers in zip(lines[:3], parts, strict=True):
        assert shown == pytest.approx(numbers, abs=0.0006)
    assert lines[3] == pytest.approx([sum(three) for three in zip(*parts, strict=True)], abs=0.0006)


def spelled(marks: Locator) -> list[str]:
    """The marked words, once those that were drawn are spelled."""
    expect(marks.filter(has_text="…")).to_have_count(0)
    return [str(text) for text in marks.all_inner_texts()]


def test_a_seed_decides_what_is_masked(visitor: Visitor) -> None:
    story = "The old man walked slowly along the river and thought about the war " * 3
    page = visitor.open("#adds?text=" + quote(story))
    marks = page.locator("mark")
    expect(marks).to_have_count(round(0.15 * 39))
    first = spelled(marks)
    page.get_by_role("button", name="Draw again").click()
    page.wait_for_url(re.compile("seed=8"))
    assert spelled(marks) != first
    page.get_by_label("Seed").fill("7")
    page.wait_for_url(re.compile(r"^(?!.*seed=)"))
    assert spelled(marks) == first


def test_the_live_panel_sees_requests_and_can_be_paused(visitor: Visitor) -> None:
    page = visitor.open("#live")
    requests = page.locator("figure", has_text="Requests")
    requests.locator("path.line[d]:not([d=''])").wait_for(state="attached")
    for _ in range(20):
        visitor.server.post("/embed", {"inputs": "A river runs."})
    expect(requests.locator(".figure")).to_have_text(re.compile(r"^\s*(0\.)?[1-9]"))
    button = page.get_by_role("button", name="Pause")
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"


SPARED = {
    "padding_tokens": "Padding spared",
    "last_layer_rows": "Rows spared",
    "vocabulary_rows": "Logits spared",
}


def watch_metrics(page: Page, change: Callable[[str], str]) -> None:
    """The page is shown the server's metrics as `change` makes them."""

    def answer(route: Route) -> None:
        real = route.fetch()
        route.fulfill(response=real, body=change(real.text()))

    page.route("**/metrics", answer)


def test_what_a_server_does_not_count_is_said(visitor: Visitor) -> None:
    page = visitor.open("#fill")
    watch_metrics(page, lambda text: re.sub(r"(?m)^cloze_spared_.*\n", "", text))
    page.get_by_role("link", name="Live").click()
    for name in SPARED.values():
        chart = page.locator("figure", has_text=name)
        chart.get_by_text("This server does not count it.").wait_for()
        assert chart.locator("svg").count() == 0


def test_what_a_server_spares_is_shown(visitor: Visitor) -> None:
    page = visitor.open("#fill")
    asked = iter(range(1, 10_000))

    def counted(text: str) -> str:
        rest = re.sub(r"(?m)^cloze_(spared|tokens_total).*\n", "", text)
        number = 100 * next(asked)
        spared = "".join(f'cloze_spared_{name}_total{{model="a"}} {number}\n' for name in SPARED)
        return f'{rest}{spared}cloze_tokens_total{{model="a"}} {3 * number}\n'

    watch_metrics(page, counted)
    page.get_by_role("link", name="Live").click()
    figures = {
        name: page.locator("figure", has_text=name).locator(".figure") for name in SPARED.values()
    }
    expect(figures["Rows spared"]).to_have_text(re.compile(r"^\s*33 %"))
    expect(figures["Padding spared"]).to_have_text(re.compile(r"^\s*25 %"))
    expect(figures[SPARED["vocabulary_rows"]]).to_have_text(
        re.compile(r"^\s*[1-9]\d* rows a second")
    )
