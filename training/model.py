"""Token ids in, hidden states and the logits of BERT's two pre-training heads out.

BERT as in Devlin et al. 2018 (after Vaswani et al. 2017), with the attribute names of Hugging
Face's checkpoints, so that `state_dict()` is one. Like the served graph it computes what is read:
in the last layer only the rows that an objective looks at, logits of the vocabulary only at the
masks.

Letters: B batch, S sequence, H hidden, A heads, D numbers per head, R rows that are read, Q the
most rows that are read of one sequence, V vocabulary. A row is a token's place in the flattened
batch: row = b * S + s.
Knows nothing of files, losses or optimisers.
"""

from dataclasses import dataclass
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import BertConfig


@dataclass(frozen=True)
class ReadRows:
    """Where the rows that are read lie in a padded batch of queries (B, Q).

    Attention needs a rectangle: each sequence's rows that are read take its first places.
    """

    rows: Tensor  # int64 (R,): in the flattened batch
    slots: Tensor  # int64 (R,): places in the flattened (B, Q)
    queries: int  # Q

    @classmethod
    def of(cls, rows: Tensor, batch: int, seq: int) -> Self:
        """Places for rows, int64 (R,), in any order.

        The width depends on values: on a GPU that means to wait for it, so place rows before they
        go there.
        """
        sequence = rows // seq  # (R,)
        counts = torch.bincount(sequence, minlength=batch)  # (B,)
        order = sequence.argsort(stable=True)
        first = counts.cumsum(0) - counts  # (B,)
        place = torch.empty_like(rows)
        place[order] = torch.arange(len(rows), device=rows.device) - first[sequence[order]]
        queries = int(counts.max())
        return cls(rows, sequence * queries + place, queries)

    def spread(self, rows: Tensor, batch: int) -> Tensor:
        """Float (R, H) -> float (B * Q, H), zeros where there is no row."""
        padded = rows.new_zeros(batch * self.queries, rows.shape[1])
        return padded.index_copy(0, self.slots, rows)


class WordTable(nn.Embedding):
    """A vector per word: for lookup and, tied, to hold the rows of masks against."""

    def scores(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Float (n, H), float (V,) -> float (n, V)."""
        return functional.linear(rows, self.weight, bias)


class BertEmbeddings(nn.Module):
    """Word + position + segment, then LayerNorm (section 3, figure 2)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        H = config.hidden_size
        self.word_embeddings = WordTable(config.vocab_size, H)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, H)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, H)
        self.LayerNorm = nn.LayerNorm(H, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor, token_types: Tensor) -> Tensor:
        """Int64 (B, S) twice -> float (B * S, H)."""
        words = self.word_embeddings(ids)
        positions = self.position_embeddings.weight[: ids.shape[1]]
        summed = words + positions + self.token_type_embeddings(token_types)
        return cast("Tensor", self.dropout(self.LayerNorm(summed)).flatten(0, 1))


class BertSelfAttention(nn.Module):
    """Softmax(Q K^T / sqrt(D)) V per head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        H = config.hidden_size
        self.query, self.key, self.value = nn.Linear(H, H), nn.Linear(H, H), nn.Linear(H, H)
        self.heads, self.size = config.num_attention_heads, H // config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob

    def forward(self, x: Tensor, bias: Tensor | None, batch: int, read: ReadRows | None) -> Tensor:
        """Float (B * S, H) -> float (B * S, H), or (R, H) when only some rows are read.

        `bias`: float (B, 1, 1, S), 0 at tokens and the lowest number at padding.
        """
        query = self.query(x if read is None else x[read.rows])
        if read is not None:
            query = read.spread(query, batch)
        query, key, value = (self._split(t, batch) for t in (query, self.key(x), self.value(x)))
        context = self._attend(query, key, value, bias).transpose(1, 2).flatten(2).flatten(0, 1)
        return context if read is None else context[read.slots]

    def _split(self, x: Tensor, batch: int) -> Tensor:
        return x.view(batch, -1, self.heads, self.size).transpose(1, 2)  # (B, A, S, D)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        if query.device.type != "cpu":
            mask = None if bias is None else bias.to(query.dtype)
            return functional.scaled_dot_product_attention(query, key, value, mask, dropout)
        # On a CPU the backward pass of the fused kernel takes five times as long as these products.
        scores = (query * self.size**-0.5) @ key.transpose(-1, -2)  # (B, A, Q, S)
        if bias is not None:
            scores = scores + bias.to(scores.dtype)
        # The sums are made in float32; the result stays in the type of the products around it.
        probabilities = torch.softmax(scores, dim=-1, dtype=scores.dtype)
        return functional.dropout(probabilities, dropout) @ value


class BertOutput(nn.Module):
    """Linear, then LayerNorm over the sum with what went before."""

    def __init__(self, config: BertConfig, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, inner: Tensor, residual: Tensor) -> Tensor:
        """Float (n, inner), float (n, H) -> float (n, H)."""
        return cast("Tensor", self.LayerNorm(self.dropout(self.dense(inner)) + residual))


class BertLayer(nn.Module):
    """One encoder layer: attention, then feed-forward with the exact (erf) GELU."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        H, wide = config.hidden_size, config.intermediate_size
        attention, output = BertSelfAttention(config), BertOutput(config, H)
        self.attention = nn.ModuleDict({"self": attention, "output": output})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(H, wide)})
        self.output = BertOutput(config, wide)

    def forward(
        self, x: Tensor, bias: Tensor | None, batch: int, read: ReadRows | None = None
    ) -> Tensor:
        """Float (B * S, H) -> float (B * S, H), or (R, H) when only some rows are read."""
        context = self.attention["self"](x, bias, batch, read)
        attended = self.attention["output"](context, x if read is None else x[read.rows])
        wide = functional.gelu(self.intermediate["dense"](attended))
        return cast("Tensor", self.output(wide, attended))


