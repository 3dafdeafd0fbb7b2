"""A model and its highest learning rate in, AdamW and the rate of every step out.

As in the paper's code, for pre-training and for fine-tuning.
"""

import torch
from torch import nn

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


def descend(optimiser: torch.optim.Optimizer, model: nn.Module, rate: float) -> None:
    """Take a step at `rate` down the gradients of `model`, cut to length `CLIP`; then drop them."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimiser.step()
    optimiser.zero_grad()
