"""An encoder and the rows of tokens in, the logits of a task out: one linear layer each.

With the names of Hugging Face's checkpoints (`bert.*`, `classifier.*`, `qa_outputs.*`), so that
`state_dict()` is one. Letters: B batch, S sequence, H hidden, R rows that are read, K logits.
Knows nothing of losses or of files.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from training.model import BertModel


class BertHead(nn.Module):
    """An encoder and what reads it."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.config = bert.config
        self.bert = bert

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, ids: Tensor, token_types: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """The logits of the rows that are read.

        Args:
            ids: int64 (B, S), padded at the end.
            token_types: int64 (B, S), 0 for the first segment and 1 for the second.
            lengths: int64 (B,), tokens per sequence without padding.
            rows: int64 (R,), b * S + s of the tokens that the head reads.

        Returns:
            float (R, K)
        """
        return self.logits(self.bert(ids, token_types, lengths, rows))

    def logits(self, hidden: Tensor) -> Tensor:
        """Float (R, H) -> float (R, K)."""
        raise NotImplementedError

    def _linear(self, out: int) -> nn.Linear:
        layer = nn.Linear(self.config.hidden_size, out)
        nn.init.normal_(layer.weight, std=self.config.initializer_range)
        nn.init.zeros_(layer.bias)
        return layer


class BertForSequenceClassification(BertHead):
    """A label from [CLS]: pooler, dropout, linear. Its rows are those of [CLS]."""

    def __init__(self, bert: BertModel, labels: int) -> None:
        super().__init__(bert)
        self.dropout = nn.Dropout(self.config.hidden_dropout_prob)
        self.classifier = self._linear(labels)

    def logits(self, hidden: Tensor) -> Tensor:
        """Float (B, H) -> float (B, labels)."""
        return cast("Tensor", self.classifier(self.dropout(self.bert.pooled(hidden))))


class BertForTokenClassification(BertHead):
    """A label for each token: dropout, linear."""

    def __init__(self, bert: BertModel, labels: int) -> None:
        super().__init__(bert)
        del bert.pooler  # it would be saved without ever having been trained
        self.dropout = nn.Dropout(self.config.hidden_dropout_prob)
        self.classifier = self._linear(labels)

    def logits(self, hidden: Tensor) -> Tensor:
        """Float (R, H) -> float (R, labels)."""
        return cast("Tensor", self.classifier(self.dropout(hidden)))


class BertForQuestionAnswering(BertHead):
    """How likely an answer starts, and ends, at each token: linear."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__(bert)
        del bert.pooler
        self.qa_outputs = self._linear(2)

    def logits(self, hidden: Tensor) -> Tensor:
        """Float (R, H) -> float (R, 2): start, end."""
        return cast("Tensor", self.qa_outputs(hidden))
