"""transformers on PyTorch, on a GPU, as a bare loop: the peer that is easy to have.

float16 on a GPU, scaled-dot-product attention, texts sorted by length and padded to the longest of
a batch. Its batches lie in pinned memory before the clock starts; Cloze's are laid out meanwhile.

Usage: pytorch_loop.py CHECKPOINT --batch-tokens N [--device cpu] [--masks-alone]
"""

import argparse
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.batches import full
from benchmarks.loops import Step, Texts, serve, stepping
from benchmarks.peers.programs.padded import TOP_K, Feeds, PaddedModel

THREADS = 2  # one lays out and reads back while the other's batch is computed

Batch = dict[str, torch.Tensor]
"""The inputs of BERT, int64 (batch, seq), and `rows`: which of batch * seq hold a mask."""


class PyTorch(PaddedModel):
    """BertForPreTraining and what one does with its outputs."""

    def __init__(
        self, checkpoint: Path, device: str, batch_tokens: int, *, masks_alone: bool
    ) -> None:
        super().__init__(checkpoint / "tokenizer.json", THREADS)
        self._device = torch.device(device)
        self._batch_tokens, self._masks_alone = batch_tokens, masks_alone
        precision = torch.float16 if device == "cuda" else torch.float32
        self._model = transformers.BertForPreTraining.from_pretrained(
            checkpoint, attn_implementation="sdpa", dtype=precision
        )
        self._model.to(self._device).eval()

    def prepare(self, task: str, texts: Texts, waiting: int) -> Step:
        """Lay out full batches; one text each where one waits."""
        lengths = [len(self._tokenizer.encode(text).ids) for (text,) in texts]
        sized = list(zip(texts, lengths, strict=True))
        laid = [[text] for text in sized]
        if waiting > 1:
            laid = full(sized, self._batch_tokens, itemgetter(1), padded=True)
        batches = [self._pinned(self._feeds([text for text, _ in batch])) for batch in laid]
        return stepping(
            batches, lambda batch: self._answer(task, batch), lambda batch: len(batch["input_ids"])
        )

    def answers(self, task: str, texts: Texts) -> list[Any]:
        """Answer one batch: the best token of each mask, or the vectors."""
        found = self.run(task, self._feeds(texts))
        return list((found[:, 0] if task == "fill-mask" else found).tolist())

    def run(self, task: str, feeds: Feeds) -> np.ndarray:
        """Return the best tokens, or the vectors."""
        return self._answer(task, self._pinned(feeds)).numpy()

    @torch.inference_mode()
    def _answer(self, task: str, batch: Batch) -> torch.Tensor:
        """Best tokens int64 (masks, TOP_K), or vectors float32 (texts, hidden), on the CPU."""
        here = {name: part.to(self._device, non_blocking=True) for name, part in batch.items()}
        rows = here.pop("rows")
        hidden = self._model.bert(**here).last_hidden_state
        if task == "embed":
            weights = here["attention_mask"].unsqueeze(-1).float()
            means = (hidden.float() * weights).sum(1) / weights.sum(1)
            return torch.nn.functional.normalize(means).cpu()
        if self._masks_alone:  # as somebody writes it who knows
            logits = self._model.cls.predictions(hidden.flatten(0, 1)[rows])
        else:  # logits of all rows, as BertForMaskedLM gives them
            logits = self._model.cls.predictions(hidden).flatten(0, 1)[rows]
        best = torch.log_softmax(logits.float(), dim=-1).topk(TOP_K)
        best.values.cpu()
        return best.indices.cpu()

    def _pinned(self, feeds: Feeds) -> Batch:
        masks = (feeds["input_ids"] == self._mask).reshape(-1).nonzero()[0]
        tensors = {name: torch.from_numpy(part) for name, part in {**feeds, "rows": masks}.items()}
        if self._device.type == "cuda":
            return {name: tensor.pin_memory() for name, tensor in tensors.items()}
        return tensors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="pytorch_loop.py")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--batch-tokens", type=int, required=True)
    parser.add_argument("--masks-alone", action="store_true")
    serve(PyTorch(**vars(parser.parse_args())))
