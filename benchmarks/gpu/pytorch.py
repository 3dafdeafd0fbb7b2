"""The same weights in transformers on PyTorch, on the same device: the peer that is easy to have.

float16, scaled-dot-product attention, texts sorted by length and padded to the longest of a batch.
Its batches lie in pinned memory before the clock starts; Cloze's are laid out while it runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import transformers

from benchmarks.gpu.bert import Bert
from export.keys import checkpoint_key
from server.inference.runtime.packing import Item, MaskScores

DECODER = "cls.predictions.decoder"


@dataclass(frozen=True)
class Padded:
    """A batch: int64 (texts, longest) twice, and which text and row each mask is in."""

    ids: torch.Tensor
    seen: torch.Tensor
    texts: torch.Tensor
    rows: torch.Tensor
    fills: bool

    def __len__(self) -> int:
        return len(self.ids)


class PyTorch:
    """BertForPreTraining and what one does with its outputs."""

    def __init__(self, bert: Bert, device: str) -> None:
        self._device = torch.device(device)
        config = transformers.BertConfig(
            vocab_size=bert.config.vocab_size,
            hidden_size=bert.config.hidden_size,
            num_hidden_layers=bert.config.num_hidden_layers,
            num_attention_heads=bert.config.num_attention_heads,
            intermediate_size=bert.config.intermediate_size,
            attn_implementation="sdpa",
        )
        with self._device:
            model = transformers.BertForPreTraining(config)
        weights = {
            checkpoint_key(name): torch.from_numpy(bert.weights[name]) for name in bert.weights
        }
        weights[f"{DECODER}.weight"] = torch.from_numpy(bert.weights["embeddings.word"])
        weights[f"{DECODER}.bias"] = torch.from_numpy(bert.weights["mlm.decoder.bias"])
        _, unknown = model.load_state_dict(weights, strict=False)
        if unknown:
            raise ValueError(f"expected PyTorch's names of weights, found {unknown[:3]}")
        self._model = model.to(torch.float16 if device == "cuda" else torch.float32).eval()

    def padded(self, items: Sequence[Item]) -> Padded:
        """Lay a batch out; pinned, so that it is copied while something else is computed."""
        longest = max(len(item.encoding) for item in items)
        ids = np.zeros((len(items), longest), np.int64)
        seen = np.zeros_like(ids)
        masks: list[tuple[int, int]] = []
        for text, item in enumerate(items):
            ids[text, : len(item.encoding)] = item.encoding.ids
            seen[text, : len(item.encoding)] = 1
            if isinstance(item.output, MaskScores):
                masks += [(text, row) for row in item.output.rows]
        places = np.array(masks, np.int64).reshape(-1, 2)
        texts, rows = np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1])
        ids_, seen_, texts_, rows_ = map(self._pinned, (ids, seen, texts, rows))
        return Padded(ids_, seen_, texts_, rows_, bool(masks))

    def _pinned(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self._device.type == "cuda" else tensor

    @torch.inference_mode()
    def answer(self, batch: Padded) -> list[np.ndarray]:
        """Logits of all rows, as BertForMaskedLM gives them, then the best words; or vectors."""
        hidden, seen = self._encode(batch)
        if not batch.fills:
            return [_mean(hidden, seen).cpu().numpy()]
        logits = self._model.cls.predictions(hidden)
        return self._best(logits[self._here(batch.texts), self._here(batch.rows)])

    @torch.inference_mode()
    def answer_read_rows(self, batch: Padded) -> list[np.ndarray]:
        """The same with logits of the masks alone, as somebody writes it who knows."""
        hidden, _ = self._encode(batch)
        rows = hidden[self._here(batch.texts), self._here(batch.rows)]
        return self._best(self._model.cls.predictions(rows))

    def _encode(self, batch: Padded) -> tuple[torch.Tensor, torch.Tensor]:
        seen = self._here(batch.seen)
        output = self._model.bert(input_ids=self._here(batch.ids), attention_mask=seen)
        return output.last_hidden_state, seen

    def _best(self, logits: torch.Tensor) -> list[np.ndarray]:
        best = torch.log_softmax(logits.float(), dim=-1).topk(5)
        return [best.indices.cpu().numpy(), best.values.cpu().numpy()]

    def _here(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, non_blocking=True)


def _mean(hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    weights = seen.unsqueeze(-1).float()
    return (hidden.float() * weights).sum(1) / weights.sum(1)
