"""A question -> the request that asks it of one server; each API is one function here."""

import json
from collections.abc import Callable

from benchmarks.offer import Post
from benchmarks.workloads import Question

Dialect = Callable[[Question], Post]


def cloze(question: Question) -> Post:
    """Ask Cloze, or a server with the same routes.

    >>> from benchmarks.workloads import Question
    >>> cloze(Question("nsp", ("It rained.", "We got wet.")))
    ('/nsp', '{"inputs": ["It rained.", "We got wet."]}')
    """
    texts = question.texts
    inputs: object = texts[0] if len(texts) == 1 else texts
    return f"/{question.task}", json.dumps({"inputs": inputs})


def openai(question: Question) -> Post:
    """Ask for embeddings as OpenAI's clients do, under the path that Infinity serves.

    >>> from benchmarks.workloads import Question
    >>> openai(Question("embed", ("It rained.",)))
    ('/embeddings', '{"model": "peer", "input": ["It rained."]}')
    """
    return "/embeddings", json.dumps({"model": "peer", "input": question.texts})
