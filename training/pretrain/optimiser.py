"""A model and a recipe in, AdamW's parameter groups and the learning rate of every step out."""

from __future__ import annotations

import re

import torch
from torch import nn

from training.model import BertForPreTraining
from training.pretrain.recipe import Recipe

_LAYER = re.compile(r"bert\.encoder\.layer\.(\d+)\.")


def make_optimiser(model: BertForPreTraining, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019), without weight decay on biases and norms.

    Each group holds its `factor` on the learning rate (1 for the heads, smaller further down when
    the recipe says so) and whether it belongs to the heads.
    """
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        depth = _layers_above(name, model.config.num_hidden_layers)
        key = (recipe.rate_layer_decay**depth, parameter.ndim > 1, name.startswith("cls."))
        groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "factor": factor,
                "heads": heads,
                "weight_decay": recipe.weight_decay if decays else 0.0,
            }
            for (factor, decays, heads), parameters in groups.items()
        ],
        lr=recipe.rate,
        betas=(0.9, recipe.beta2),
        eps=1e-6,
        fused=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, step: int, steps: int) -> float:
    """Set the learning rate of every group for `step` (from 0) of `steps`; return the highest."""
    rate = recipe.rate * schedule(recipe, step, steps)
    heads_only = step < recipe.heads_first * steps
    for group in optimiser.param_groups:
        group["lr"] = 0.0 if heads_only and not group["heads"] else rate * group["factor"]
    return rate


def schedule(recipe: Recipe, step: int, steps: int) -> float:
    """The share of the peak rate at `step`: a linear rise, then a linear fall to nothing.

    `stable` stays at the peak until the fall (warm-up, stable, decay: Hu et al. 2024), so that a
    run can be lengthened before its fall begins.

    >>> recipe = Recipe(warm_up=0.1, schedule="stable", decay=0.2)
    >>> [schedule(recipe, step, 100) for step in (0, 9, 50, 79, 90)]
    [0.1, 1.0, 1.0, 1.0, 0.5]
    """
    rise = max(1, round(recipe.warm_up * steps))
    return min(1.0, (step + 1) / rise, (steps - step) / max(1, _fall(recipe, steps)))


def ending_begins(recipe: Recipe, processes: int) -> int:
    """The first step of the run's end: a lower rate, longer sequences or rounding."""
    steps = recipe.steps(processes)
    falls = steps - _fall(recipe, steps)
    return min(falls, recipe.longer_from(processes), recipe.int8_from(processes))


def _fall(recipe: Recipe, steps: int) -> int:
    if recipe.schedule == "linear":
        return steps - max(1, round(recipe.warm_up * steps))
    return max(1, round(recipe.decay * steps))


def _layers_above(name: str, layers: int) -> int:
    """How many layers lie between a parameter and the heads; the embeddings lie below all.

    >>> _layers_above("bert.encoder.layer.5.output.dense.weight", 6)
    0
    >>> _layers_above("bert.embeddings.LayerNorm.weight", 6)
    6
    """
    if found := _LAYER.match(name):
        return layers - 1 - int(found.group(1))
    return layers if name.startswith("bert.embeddings.") else 0
