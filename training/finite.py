"""The losses of some steps in, an error out where one is no number: which step, and why it may be.

Knows nothing of models. A value that is not finite never becomes finite again: every step after it
is lost.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from training.errors import TrainingError

USUAL_RATE = 1e-3  # the highest at which BERT is trained, small ones included


class NotFinite(TrainingError):
    """A run that cannot come to anything any more."""


def check_finite(losses: Sequence[Tensor], last: int, *, rate: float, bf16: bool = False) -> None:
    """Raise `NotFinite`, which names the first step whose loss is not finite.

    Args:
        losses: float of any one shape, of the steps up to `last`, one after the other.
        last: the number of the last of them, from 1.
        rate: the highest learning rate of the run.
        bf16: whether products are computed in bfloat16.
    """
    if not losses:
        return
    finite = (
        torch.stack([loss.reshape(-1) for loss in losses]).isfinite().all(dim=1)
    )  # bool (steps,)
    if bool(finite.all()):
        return
    step = last - len(losses) + 1 + int(finite.logical_not().nonzero()[0, 0])
    raise NotFinite(
        f"The loss is not finite any more at step {step}: {likely_cause(step, rate, bf16=bf16)}."
    )


def likely_cause(step: int, rate: float, *, bf16: bool = False) -> str:
    """Why a loss may not be finite, and what to try.

    >>> likely_cause(40, 0.5)
    '--rate 0.5 is far above what BERT is trained at; try 0.0001'
    """
    if step == 1:
        return "it is none before anything was learnt, so the checkpoint's weights are damaged"
    if rate > USUAL_RATE:
        return f"--rate {rate:g} is far above what BERT is trained at; try 0.0001"
    more = " or --precision fp32" if bf16 else ""
    return f"most often the learning rate is too high; try --rate {rate / 5:g}{more}"
