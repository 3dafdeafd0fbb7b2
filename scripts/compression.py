"""Answers as they are written -> what gzip makes of them, and how long it takes, by its level.

`python -m scripts.compression` prints the table of docs/notebook/compression.md.
"""

import base64
import gzip
import sys
import time
from collections.abc import Iterator
from typing import Final

import numpy as np
import orjson

LEVELS: Final = (1, 3, 6, 9)
LEAST_S: Final = 0.2  # of a thread's own time, which is blind to what else runs
DIMENSIONS: Final = 384
CANDIDATES: Final = (5, 100)


def answers() -> Iterator[tuple[str, bytes]]:
    """Yields answers of the usual kinds: random vectors, and candidates for a mask."""
    rng = np.random.default_rng(5)
    for count in (1, 16, 256):
        vectors = rng.normal(size=(count, DIMENSIONS)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield f"{count} vectors", orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY)
        packed = [base64.b64encode(vector.tobytes()).decode() for vector in vectors]
        yield f"{count} vectors in base64", orjson.dumps(packed)
    for count in CANDIDATES:
        filled = [
            {
                "score": float(rng.random() ** 8),
                "token": int(rng.integers(1000, 30_000)),
                "token_str": f"word{number}",
                "sequence": f"paris is the word{number} of france.",
            }
            for number in range(count)
        ]
        yield f"{count} candidates", orjson.dumps(filled)


def measured(answer: bytes, level: int) -> tuple[float, float]:
    """The part of an answer that is left, and milliseconds that it takes."""
    packed = gzip.compress(answer, level, mtime=0)
    began, rounds = time.thread_time(), 0
    while time.thread_time() - began < LEAST_S:
        gzip.compress(answer, level, mtime=0)
        rounds += 1
    return len(packed) / len(answer), (time.thread_time() - began) / rounds * 1000


def main() -> None:
    """Prints a row an answer."""
    head = ["answer", "bytes", *(f"level {level}" for level in LEVELS)]
    sys.stdout.write(f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
    for name, answer in answers():
        cells = [name, f"{len(answer):,}"]
        for level in LEVELS:
            left, milliseconds = measured(answer, level)
            cells.append(f"{left:.0%}, {milliseconds:.3f} ms")
        sys.stdout.write(f"| {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
