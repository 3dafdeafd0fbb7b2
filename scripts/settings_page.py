"""`Settings` -> docs/settings.md, so that every option is described in one place: where it is."""

from pathlib import Path

from server.settings import ENV_PREFIX, Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = """\
# Settings

Written by `make docs` from `server/settings.py`. Each option is an environment variable and a flag
of `python -m server` (with `make serve`: `make serve ARGS="--port 9000"`); a flag wins.

| variable | flag | default | what it is |
|---|---|---|---|
"""


def shown(default: object) -> str:
    """Write a default as one would type it.

    >>> shown(65536), shown(None), shown(True), shown(())
    ('65536', '', 'true', '')
    """
    if default is None or default == ():
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def page() -> str:
    """Return the page as Markdown."""
    rows = [
        f"| `{ENV_PREFIX}{name.upper()}` | `--{name.replace('_', '-')}` "
        f"| {shown(field.default)} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
