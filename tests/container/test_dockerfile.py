"""The Dockerfile's text -> one base image, which a build argument may pin by its digest."""

import json
import subprocess
from pathlib import Path

from tests.container.engines import BASE_IMAGE

REPOSITORY = Path(__file__).parents[2]


def instructions() -> list[list[str]]:
    """Return the Dockerfile's instructions, each as its words."""
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return [words for words in lines if words]


def test_base_image_is_a_build_argument_and_the_only_image() -> None:
    names = [name for name, *_ in instructions()]
    before = instructions()[: names.index("FROM")]
    assert before == [["ARG", f"PYTHON_IMAGE={BASE_IMAGE}"]]
    stages = [words for words in instructions() if words[0] == "FROM"]
    assert [image for _, image, *_ in stages] == ["${PYTHON_IMAGE}"] * len(stages)
    named = {f"--from={words[3]}" for words in stages if words[2:3] == ["AS"]}
    assert {word for words in instructions() for word in words if "--from=" in word} <= named


def test_sagemakers_word_starts_what_the_image_starts_by_itself(tmp_path: Path) -> None:
    made = tmp_path / "serve"
    (command,) = [
        line.removeprefix("RUN ").replace("/opt/venv/bin/serve", str(made))
        for line in (REPOSITORY / "Dockerfile").read_text().splitlines()
        if line.endswith("/opt/venv/bin/serve")
    ]
    subprocess.run(["/bin/sh", "-c", command], check=True)
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" python "$@"\n')
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(
        [made, "further"], env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    (alone,) = [words[1:] for words in instructions() if words[0] == "CMD"]
    assert done.stdout.split() == json.loads(" ".join(alone))


def test_the_argument_and_its_default_are_documented() -> None:
    page = (REPOSITORY / "docs" / "deploy.md").read_text()
    assert "--build-arg PYTHON_IMAGE=docker.io/library/python@sha256:" in page
    assert f"`{BASE_IMAGE}`" in page
