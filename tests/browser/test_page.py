"""The page as a whole: what it says when things go wrong, calls to copy, models, keys, proxies."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import PANELS, TITLES, Visitor
from tests.conftest import Serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response, Route

pytestmark = pytest.mark.browser


def test_a_refusal_is_shown_in_the_servers_words(visitor: Visitor) -> None:
    visitor.expected.append("status of 422")
    page = visitor.open()
    long = "word " * 600 + "[MASK]"
    page.get_by_label("Your text").fill(long)
    sentence = visitor.server.post("/fill-mask", {"inputs": long}).json()["error"]
    page.get_by_role("alert").get_by_text(sentence).wait_for()


def test_a_server_that_is_gone_is_told_in_a_sentence(visitor: Visitor) -> None:
    visitor.expected.append("ERR_FAILED")
    page = visitor.open()
    page.get_by_role("list", name="Candidates for blank 1").wait_for()
    page.route("**/fill-mask", lambda route: route.abort())
    page.get_by_label("Your text").fill("A [word].")
    page.get_by_role("alert").get_by_text("The server cannot be reached.").wait_for()


def test_a_slow_answer_shows_that_it_is_under_way(visitor: Visitor) -> None:
    def slowly(route: Route) -> None:
        time.sleep(1.5)
        route.continue_()

    page = visitor.open()
    page.get_by_role("list", name="Candidates for blank 1").wait_for()
    page.route("**/fill-mask", slowly)
    page.get_by_label("Your text").fill("A [word].")
    page.get_by_role("status").get_by_text("The model is reading…").wait_for()
    page.get_by_role("list", name="Candidates for blank 2").wait_for(state="detached")
    page.get_by_text("The model is reading…").wait_for(state="detached")


def opened_calls(visitor: Visitor) -> Page:
    page = visitor.open("#following?first=It%27s%20late.&second=%22Go%20home%22%2C%20she%20said.")
    page.get_by_role("list", name="Whether the second sentence follows").wait_for()
    page.locator("summary", has_text="The same from a program").press("Enter")
    return page


def test_the_command_that_is_copied_does_the_same(visitor: Visitor) -> None:
    page = opened_calls(visitor)
    page.get_by_role("button", name="Copy the command").click()
    page.get_by_text("Copied").wait_for()
    command = page.evaluate("navigator.clipboard.readText()").split("\n\n")[0]
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    pair = ["It's late.", '"Go home", she said.']
    expected = visitor.server.post("/nsp", {"inputs": pair}).json()
    assert json.loads(done.stdout)["probability"] == pytest.approx(
        expected["probability"], abs=0.01
    )


def test_the_python_code_that_is_copied_does_the_same(visitor: Visitor) -> None:
    page = opened_calls(visitor)
    page.get_by_role("button", name="Copy the Python code").press("Enter")
    page.get_by_text("Copied").wait_for()
    code = page.evaluate("navigator.clipboard.readText()").split("\n\nimport")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'is_next'" in done.stdout


def shown_calls(page: Page, language: str) -> str:
    """The calls of a panel, opened."""
    page.locator("summary", has_text="The same from a program").click()
    return str(page.get_by_label(f"the {language}").locator("code").inner_text())


def asked(url: str, body: str | None) -> str:
    """One call, to find it again."""
    return f"{url} {json.dumps(json.loads(body), sort_keys=True) if body else ''}"


@pytest.mark.parametrize("panel", [name for name in PANELS if name != "live"])
def test_every_call_of_a_panel_answers_in_a_shell_what_the_page_was_answered(
    visitor: Visitor, panel: str
) -> None:
    answers: dict[str, Response] = {}
    page = visitor.open("#live")
    page.on(
        "response",
        lambda answer: answers.setdefault(
            asked(answer.url, answer.request.post_data), answer
        ),
    )  # fmt: skip
    page.get_by_role("link", name=TITLES[panel]).click()
    page.locator(PANELS[panel]).first.wait_for(state="attached")
    page.wait_for_load_state("networkidle")
    commands = shown_calls(page, "command").split("\n\n")
    for command in commands:
        words = shlex.split(command.replace("\\\n", ""))
        body = words[words.index("-d") + 1] if "-d" in words else None
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == answers[asked(words[2], body)].json()


@pytest.mark.parametrize("panel", PANELS)
def test_every_call_of_a_panel_answers_in_python(visitor: Visitor, panel: str) -> None:
    page = visitor.open(f"#{panel}")
    page.locator(PANELS[panel]).first.wait_for(state="attached")
    page.wait_for_load_state("networkidle")
    code = shown_calls(page, "Python code").replace(
        "print(answer.", "answer.raise_for_status()\nprint(answer."
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) >= code.count("print(") > 0


@pytest.mark.parametrize("panel", [name for name in PANELS if name != "live"])
def test_all_that_is_entered_in_a_panel_is_in_its_address(visitor: Visitor, panel: str) -> None:
    visitor.expected.append("status of 422")  # not all of it can be answered
    page = visitor.open(f"#{panel}")
    page.locator(PANELS[panel]).first.wait_for(state="attached")
    fields = page.locator("main input, main textarea")
    for number, field in enumerate(fields.all()):
        is_number = field.get_attribute("type") == "number"
        field.fill(f"1{number}" if is_number else f"Café & tea = {number} #[cups]; 50 %?")
    entered = [field.input_value() for field in fields.all()]
    page.wait_for_function(
        "count => new URLSearchParams(location.hash.split('?')[1]).size >= count", arg=len(entered)
    )
    other = visitor.open(url=page.url)
    other.locator("main input, main textarea").nth(
        len(entered) - 1
    ).wait_for()  # some need an answer
    assert [field.input_value() for field in other.locator("main input, main textarea").all()] == (
        entered
    )


def test_another_model_can_be_chosen_and_is_in_the_address(visitor: Visitor) -> None:
    page = visitor.open()
    with page.expect_request("**/models/reviews/fill-mask"):
        page.get_by_label("Model").select_option("reviews")
    page.wait_for_url(re.compile("model=reviews"))
    other = visitor.open(url=page.url)
    assert other.get_by_label("Model").input_value() == "reviews"


def test_only_panels_are_shown_that_some_model_can_fill(
    browser: Browser, serve: Serve, classifiers: Path
) -> None:
    visitor = Visitor(browser, serve(classifiers / "models" / "topics"))
    page = visitor.open("#fill")
    page.get_by_role("heading", name="Which sentences mean alike?").wait_for()
    assert page.get_by_role("navigation").get_by_role("link").all_inner_texts() == [
        "Sentences",
        "Words and labels",
        "What BERT adds up",
        "Live",
    ]
    assert page.locator("select").count() == 0
    visitor.leave()


def test_back_leads_to_the_panel_before_as_it_was_left(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_label("Your text").fill("A [word].")
    page.wait_for_url(re.compile("word"))
    page.get_by_role("link", name="Sentences").click()
    page.get_by_role("heading", name="Which sentences mean alike?").wait_for()
    assert page.evaluate("document.activeElement.id") == "content"
    page.go_back()
    page.get_by_label("Your text").wait_for()
    assert page.get_by_label("Your text").input_value() == "A [word]."


def test_a_key_is_asked_for_where_the_server_asks(
    browser: Browser, serve: Serve, default_model: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.page]\nsha256 = "{sha256(b"cloze-right").hexdigest()}"\n')
    server = serve(default_model, api_key_file=keys, open_docs=True)
    visitor = Visitor(browser, server)
    visitor.expected.append("status of 401")
    page = visitor.open("#following")
    page.get_by_label("API key").fill("cloze-wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("The API key is not known here.").wait_for()
    page.get_by_label("API key").fill("cloze-right")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("list", name="Whether the second sentence follows").wait_for()
    page.reload()
    page.get_by_role("list", name="Whether the second sentence follows").wait_for()
    page.locator("summary", has_text="The same from a program").click()
    assert "$CLOZE_KEY" in page.locator("pre").first.inner_text()
    assert "cloze-right" not in page.content()
    visitor.leave()


def test_the_page_works_behind_a_proxy_that_strips_its_prefix(
    browser: Browser, serve: Serve, default_model: Path
) -> None:
    server = serve(default_model, root_path="/tools/bert")
    visitor = Visitor(browser, server)
    context = browser.new_context()
    page = context.new_page()

    def strip(route: Route) -> None:
        route.continue_(url=route.request.url.replace("/tools/bert", "", 1))

    page.route("**/tools/bert**", strip)
    page.route("**/tools/bert/**", strip)
    page.goto(f"{server.url}/tools/bert#fill?text=A%20%5Bword%5D.")
    page.get_by_role("list", name="Candidates for blank 1").locator("li").first.wait_for()
    assert page.url.startswith(f"{server.url}/tools/bert#fill")
    page.locator("summary", has_text="The same from a program").click()
    assert f"{server.url}/tools/bert/fill-mask" in page.locator("pre").first.inner_text()
    context.close()
    visitor.leave()
