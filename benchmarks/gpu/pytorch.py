"""The same weights in transformers on PyTorch, as a bare loop: the peer that is easy to have.

float16 on a GPU, scaled-dot-product attention, texts sorted by length and padded to the longest of
a batch. Its batches lie in pinned memory before the clock starts; Cloze's are laid out meanwhile.

Usage: python -m benchmarks.gpu.pytorch CHECKPOINT --batch-tokens N [--device cpu] [--masks-alone]
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer

from benchmarks.batches import full, packed
from benchmarks.loops import Step, Texts, serve

THREADS = 2  # one lays out and reads back while the other's batch is computed
TOP_K = 5


@dataclass(frozen=True)
class Padded:
    """A batch: int64 (texts, longest) twice, and which text and row each mask is in."""

    ids: torch.Tensor
    seen: torch.Tensor
    texts: torch.Tensor
    rows: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)


class PyTorch:
    """BertForPreTraining and what one does with its outputs."""

    threads = THREADS

    def __init__(
        self, checkpoint: Path, device: str, batch_tokens: int, *, masks_alone: bool
    ) -> None:
        self._device = torch.device(device)
        self._batch_tokens, self._masks_alone = batch_tokens, masks_alone
        precision = torch.float16 if device == "cuda" else torch.float32
        self._model = transformers.BertForPreTraining.from_pretrained(
            checkpoint, attn_implementation="sdpa", dtype=precision
        )
        self._model.to(self._device).eval()
        self._tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        self._mask = self._tokenizer.token_to_id("[MASK]")

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:
        """Lay out padded batches; one text each where one waits."""
        encoded = self._encoded(texts)
        if waiting == 1:
            laid = packed(encoded, 1, len)
        else:
            laid = full(encoded, self._batch_tokens, len, padded=True)
        batches = [self._padded(batch) for batch in laid]

        def step(number: int) -> int:
            batch = batches[number % len(batches)]
            self._answer(task, batch)
            return len(batch)

        return step

    def answers(self, task: str, texts: Texts) -> list[Any]:
        """Answer one batch: the best token of each mask, or the vectors."""
        found = self._answer(task, self._padded(self._encoded(texts)))
        return list((found[:, 0] if task == "fill-mask" else found).tolist())

    @torch.inference_mode()
    def _answer(self, task: str, batch: Padded) -> np.ndarray:
        """Best tokens int64 (masks, TOP_K), or vectors float32 (texts, hidden)."""
        seen = self._here(batch.seen)
        hidden = self._model.bert(self._here(batch.ids), attention_mask=seen).last_hidden_state
        if task == "embed":
            weights = seen.unsqueeze(-1).float()
            means = (hidden.float() * weights).sum(1) / weights.sum(1)
            return np.asarray(torch.nn.functional.normalize(means).cpu().numpy())
        places = self._here(batch.texts), self._here(batch.rows)
        if self._masks_alone:  # as somebody writes it who knows
            logits = self._model.cls.predictions(hidden[places])
        else:  # logits of all rows, as BertForMaskedLM gives them
            logits = self._model.cls.predictions(hidden)[places]
        best = torch.log_softmax(logits.float(), dim=-1).topk(TOP_K)
        best.values.cpu()
        return np.asarray(best.indices.cpu().numpy())

    def _encoded(self, texts: Texts) -> list[list[int]]:
        return [found.ids for found in self._tokenizer.encode_batch([text for (text,) in texts])]

    def _padded(self, batch: Sequence[list[int]]) -> Padded:
        ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
        seen = np.zeros_like(ids)
        for text, found in enumerate(batch):
            ids[text, : len(found)] = found
            seen[text, : len(found)] = 1
        texts, rows = np.nonzero(ids == self._mask)
        return Padded(*map(self._pinned, (ids, seen, texts, rows)))

    def _pinned(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self._device.type == "cuda" else tensor

    def _here(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, non_blocking=True)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.pytorch")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--batch-tokens", type=int, required=True)
    parser.add_argument("--masks-alone", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    serve(PyTorch(**vars(read_options())))
