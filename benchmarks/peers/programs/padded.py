"""Texts in, answers out of a plain ONNX export: a padded batch, logits for every token.

What one gets by exporting a checkpoint with Optimum and writing the rest in an afternoon. Shared by
the servers that batch in different ways.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.peers.programs.pooling import pooled

TOP_K = 5


class Padded:
    """The two sessions of one checkpoint, `folder/fill-mask` and `folder/embed`."""

    def __init__(self, folder: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = {
            task: onnxruntime.InferenceSession(
                str(folder / task / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for task in ("fill-mask", "embed")
        }
        self._tokenizer = Tokenizer.from_file(str(folder / "fill-mask" / "tokenizer.json"))
        self._tokenizer.enable_padding()
        self._mask = self._tokenizer.token_to_id("[MASK]")

    def answer(self, task: str, texts: Sequence[str]) -> list[Any]:
        """Answer each text of one batch."""
        encodings = self._tokenizer.encode_batch(list(texts))
        ids = np.array([encoding.ids for encoding in encodings], np.int64)
        seen = np.array([encoding.attention_mask for encoding in encodings], np.int64)
        feeds = {"input_ids": ids, "attention_mask": seen, "token_type_ids": np.zeros_like(ids)}
        (output,) = self._sessions[task].run(None, feeds)[:1]
        if task == "embed":
            return list(pooled(output, seen).tolist())
        rows, columns = np.nonzero(ids == self._mask)
        return [self._fillings(logits) for logits in output[rows, columns]]

    def _fillings(self, logits: NDArray[np.float32]) -> list[dict[str, Any]]:
        best = np.argsort(logits)[: -TOP_K - 1 : -1]
        odds = np.exp(logits - logits.max())
        scores = odds[best] / odds.sum()
        words = [self._tokenizer.id_to_token(token) for token in best]
        return [
            {"score": float(score), "token": int(token), "token_str": word}
            for score, token, word in zip(scores, best, words, strict=True)
        ]
