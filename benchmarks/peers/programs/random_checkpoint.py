"""The name of a size -> a checkpoint with random weights: speed does not depend on their values.

Usage: random_checkpoint.py small|base|large TOKENIZER.json OUT
"""

import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerFast

SEED = 0
SIZES = {  # layers, hidden size, heads
    "small": (6, 384, 12),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}


def main() -> None:
    """Write model and tokenizer."""
    size, tokenizer, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    layers, hidden, heads = SIZES[size]
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )
    torch.manual_seed(SEED)
    BertForPreTraining(config).save_pretrained(folder)
    special = {
        f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "mask", "pad", "unk")
    }
    PreTrainedTokenizerFast(
        tokenizer_file=tokenizer, model_max_length=config.max_position_embeddings, **special
    ).save_pretrained(folder)


if __name__ == "__main__":
    main()
