"""The lists of links in docs/index.md -> the toctrees by which Sphinx knows the site's order.

A page is added to the site by one line in such a list, which people on a forge read as well.
Knows nothing of Sphinx, so that it can be checked where Sphinx is not installed.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

PAGE = re.compile(r"\[([^\]]+)\]\(([^)#:]+)\.md\)")


class Part(NamedTuple):
    """A part of the navigation: the heading of a list, and its pages by title and path."""

    caption: str
    pages: tuple[tuple[str, str], ...]


def parts(index: str) -> Iterator[Part]:
    r"""Yields the lists below each heading; a link that is in no list is none of the navigation.

    >>> list(parts("See [a](a.md).\n## Tasks\n- [Fill](fill.md), [more](../MORE.md): masks\n"))
    [Part(caption='Tasks', pages=(('Fill', 'fill'), ('more', '../MORE')))]
    """
    for part in re.split(r"^(?=## )", index, flags=re.MULTILINE)[1:]:
        heading, *lines = part.splitlines()
        items = "\n".join(line for line in lines if line.startswith(("- ", "  ")))
        yield Part(heading.removeprefix("## "), tuple(PAGE.findall(items)))


def toctrees(index: str) -> str:
    r"""Writes the parts as hidden toctrees in MyST's Markdown.

    >>> print(toctrees("## Tasks\n- [Fill masks](fill-mask.md)\n"))
    <BLANKLINE>
    ```{toctree}
    :hidden:
    :caption: Tasks
    <BLANKLINE>
    Fill masks <fill-mask>
    ```
    <BLANKLINE>
    """
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n"
        + "".join(f"{title} <{page}>\n" for title, page in pages)
        + "```\n"
        for caption, pages in parts(index)
    )
