"""A batch of pairs and a batch of sentences in, the weighted loss of pre-training out.

Masked words and next sentences as in Devlin et al. 2018, section 3.1, and, so that the same model
gives good embeddings, closeness of its sentence vectors to a teacher's (after Hinton et al. 2015).
Knows nothing of optimisers or files.
"""

from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.errors import TrainingError
from training.masking import NO_PAIR, Padded, PairBatch
from training.model import BertForPreTraining, BertModel, ReadRows


@dataclass(frozen=True)
class SentenceTensors:
    """A `Padded` on the device; all int64."""

    ids: Tensor  # (batch, seq)
    token_types: Tensor  # (batch, seq)
    lengths: Tensor  # (batch,)

    @classmethod
    def of(cls, batch: Padded, device: torch.device) -> Self:
        """Copy the arrays of a batch to `device`."""
        return cls(*_on(device, batch.ids, batch.token_types, batch.lengths))


@dataclass(frozen=True)
class PairTensors(SentenceTensors):
    """A `PairBatch` on the device; all int64."""

    read: ReadRows  # the masked rows (masks,), then that of each [CLS] (batch,)
    masked_ids: Tensor  # (masks,)
    not_next: Tensor  # (batch,): NO_PAIR for a row without a second segment

    @classmethod
    def of(cls, batch: PairBatch, device: torch.device) -> Self:  # type: ignore[override]
        """Copy the arrays of a batch to `device`."""
        size, seq = batch.ids.shape
        read = np.concatenate([batch.masked_rows, np.arange(size) * seq])
        placed = ReadRows.of(torch.from_numpy(read), size, seq)
        ids, token_types, lengths = _on(device, batch.ids, batch.token_types, batch.lengths)
        rows, slots = _on(device, placed.rows, placed.slots)
        masked_ids, not_next = _on(device, batch.masked_ids, batch.not_next)
        placed = ReadRows(rows, slots, placed.queries)
        return cls(ids, token_types, lengths, placed, masked_ids, not_next)


@dataclass(frozen=True)
class Losses:
    """The loss to descend, and its parts as plain tensors to report; each float32 ()."""

    total: Tensor
    masked_words: Tensor
    next_sentence: Tensor
    distillation: Tensor
    masked_accuracy: Tensor
    next_accuracy: Tensor
    has_pairs: Tensor  # 1 where the batch has a pair; without one, the next-sentence values are 0


class Objective:
    """What a model is trained for: its losses, with their weights."""

    def __init__(
        self,
        model: BertForPreTraining,
        *,
        next_sentence: float = 1.0,
        distillation: float = 0.0,
        teacher: BertModel | None = None,
    ) -> None:
        """The weights of the losses beside that of masked words, which is 1."""
        if distillation and teacher is None:
            raise TrainingError("Distillation needs a teacher.")
        if teacher and teacher.config.hidden_size != model.config.hidden_size:
            raise TrainingError("The teacher's vectors have another width than the model's.")
        self.model = model
        self._next_sentence, self._distillation = next_sentence, distillation
        self._teacher = teacher and teacher.eval().requires_grad_(requires_grad=False)

    def losses(self, pairs: PairTensors, sentences: SentenceTensors | None = None) -> Losses:
        """The losses of one batch; `sentences` are wanted when distillation counts."""
        masks, cls_rows = hidden_rows(self.model.bert, pairs)
        logits = self.model.mlm_logits(masks)
        masked_words, masked_accuracy = masked_loss(logits, pairs.masked_ids)
        order = self.model.nsp_logits(cls_rows).float()
        next_sentence, next_accuracy = next_sentence_loss(order, pairs.not_next)
        total = masked_words + self._next_sentence * next_sentence
        distillation = torch.zeros((), device=total.device)
        if self._teacher and sentences:
            student = sentence_vectors(self.model.bert, sentences)
            with torch.no_grad():
                teacher = sentence_vectors(self._teacher, sentences)
            distillation = cosine_distance(student, teacher)
            total = total + self._distillation * distillation
        return Losses(
            total,
            masked_words.detach(),
            next_sentence.detach(),
            distillation.detach(),
            masked_accuracy,
            next_accuracy,
            (pairs.not_next != NO_PAIR).any().float(),
        )


def hidden_rows(encoder: BertModel, pairs: PairTensors) -> tuple[Tensor, Tensor]:
    """The last hidden states of the masked rows (masks, hidden) and of [CLS] (batch, hidden).

    No other row of the last layer is computed.
    """
    hidden = encoder(pairs.ids, pairs.token_types, pairs.lengths, pairs.read)
    masks = len(pairs.masked_ids)
    return hidden[:masks], hidden[masks:]


def sentence_vectors(encoder: BertModel, sentences: SentenceTensors) -> Tensor:
    """Mean-pooled sentence vectors, float32 (batch, hidden)."""
    hidden = encoder(sentences.ids, sentences.token_types, sentences.lengths)
    return mean_pool(hidden, sentences.lengths)


def mean_pool(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Mean over each sequence's tokens, special ones included (as sentence-transformers does).

    Float (B * S, H), int64 (B,) -> float32 (B, H).
    """
    batch = len(lengths)
    grouped = hidden.view(batch, -1, hidden.shape[-1]).float()
    read = torch.arange(grouped.shape[1], device=hidden.device) < lengths[:, None]
    return (grouped * read[:, :, None]).sum(1) / lengths[:, None]


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
    """Cross-entropy in the memory of the logits, which it overwrites with their gradient.

    Of a step's arrays the logits are the largest, (masks, 30522). PyTorch's own cross-entropy makes
    four more of that size on a CPU and goes through memory for each of them.
    """

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


def next_sentence_loss(logits: Tensor, not_next: Tensor) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of next sentences, and the share that is right, over the pairs.

    Float32 (batch, 2), int64 (batch,) -> float32 () twice, the second without a gradient. Rows
    with the label `NO_PAIR` do not count; both are 0 for a batch without a pair.
    """
    pairs = (not_next != NO_PAIR).sum().clamp(min=1)
    loss = functional.cross_entropy(logits, not_next, ignore_index=NO_PAIR, reduction="sum") / pairs
    return loss, (logits.detach().argmax(-1) == not_next).sum() / pairs


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine of each student vector with its teacher's, on average.

    Float32 (batch, hidden) twice -> float32 (); both have the same width.
    """
    return 1 - functional.cosine_similarity(student, teacher).mean()


def _on(device: torch.device, *arrays: NDArray[np.int64] | Tensor) -> list[Tensor]:
    """Arrays on `device`; to a GPU from memory that stays in place, so that nothing waits."""
    tensors = [torch.as_tensor(array) for array in arrays]
    if device.type == "cuda":
        return [tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors]
    return [tensor.to(device) for tensor in tensors]
