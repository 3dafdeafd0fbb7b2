"""What a person reads who starts the server at a terminal, on a real one."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from models.manifest import load_manifest
from server.inference.model_registry import Registry
from server.process.reception import Reception, models_told
from server.settings import GROUPS, Settings
from tests.terminal import PATIENCE_S, at_a_terminal


def test_a_person_is_told_where_it_is_and_what_it_can_do(default_model: Path) -> None:
    with at_a_terminal("server", "--port", 0, "--models", default_model) as terminal:
        text = terminal.read_until(lambda told: "score" in told and told.endswith("\n"))
        assert '{"' not in text
        assert "\rloading cloze-small-en (1 of 1), 0 s" in text.replace("\x1b[K", "")
        # What is left on the screen: each line that was overwritten is gone.
        left = [line.rpartition("\x1b[K")[2].strip("\r") for line in text.split("\n")]
        first, *models = [line for line in left if line]
        found = re.fullmatch(r"Cloze \S+ answers at (http://\S+) \(Ctrl\+C stops it\)", first)
        assert found, first
        assert httpx.get(f"{found[1]}/readyz").status_code == 200
        assert models[0].startswith("  cloze-small-en  ")
        assert "fill-mask, " in models[0]
        assert len(models) <= 3
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_S) == 0


def test_who_asks_for_json_gets_it_at_a_terminal_too(default_model: Path) -> None:
    with at_a_terminal(
        "server", "--port", 0, "--models", default_model, "--log-format", "json"
    ) as terminal:
        text = terminal.read_until(lambda told: "model ready" in told and told.endswith("\n"))
    assert [json.loads(line)["level"] for line in text.splitlines()]


def test_what_keeps_it_from_starting_is_one_sentence(tmp_path: Path) -> None:
    with at_a_terminal("server", "--port", 0, "--models", tmp_path) as terminal:
        text = terminal.read_until(lambda _told: False)
        assert terminal.process.wait(PATIENCE_S) == 3
    (line,) = [line for line in text.split("\x1b[K")[-1].splitlines() if line]
    assert re.fullmatch(rf"\S+ error model refused: {re.escape(str(tmp_path))} holds no .*", line)


def registry_of(folder: Path, *names: str) -> Registry:
    """Models that need not run to be told of."""
    pipelines = {name: SimpleNamespace(manifest=load_manifest(folder)) for name in names}
    registry = Registry()
    registry.serve(cast("dict[str, object]", pipelines), names[0], {})  # type: ignore[arg-type]
    return registry


def test_lines_are_as_wide_as_the_terminal_and_few(default_model: Path) -> None:
    one = models_told(registry_of(default_model, "cloze-small-en"), 60)
    assert len(one) > 1
    assert max(map(len, one)) <= 60
    assert " ".join(" ".join(one).split()).count("fill-mask") == 1
    many = models_told(registry_of(default_model, *(f"m{n}" for n in range(30))), 400)
    assert len(many) == 13
    assert many[-1] == "  and 18 more; GET /v1/models lists all"
    assert "unless another one is named" in many[0]


def test_a_model_of_any_name_cannot_move_the_cursor() -> None:
    stream = io.StringIO()
    Reception(stream, "127.0.0.1", 1).loading("a\x1b[2Jb\nc", 1, 2)
    assert "\x1b[2J" not in stream.getvalue()
    assert "\n" not in stream.getvalue()


def test_progress_goes_on_while_a_model_is_loaded() -> None:
    stream = io.StringIO()

    async def watch() -> None:
        reception = Reception(stream, "127.0.0.1", 1)
        reception.loading("large", 2, 3)
        ticking = asyncio.create_task(reception.tick())
        await asyncio.sleep(1.2)
        ticking.cancel()

    asyncio.run(watch())
    assert stream.getvalue().count("loading large (2 of 3), ") >= 3


@pytest.mark.parametrize(
    ("chosen", "is_terminal", "style"),
    [
        ({}, True, ("warning", "text")),
        ({}, False, ("info", "json")),
        ({"log_level": "debug"}, True, ("debug", "text")),
        ({"log_format": "json"}, True, ("info", "json")),
        ({"log_format": "text"}, False, ("info", "text")),
    ],
)
def test_the_log_is_for_who_reads_it(
    chosen: dict[str, str],
    is_terminal: bool,
    style: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    assert Settings(**chosen).log_style == style  # type: ignore[arg-type]


def test_each_option_is_in_one_group() -> None:
    grouped = [name for group in GROUPS for name in group.model_fields]
    assert sorted(grouped) == sorted(Settings.model_fields)
