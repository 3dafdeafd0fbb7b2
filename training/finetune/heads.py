"""An encoder and the rows of tokens in, the logits of a task out: one linear layer.

With the names of Hugging Face's checkpoints (`bert.*`, `classifier.*`, `qa_outputs.*`), so that
`state_dict()` is one. Letters: B batch, S sequence, H hidden, R rows that are read, K logits.
Knows nothing of losses or of files.
"""

from typing import cast

import torch
from torch import Tensor, nn

from models.heads import Head, Reads
from training.model import BertModel


class BertHead(nn.Module):
    """An encoder and the layer that reads it: a head that is one product."""

    def __init__(self, bert: BertModel, head: Head, labels: int = 0) -> None:
        """`labels` are the numbers that it gives for each row, where the head does not say."""
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self._pooled = head.reads is Reads.POOLED
        if not self._pooled:
            del bert.pooler  # it would be saved without ever having been trained
        # As in the paper's code, spans are read without dropout.
        self.dropout = nn.Dropout(0.0 if head.width else self.config.hidden_dropout_prob)
        (self._name,) = head.modules.values()
        layer = nn.Linear(self.config.hidden_size, head.width or labels)
        nn.init.normal_(layer.weight, std=self.config.initializer_range)
        nn.init.zeros_(layer.bias)
        self.add_module(self._name, layer)

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
        hidden = self.bert(ids, token_types, lengths, rows)
        hidden = self.bert.pooled(hidden) if self._pooled else hidden
        return cast("Tensor", self.get_submodule(self._name)(self.dropout(hidden)))
