"""The loss of masked words against PyTorch's own."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.masked_loss import masked_loss


def random_logits(*, scale: float = 5.0, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(40, 301) * scale


LABELS = torch.arange(40) * 7


@pytest.mark.parametrize("scale", [0.0, 5.0, 400.0])
def test_loss_and_gradient_are_those_of_cross_entropy(scale: float) -> None:
    rows = random_logits(scale=scale)
    rows[:, 5] += scale  # a word that most rows prefer
    expected_from = rows.double().requires_grad_()
    expected = functional.cross_entropy(expected_from, LABELS)
    (expected_gradient,) = torch.autograd.grad(3 * expected, expected_from)
    source = rows.clone().requires_grad_()
    loss, _ = masked_loss(source * 1, LABELS)
    (gradient,) = torch.autograd.grad(3 * loss, source)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, expected_gradient.float(), atol=1e-8, rtol=1e-5)


def test_accuracy_is_the_share_of_labels_with_the_highest_logit() -> None:
    logits = random_logits()
    logits[torch.arange(12), LABELS[:12]] = 100.0
    expected = (logits.argmax(-1) == LABELS).float().mean()
    assert expected >= 0.3
    _, accuracy = masked_loss(logits, LABELS)
    assert accuracy == expected
    assert not accuracy.requires_grad


def test_gradient_lies_where_the_logits_lay() -> None:
    logits = random_logits().requires_grad_() * 1
    loss, _ = masked_loss(logits, LABELS)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.data_ptr() == logits.data_ptr()


def test_narrow_logits_are_summed_in_float32() -> None:
    narrow = random_logits().bfloat16().requires_grad_()
    loss, _ = masked_loss(narrow * 1, LABELS)
    (gradient,) = torch.autograd.grad(loss, narrow)
    assert loss.dtype == torch.float32
    expected = functional.cross_entropy(narrow.detach().double(), LABELS)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert gradient.dtype == torch.bfloat16
