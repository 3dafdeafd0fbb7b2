"""A model that is being trained in, the mean of its recent weights out.

At a high rate the weights jump about a better point than any of those they land on; their mean lies
nearer to it (Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407), which is most of
what a fall of the rate would give, and the run can still go on (Sandler et al. 2023,
arXiv:2301.02312). The mean is exponential, so that it needs no end of the run to count from.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """The mean of a model's parameters, float32 like these.

    Args:
        keep: how much of the mean a step keeps; 0.999 is a mean over some thousand steps. Until
            there have been that many, all count alike.
    """

    def __init__(self, model: nn.Module, keep: float) -> None:
        self._parameters = dict(model.named_parameters())
        self._means = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._keep = keep
        self._steps = 0  # before the first, no weights count

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self._steps += 1
        share = max(1 - self._keep, 1 / self._steps)
        for name, mean in self._means.items():
            mean.lerp_(self._parameters[name], share)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The model has the mean weights within, and its own again afterwards."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {"steps": self._steps, "means": self._means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._steps = state["steps"]
        for name, mean in self._means.items():
            mean.copy_(state["means"][name])

    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            # The optimiser and the layers hold these parameters; only their values change.
            parameter.data, self._means[name] = self._means[name], parameter.data
