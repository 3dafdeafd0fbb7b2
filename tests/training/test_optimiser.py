"""Parameter groups, learning rates, and the mean of recent weights against its definition."""

import pytest
import torch
from torch import nn

from training.config import BertConfig
from training.model import BertForPreTraining
from training.optimiser import WEIGHT_DECAY, WeightAverage, descend, make_adamw, rise_and_fall

CONFIG = BertConfig(23, 12, 3, 3, 20)


def test_biases_and_norms_do_not_decay() -> None:
    model = BertForPreTraining(CONFIG)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: group["weight_decay"]
        for group in make_adamw(model, 1e-3, beta2=0.98).param_groups
        for parameter in group["params"]
    }
    assert found.keys() == set(names.values())
    for name, decay in found.items():
        bare = name.endswith("bias") or "LayerNorm" in name
        assert decay == (0.0 if bare else WEIGHT_DECAY), name


@pytest.mark.parametrize("decay", [None, 0.25])
def test_rate_rises_and_falls_to_nearly_nothing(decay: float | None) -> None:
    shares = [rise_and_fall(step, 200, warm_up=0.1, decay=decay) for step in range(200)]
    assert shares[0] == pytest.approx(1 / 20)
    assert max(shares) == 1
    assert shares[19] == 1
    assert 0 < shares[-1] < 0.03
    assert shares[:20] == sorted(shares[:20])
    assert shares[20:] == sorted(shares[20:], reverse=True)
    assert rise_and_fall(0, 1, warm_up=0.1, decay=decay) == 1
    assert rise_and_fall(0, 10, warm_up=0.0, decay=decay) == 1


def test_a_step_goes_down_the_gradient_at_its_rate_and_drops_it() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    before = model.weight.item()
    optimiser = make_adamw(model, 1.0, beta2=0.98)
    model(torch.full((1, 1), 1e6)).backward()
    descend(optimiser, model, 0.25)
    # AdamW's first step is as long as the rate, whatever the gradient; then there is the decay.
    assert model.weight.item() == pytest.approx(before * (1 - 0.25 * WEIGHT_DECAY) - 0.25, abs=1e-5)
    assert model.weight.grad is None


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
