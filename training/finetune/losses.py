"""What a head says of a batch in, what it is to be taught by out: losses of labels and of numbers.

A rare label can be made to count as much as a frequent one: the weights are those of the training
data.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.errors import TrainingError
from training.finetune.inputs import InputBatch
from training.finetune.task import Loss, Split


def label_loss(weights: Tensor | None = None) -> Loss:
    """Cross-entropy: float (rows, labels) -> float (), the mean over rows.

    With `weights`, float32 (labels,), a row counts by that of its label. It is still the sum that
    is divided by the rows, so that batches add up to what one large one would give.
    """

    def loss(logits: Tensor, batch: InputBatch) -> Tensor:
        placed = None if weights is None else weights.to(logits.device)
        summed = functional.cross_entropy(
            logits.float(), batch.targets, weight=placed, reduction="sum"
        )
        return summed / len(batch.targets)

    return loss


def labels_loss(weights: Tensor | None = None) -> Loss:
    """Cross-entropy of each label by itself: float (rows, labels) -> float (), the mean of all.

    With `weights`, float32 (labels,), a label that applies counts by its own.
    """

    def loss(logits: Tensor, batch: InputBatch) -> Tensor:
        wanted = batch.targets.view_as(logits).float()
        placed = None if weights is None else weights.to(logits.device)
        return functional.binary_cross_entropy_with_logits(
            logits.float(), wanted, pos_weight=placed
        )

    return loss


def number_loss(_: Tensor | None = None) -> Loss:
    """Squared error: float (rows, 1) -> float (), the mean over rows; numbers have no weights."""

    def loss(logits: Tensor, batch: InputBatch) -> Tensor:
        return functional.mse_loss(logits.float().squeeze(1), batch.targets.float())

    return loss


def class_weights(split: Split, labels: int) -> Tensor:
    """What each class counts, float32 (labels,): 1 on the mean over rows, and rare ones more.

    Rows of n in all of which n_k have class k, of K classes: n / (K n_k).
    """
    targets = np.concatenate([entry.targets for entry in split.inputs]).astype(np.int64)
    counts = np.bincount(targets, minlength=labels)
    return torch.tensor(len(targets) / (labels * np.maximum(counts, 1)), dtype=torch.float32)


def label_weights(split: Split, _: int) -> Tensor:
    """What each label counts where it applies, float32 (labels,): rows without it by rows with."""
    targets = np.stack([entry.targets for entry in split.inputs])  # (rows, labels) of 0 and 1
    chosen = targets.sum(axis=0)
    others = np.maximum(len(targets) - chosen, 1)
    return torch.tensor(others / np.maximum(chosen, 1), dtype=torch.float32)


def no_weights(_: Split, __: int) -> Tensor:
    """There are none of numbers."""
    raise TrainingError("--class-weights balanced weighs labels, and these are numbers.")
