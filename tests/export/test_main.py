"""The command line as its users meet it: one sentence, exit code 2, nothing written."""

import ctypes
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from export.__main__ import main
from models.manifest import load_manifest
from models.tokenizer_spec import TokenizerSpec

ROOT = Path(__file__).parents[2]
Edit = Callable[..., None]
Save = Callable[..., Path]


def export(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in this process: its exit code, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([*map(str, arguments)])
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def export_apart(
    *arguments: str | Path, preexec_fn: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command as the shell starts it, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "export", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=preexec_fn,
    )


def without_privileges() -> None:
    """Let the permissions of files hold for root too, who may otherwise read and write all."""
    drop_from_bounding_set = 24  # linux/prctl.h
    for capability in (1, 2):  # linux/capability.h: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)


def with_small_files() -> None:
    """Let no file grow beyond 10,000 bytes, as on a disk that is nearly full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


def assert_told(child: subprocess.CompletedProcess[str], start: str) -> None:
    """A failure found while writing: what was under way, then one sentence that begins so."""
    assert child.returncode == 2, child.stderr
    assert child.stdout == ""
    assert child.stderr.splitlines()[-1].startswith(start)
    assert "Traceback" not in child.stderr


def assert_refused(child: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert child.returncode == 2, child.stderr
    assert child.stdout == ""
    assert child.stderr.startswith("export: ")
    assert child.stderr.count("\n") == 1
    assert sentence in child.stderr


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A place for a model folder, alone in its own folder so that leftovers show."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "tiny"


def test_another_family_writes_nothing(bert: Path, out: Path, edit: Edit) -> None:
    edit(bert / "config.json", model_type="t5")
    assert_refused(export(bert, out), "This is a t5 checkpoint")
    assert list(out.parent.iterdir()) == []


def test_truncated_weights_write_nothing(bert: Path, out: Path) -> None:
    weights = bert / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    assert_refused(export(bert, out), "model.safetensors is damaged or was cut short")
    assert list(out.parent.iterdir()) == []


def test_tokenizer_of_another_model_writes_nothing(bert: Path, out: Path) -> None:
    with (bert / "vocab.txt").open("a") as file:
        file.writelines(f"more{index}\n" for index in range(20))
    assert_refused(export(bert, out), "The tokenizer does not match the weights")
    assert list(out.parent.iterdir()) == []


def test_missing_checkpoint_is_one_sentence(tmp_path: Path, out: Path) -> None:
    assert_refused(export(tmp_path / "none", out), "neither a checkpoint folder nor the id")
    assert list(out.parent.iterdir()) == []


def test_existing_folder_is_not_touched(bert: Path, out: Path) -> None:
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    assert_refused(export(bert, out), "exists already; --force replaces it")
    assert_refused(export(bert, out, "--force"), "is not a model folder, so --force")
    assert (out / "mine.txt").read_text() == "precious"
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_link_is_not_replaced(bert: Path, out: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    out.symlink_to(elsewhere)
    assert_refused(export(bert, out), "exists already")
    elsewhere.mkdir()
    (elsewhere / "manifest.json").write_text("{}")
    assert_refused(export(bert, out, "--force"), "is not a model folder")
    assert out.is_symlink()


def test_name_that_cannot_be_served_is_refused(bert: Path, out: Path) -> None:
    assert_refused(export(bert, out.with_name("My Bert")), "cannot be a model's name")
    assert_refused(export(bert, out, "--name", "../x"), "cannot be a model's name")


def test_unknown_precision_is_a_usage_error(bert: Path, out: Path) -> None:
    child = export(bert, out, "--precision", "int3")
    assert child.returncode == 2
    assert "invalid choice: 'int3'" in child.stderr


def test_folder_that_cannot_be_written_is_one_sentence(bert: Path, out: Path) -> None:
    out.parent.rmdir()
    out.parent.write_text("a file where a folder should be")
    assert_refused(export(bert, out), "cannot be written")


def test_export_prints_parameters_beside_the_estimate(bert: Path, out: Path) -> None:
    child = export_apart(bert, out, "--license", "mit", "--source", "our own")
    assert child.returncode == 0, child.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    found = tuple(manifest[field] for field in ("name", "license", "source"))
    assert found == ("tiny", "mit", "our own")
    assert "textbook V·H + L·12·H²" in child.stdout
    assert f"{manifest['parameters']['total']:,}" in child.stdout
    assert "parity" in child.stdout


def test_force_replaces_a_model_folder_only_when_the_new_one_is_done(
    bert: Path, out: Path, edit: Edit
) -> None:
    assert export(bert, out).returncode == 0
    before = (out / "manifest.json").read_text()
    edit(bert / "config.json", model_type="t5")
    assert_refused(export(bert, out, "--force"), "This is a t5 checkpoint")
    assert (out / "manifest.json").read_text() == before
    edit(bert / "config.json", model_type="bert")
    child = export(bert, out, "--force", "--name", "other")
    assert child.returncode == 0, child.stderr
    assert json.loads((out / "manifest.json").read_text())["name"] == "other"
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]


def test_missing_notes_are_named_before_anything_is_read(bert: Path, out: Path) -> None:
    notes = out.with_name("notes.md")
    child = export(bert, out, "--notes", notes)
    assert_refused(child, f"{notes} cannot be read: No such file or directory.")
    assert list(out.parent.iterdir()) == []


def test_weights_that_may_not_be_read_are_named(bert: Path, out: Path) -> None:
    weights = bert / "model.safetensors"
    weights.chmod(0)
    child = export_apart(bert, out, preexec_fn=without_privileges)
    assert_refused(child, f"{weights} cannot be read: Permission denied.")
    assert list(out.parent.iterdir()) == []


def test_folder_that_may_not_be_looked_into_is_named(bert: Path, out: Path) -> None:
    bert.chmod(0)
    child = export_apart(bert, out, preexec_fn=without_privileges)
    bert.chmod(0o755)
    assert_refused(child, f"{bert} cannot be read: Permission denied.")
    assert list(out.parent.iterdir()) == []


def test_file_in_the_place_of_a_folder_is_named(bert: Path, out: Path) -> None:
    out.parent.rmdir()
    out.parent.write_text("precious")
    assert_refused(export(bert, out), f"{out} cannot be written: File exists ({out.parent}).")
    assert out.parent.read_text() == "precious"


def test_folder_that_may_not_be_written_is_named(bert: Path, out: Path) -> None:
    out.parent.chmod(0o555)
    child = export_apart(bert, out, preexec_fn=without_privileges)
    assert_told(child, f"export: {out} cannot be written: Permission denied ({out.parent}/.tiny.")
    assert list(out.parent.iterdir()) == []


def test_disk_that_takes_no_more_leaves_nothing(bert: Path, out: Path) -> None:
    child = export_apart(bert, out, preexec_fn=with_small_files)
    assert_told(child, f"export: {out} cannot be written: File too large.")
    assert list(out.parent.iterdir()) == []


def test_disk_that_takes_no_more_leaves_the_old_folder(bert: Path, out: Path) -> None:
    assert export(bert, out).returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    child = export_apart(bert, out, "--force", preexec_fn=with_small_files)
    assert_told(child, f"export: {out} cannot be written: File too large.")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_license_may_be_spelt_as_it_was_before(bert: Path, out: Path) -> None:
    assert export(bert, out, "--licence", "mit").returncode == 0
    assert json.loads((out / "manifest.json").read_text())["license"] == "mit"
    assert "--licence" not in export("--help").stdout


def test_what_was_decided_about_capitals_is_told(bert: Path, out: Path) -> None:
    with (bert / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("Paris\n")
    child = export(bert, out)
    assert child.returncode == 0, child.stderr
    assert child.stderr.startswith("texts are not lower-cased: 1 of the ")
    assert "(--lowercase decides otherwise)" in child.stderr
    text = (out / "tokenizer.json").read_text(encoding="utf-8")
    assert json.loads(text)["normalizer"]["lowercase"] is False


def test_a_choice_about_capitals_is_followed_or_refused(bert: Path, out: Path) -> None:
    child = export(bert, out, "--no-lowercase")
    assert child.returncode == 0, child.stderr
    assert "lower-cased" not in child.stderr
    text = (out / "tokenizer.json").read_text(encoding="utf-8")
    assert json.loads(text)["normalizer"]["lowercase"] is False
    (bert / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    said = "--no-lowercase cannot be followed with this tokenizer: tokenizer_config.json sets"
    assert_refused(export(bert, out, "--no-lowercase", "--force"), said)


def test_sparse_vectors_need_a_masked_language_model(save: Save, bert: Path, out: Path) -> None:
    assert_refused(export(save("BertModel"), out, "--sparse"), "has no masked language model head")
    assert export(bert, out, "--sparse").returncode == 0
    assert load_manifest(out).sparse


def test_the_manifest_says_how_tokens_are_spelled(bert: Path, out: Path) -> None:
    (bert / "tokenizer_config.json").write_text('{"mask_token": "mat", "do_lower_case": true}')
    child = export(bert, out)
    assert child.returncode == 0, child.stderr
    assert load_manifest(out).tokenizer == TokenizerSpec(mask="mat")
