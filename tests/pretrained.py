"""A folder in, a small random BERT with both pretraining heads in it out.

It has the default model's vocabulary and knows nothing, but is sure of what it says: parity with it
means something, and needs no trained weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
import transformers

SEED: Final = 20181011
LONGEST: Final = 512  # tokens
SPREAD: Final = 0.2  # of weights
SURE: Final = 2.0  # as many times larger are the logits, so that words stand out of the vocabulary
NOISE: Final = 0.2  # of biases and norms, which would be 0 and 1


def write_pretraining_checkpoint(folder: Path, tokenizer_file: Path) -> None:
    """Write the checkpoint as transformers saves it; `tokenizer_file` lends its vocabulary."""
    pieces = json.loads(tokenizer_file.read_text(encoding="utf-8"))["model"]["vocab"]
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=36,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=60,
        max_position_embeddings=LONGEST,
        initializer_range=SPREAD,
    )
    torch.manual_seed(SEED)
    model = transformers.BertForPreTraining(config)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 1:
                weights.add_(NOISE * torch.randn_like(weights))
        model.cls.predictions.transform.LayerNorm.weight.mul_(SURE)
    model.save_pretrained(folder)
    listed = sorted(pieces, key=pieces.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")
    tokenizer: Any = transformers.BertTokenizerFast.from_pretrained(folder)
    tokenizer.model_max_length = LONGEST
    tokenizer.save_pretrained(folder)
