"""texts.txt -> the request bodies of each task, and the same texts for the bare session.

The texts are 332 different English sentences, 18 tokens on average with [CLS] and [SEP], so that no
answer is asked for twice in a row and lengths vary as in real traffic.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

TEXTS = Path(__file__).with_name("texts.txt")


@dataclass(frozen=True)
class Task:
    """One kind of request: the route it goes to and its texts."""

    name: str
    route: str
    texts: tuple[str, ...]

    def write_bodies(self, folder: Path) -> Path:
        """Write one JSON body a line and return the file."""
        file = folder / f"{self.name}.jsonl"
        file.write_text("".join(json.dumps({"inputs": text}) + "\n" for text in self.texts))
        return file


def masked(text: str) -> str:
    """Put the mask where the longest word was, the first one if there are several.

    >>> masked("The train leaves at seven.")
    'The train [MASK] at seven.'
    """
    longest = max(re.finditer(r"[A-Za-z]+", text), key=lambda word: len(word.group()))
    return f"{text[: longest.start()]}[MASK]{text[longest.end() :]}"


def short_tasks() -> tuple[Task, Task]:
    """Return the two tasks that are measured: short fill-masks and short embeddings."""
    texts = tuple(TEXTS.read_text().splitlines())
    return (
        Task("fill-mask", "/fill-mask", tuple(masked(text) for text in texts)),
        Task("embed", "/embed", texts),
    )
