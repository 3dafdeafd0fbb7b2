"""The logits of the masked words in, their cross-entropy out, in the memory of the logits.

Of a step's arrays the logits are the largest, (masks, 30522). PyTorch's own cross-entropy makes
four more of that size on a CPU and goes through memory for each of them; this one overwrites the
logits with their gradient.
"""

from typing import Any, cast

import torch
from torch import Tensor


def masked_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of the labels, and the share of them that have the highest logit.

    Args:
        logits: float (n, V); overwritten, so nothing else may read them.
        labels: int64 (n,), 0 to V - 1.

    Returns:
        float32 () with a gradient, and float32 () without; both are 0 where n is 0.
    """
    # With autocast the logits are bfloat16; sums over a vocabulary want more.
    return cast("tuple[Tensor, Tensor]", _MaskedLoss.apply(logits.float(), labels))  # type: ignore[no-untyped-call]


class _MaskedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        highest = logits.amax(-1, keepdim=True)  # float32 (n, 1)
        true = logits.gather(1, labels[:, None])  # float32 (n, 1)
        powers = logits.sub_(highest).exp_()  # the same memory
        total = powers.sum(-1, keepdim=True)  # float32 (n, 1), at least 1
        count = max(1, len(labels))
        loss = (total.log() - (true - highest)).sum() / count
        accuracy = (true == highest).sum() / count
        ctx.save_for_backward(powers, total, labels)
        ctx.mark_non_differentiable(accuracy)
        return loss, accuracy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        powers, total, labels = ctx.saved_tensors
        share = gradients[0] / max(1, len(labels))
        gradient = powers.mul_(share / total)  # a softmax is exp / sum
        gradient.scatter_add_(1, labels[:, None], -share.expand(len(labels), 1))
        return gradient, None
