"""A model that is being trained in, the mean of its recent weights out.

At a high rate the weights jump about a better point than any of those they land on; their mean lies
nearer to it (Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407), which is most of
what a fall of the rate would give, and the run can still go on (Sandler et al. 2023,
arXiv:2301.02312). The mean is exponential, so that it needs no end of the run to count from.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.model import BertForPreTraining


class WeightAverage(AveragedModel):
    """A copy of a model, `module`, that has the mean of its parameters.

    `update_parameters(model)` takes in the weights after a step.

    Args:
        model: whose parameters, float32, are averaged.
        keep: how much of the mean a step keeps; 0.999 is a mean over some thousand steps. Until
            there have been that many, all count alike.
    """

    module: BertForPreTraining

    def __init__(self, model: nn.Module, keep: float) -> None:
        @torch.no_grad()
        def update(means: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
            share = (1 / (torch.as_tensor(steps) + 1)).clamp_min(1 - keep)
            for mean, weight in zip(means, weights, strict=True):
                mean.lerp_(weight, share)

        super().__init__(model, multi_avg_fn=update)