class BertModel(nn.Module):
    """The encoder with its pooler."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": layers})
        pooler = nn.Linear(config.hidden_size, config.hidden_size)
        self.pooler = nn.ModuleDict({"dense": pooler})
        self.apply(lambda module: _initialise(module, config.initializer_range))

    def forward(
        self,
        ids: Tensor,
        token_types: Tensor,
        lengths: Tensor,
        rows: Tensor | ReadRows | None = None,
    ) -> Tensor:
        """The last hidden state of the rows that are read.

        Args:
            ids: int64 (B, S), padded at the end.
            token_types: int64 (B, S), 0 for the first segment and 1 for the second.
            lengths: int64 (B,), tokens per sequence without padding.
            rows: the rows that are read, int64 (R,) in any order or placed already; all when None.

        Returns:
            float (R, H), or (B * S, H).
        """
        batch, seq = ids.shape
        bias = padding_bias(lengths, seq)
        x = self.embeddings(ids, token_types)
        layers = list(cast("nn.ModuleList", self.encoder["layer"]))
        for layer in layers[:-1]:
            x = layer(x, bias, batch)
        read = ReadRows.of(rows, batch, seq) if isinstance(rows, Tensor) else rows
        return cast("Tensor", layers[-1](x, bias, batch, read))

    def pooled(self, cls_rows: Tensor) -> Tensor:
        """tanh(linear([CLS])): float (B, H), the rows of [CLS] -> float (B, H)."""
        return torch.tanh(self.pooler["dense"](cls_rows))


class MaskedWordsHead(nn.Module):
    """LayerNorm(GELU(linear(x))), then the word table as decoder, with a bias per word."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        H = config.hidden_size
        norm = nn.LayerNorm(H, eps=config.layer_norm_eps)
        self.transform = nn.ModuleDict({"dense": nn.Linear(H, H), "LayerNorm": norm})
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, words: WordTable) -> Tensor:
        """Float (n, H) -> float (n, V)."""
        transformed = functional.gelu(self.transform["dense"](hidden))
        return words.scores(self.transform["LayerNorm"](transformed), self.bias)


class BertForPreTraining(nn.Module):
    """The encoder with the heads for masked tokens and for next sentences (section 3.1)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config)
        masked, order = MaskedWordsHead(config), nn.Linear(config.hidden_size, 2)
        self.cls = nn.ModuleDict({"predictions": masked, "seq_relationship": order})
        self.cls.apply(lambda module: _initialise(module, config.initializer_range))

    def mlm_logits(self, hidden: Tensor) -> Tensor:
        """Float (n, H), rows of masked tokens -> float (n, V)."""
        words = self.bert.embeddings.word_embeddings
        return cast("Tensor", self.cls["predictions"](hidden, words))

    def nsp_logits(self, cls_rows: Tensor) -> Tensor:
        """Float (B, H), rows of [CLS] -> float (B, 2): IsNext, NotNext."""
        return cast("Tensor", self.cls["seq_relationship"](self.bert.pooled(cls_rows)))


def padding_bias(lengths: Tensor, seq: int) -> Tensor | None:
    """Int64 (B,) -> float32 (B, 1, 1, S) to add to attention scores; None without padding.

    Only on a CPU: elsewhere, to ask whether there is padding would mean to wait for the device.
    """
    padded = torch.arange(seq, device=lengths.device) >= lengths[:, None]
    if lengths.device.type == "cpu" and not bool(padded.any()):
        return None
    bias = torch.zeros(padded.shape, device=lengths.device)
    # Far below any score, and still a number in bfloat16 and float16.
    return bias.masked_fill(padded, -3e4)[:, None, None, :]


def _initialise(module: nn.Module, deviation: float) -> None:
    """The start of training from nothing: normal weights, zero biases (google-research/bert)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        # A truncated normal distribution, as the paper's code draws it.
        nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
