"""A model and its highest learning rate in, AdamW, every step's rate and a mean of weights out.

AdamW and the rates are those of the paper's code, for pre-training and for fine-tuning.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.model import BertForPreTraining

WEIGHT_DECAY = 0.01  # not on biases and norms
CLIP = 1.0  # longest gradient


def make_adamw(model: nn.Module, rate: float, *, beta2: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019), without weight decay on biases and norms."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, beta2), eps=1e-6, fused=True)


def rise_and_fall(step: int, steps: int, *, warm_up: float, decay: float | None = None) -> float:
    """The share of the highest rate at `step` (from 0): a linear rise, then a linear fall to 0.

    Args:
        step: from 0.
        steps: of the whole run.
        warm_up: the share of the steps over which it rises.
        decay: the share over which it falls, after a time at the highest rate (warm-up, stable,
            decay: Hu et al. 2024); None for all that are left.

    >>> [rise_and_fall(step, 10, warm_up=0.2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.125]
    >>> [rise_and_fall(step, 100, warm_up=0.1, decay=0.2) for step in (0, 9, 50, 79, 90)]
    [0.1, 1.0, 1.0, 1.0, 0.5]
    """
    rise = max(1, round(warm_up * steps))
    fall = fall_steps(steps, warm_up=warm_up, decay=decay)
    return min(1.0, (step + 1) / rise, (steps - step) / fall)


def fall_steps(steps: int, *, warm_up: float, decay: float | None = None) -> int:
    """The steps of the fall, the last ones; arguments as those of `rise_and_fall`."""
    return max(1, steps - max(1, round(warm_up * steps)) if decay is None else round(decay * steps))


def descend(optimiser: torch.optim.Optimizer, model: nn.Module, rate: float) -> Tensor:
    """Take a step at `rate` down the gradients of `model`, cut to length `CLIP`; then drop them.

    Returns the length before, float (): where it is not finite, no weight is any more.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate
    length = nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimiser.step()
    optimiser.zero_grad()
    return length


class WeightAverage(AveragedModel):
    """A copy of a model, `module`, that has the mean of its recent weights.

    At a high rate the weights jump about a better point than any of those they land on; their mean
    lies nearer to it (Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407), which is
    most of what a fall of the rate would give, and the run can still go on (Sandler et al. 2023,
    arXiv:2301.02312). The mean is exponential, so that it needs no end of the run to count from.

    `update_parameters(model)` takes in the weights after a step.
    """

    module: BertForPreTraining

    def __init__(self, model: nn.Module, keep: float) -> None:
        """The mean of the float32 parameters of `model`.

        A step keeps the share `keep` of it; 0.999 is a mean over some thousand steps. Until there
        have been that many, all count alike.
        """

        @torch.no_grad()
        def update(means: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
            share = (1 / (torch.as_tensor(steps) + 1)).clamp_min(1 - keep)
            for mean, weight in zip(means, weights, strict=True):
                mean.lerp_(weight, share)

        super().__init__(model, multi_avg_fn=update)
