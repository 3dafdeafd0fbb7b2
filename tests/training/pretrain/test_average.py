"""The mean of recent weights against its definition."""

import torch
from torch import nn

from training.pretrain.average import WeightAverage


def history(steps: int) -> tuple[nn.Linear, WeightAverage, list[torch.Tensor]]:
    """A layer whose weights jump at each step, with a mean that keeps 0.8 of itself."""
    torch.manual_seed(5)
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer, keep=0.8)
    seen = []
    for _ in range(steps):
        with torch.no_grad():
            layer.weight.add_(torch.randn_like(layer.weight))
        average.update_parameters(layer)
        seen.append(layer.weight.detach().clone())
    return layer, average, seen


def mean_of(average: WeightAverage) -> torch.Tensor:
    return average.module.get_parameter("weight").detach()


def test_the_first_steps_count_alike() -> None:
    _, average, seen = history(5)
    torch.testing.assert_close(mean_of(average), torch.stack(seen).mean(0))


def test_later_steps_push_out_earlier_ones() -> None:
    _, average, seen = history(12)
    expected = torch.stack(seen[:5]).mean(0)
    for weights in seen[5:]:
        expected = 0.8 * expected + 0.2 * weights
    torch.testing.assert_close(mean_of(average), expected)


def test_the_model_keeps_its_own_weights() -> None:
    layer, average, seen = history(7)
    assert torch.equal(layer.weight, seen[-1])
    assert not torch.equal(layer.weight, mean_of(average))


def test_a_mean_goes_on_from_its_state() -> None:
    layer, average, _ = history(4)
    other = WeightAverage(layer, keep=0.8)
    other.load_state_dict(average.state_dict())
    with torch.no_grad():
        layer.weight.mul_(3)
    for mean in (average, other):
        mean.update_parameters(layer)
    assert torch.equal(mean_of(average), mean_of(other))
