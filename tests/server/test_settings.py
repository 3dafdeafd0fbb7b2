"""Settings from flags and environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.settings import InferenceOptions, Limits, Settings, read_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CLOZE_{name.upper()}", raising=False)


def test_defaults_serve_this_machine_on_8080() -> None:
    settings = read_settings([])
    assert (settings.host, settings.port, settings.models) == ("127.0.0.1", 8080, Path("models"))


def test_device_is_one_of_three() -> None:
    assert read_settings([]).device == "auto"
    assert read_settings(["--device", "cuda"]).device == "cuda"
    with pytest.raises(SystemExit) as end:
        read_settings(["--device", "tpu"])
    assert end.value.code == 2


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOZE_PORT", "1111")
    assert read_settings([]).port == 1111
    assert read_settings(["--port", "2222"]).port == 2222


def test_switches_have_a_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not read_settings(["--no-docs"]).docs
    monkeypatch.setenv("CLOZE_DOCS", "false")
    assert read_settings(["--docs"]).docs


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOZE_CORS_ORIGINS", "https://a.example, https://b.example")
    assert read_settings([]).cors_origins == ("https://a.example", "https://b.example")


def test_aliases_are_given_several_times_or_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = read_settings(["--alias", "ada=minilm", "--alias", "org/e5-base.v2=e5"])
    assert one.aliases == {"ada": "minilm", "org/e5-base.v2": "e5"}
    monkeypatch.setenv("CLOZE_ALIAS", "a:1=b, c/d/e=f")
    assert read_settings([]).aliases == {"a:1": "b", "c/d/e": "f"}


@pytest.mark.parametrize(
    "wrong", ["ada", "=minilm", "ada=", "/ada=m", "a//b=m", "a/=m", "a b=m", "a=b/c", "é=m"]
)
def test_what_is_no_alias_is_named(capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    with pytest.raises(SystemExit) as end:
        read_settings([f"--alias={wrong}"])
    assert end.value.code == 2
    assert "ALIAS=MODEL" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["bert", "/bert/", "//bert", "/a b"])
def test_a_root_path_begins_with_a_slash_and_ends_with_none(wrong: str) -> None:
    assert read_settings(["--root-path", "/tools/bert-1.0"]).root_path == "/tools/bert-1.0"
    with pytest.raises(SystemExit):
        read_settings(["--root-path", wrong])


def test_help_names_each_option_its_default_and_its_environment_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        read_settings(["--help"])
    assert end.value.code == 0
    text = "".join(capsys.readouterr().out.split())  # wrapped at spaces and at hyphens
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert f"[CLOZE_{name.upper()}]" in text
        assert "".join(str(field.description).split()) in text
        if field.default not in (None, ()):
            assert f"default{field.default}" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--port", "many"], "--port (CLOZE_PORT)"),
        (["--max-inputs", "0"], "--max-inputs (CLOZE_MAX_INPUTS)"),
        (["--default-timeout-s", "500"], "default_timeout_s must not exceed max_timeout_s"),
        (
            ["--max-body-bytes", "64000001"],
            "max_body_bytes must not exceed pending_body_bytes",
        ),
        (
            ["--max-answer-bytes", "128000001"],
            "max_answer_bytes must not exceed pending_answer_bytes",
        ),
        (["--prot", "80"], "--prot"),
    ],
)
def test_a_mistake_is_named_and_ends_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    with pytest.raises(SystemExit) as end:
        read_settings(arguments)
    assert end.value.code == 2
    assert named in capsys.readouterr().err


def test_limits_and_options_of_inference_are_part_of_the_settings() -> None:
    settings = read_settings(["--queue-tokens", "7", "--batch-tokens", "9"])
    limits, options = Limits(queue_tokens=7), InferenceOptions(batch_tokens=9)
    for part in (limits, options):
        assert isinstance(settings, type(part))
        own = settings.model_dump(include=set(type(part).model_fields))
        assert own == part.model_dump()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(read_settings([]), "port", 1)  # noqa: B010 (mypy knows that it is read-only)
