"""A width and a number of rows in, how they are best learnt out, where nobody says otherwise.

Devlin et al. 2018 (A.3) tried rates of 2e-5 to 5e-5 and 2 to 4 epochs on BERT-Base and tens of
thousands of rows. A narrower model wants a higher rate, and few rows want more epochs and smaller
batches: what counts is the number of steps. How far this rule is from the best for a model and its
data, `python -m training study` tells.
"""

import math
from dataclasses import replace

from training.finetune.task import Options

BASE_HIDDEN, BASE_RATE = 768, 5e-5  # BERT-Base's
BATCH, SMALL_BATCH = 32, 16
MANY_ROWS = 4_000  # from here on in batches of `BATCH`
STEPS = 300  # fewer teach little
FEWEST_EPOCHS, MOST_EPOCHS = 3, 10


def fitted(options: Options, *, hidden: int, rows: int) -> Options:
    """Options with what fits in place of every 0.

    Args:
        options: what is asked for.
        hidden: the width of the encoder.
        rows: inputs to learn from.

    >>> chosen = fitted(Options(), hidden=384, rows=600)
    >>> chosen.rate, chosen.epochs, chosen.batch_size
    (0.0001, 8, 16)
    """
    batch = options.batch_size or (SMALL_BATCH if rows < MANY_ROWS else BATCH)
    chosen = replace(options, batch_size=batch)
    wanted = math.ceil(STEPS * chosen.step_size / rows)
    return replace(
        chosen,
        rate=options.rate or BASE_RATE * BASE_HIDDEN / hidden,
        epochs=options.epochs or min(max(wanted, FEWEST_EPOCHS), MOST_EPOCHS),
    )
