"""docs/ -> the site that `make site` writes: what Sphinx needs to know to build it.

The source is the whole checkout, so that a link between documents leads to the same place on a
forge and in the site. docs/index.md says which pages there are, in which order.
"""

from pathlib import Path
from typing import Final

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from scripts.navigation import toctrees

ROOT: Final = Path(__file__).parents[1]
OF_THE_SITE: Final = {"docs", "models", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
NOTES: Final = "models/cloze-small-en"  # which the exporter puts below a model card's own title

project = "Cloze"
extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "docs/index"
exclude_patterns = [
    *(path.name for path in ROOT.iterdir() if path.name not in OF_THE_SITE),
    "models/*/**",  # the card of a model folder
]

myst_heading_anchors = 4
# Pygments' shell knows no quotes that go on in the next line without a prompt: colours alone.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "Cloze"
templates_path = ["templates"]
html_additional_pages = {"index": "to-docs.html"}
html_copy_source = False
html_show_copyright = False
html_use_index = False  # of Python objects, of which there are none
# Of a console block the commands are copied, without their prompts and answers.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"


def complete(_app: Sphinx, document: str, source: list[str]) -> None:
    """Adds what does not stand in the files: the navigation, and the title of the notes."""
    if document == root_doc:
        source[0] += toctrees(source[0])
    elif document == NOTES:
        source[0] = f"# The default model\n\n{source[0]}"


def setup(app: Sphinx) -> None:
    """Adds what no setting does."""
    app.connect("source-read", complete)
    app.add_lexer("haproxy", TextLexer)
