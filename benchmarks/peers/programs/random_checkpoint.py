"""The name of a size -> a checkpoint with random weights: speed does not depend on their values.

Usage: random_checkpoint.py small|base|large TOKENIZER.json OUT
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForPreTraining

SEED = 0
SIZES = {  # layers, hidden size, heads
    "small": (6, 384, 12),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}


def main() -> None:
    """Write model and tokenizer."""
    size, tokenizer, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    layers, hidden, heads = SIZES[size]
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        position_embedding_type="absolute",  # which CTranslate2 looks for
    )
    torch.manual_seed(SEED)
    BertForPreTraining(config).save_pretrained(folder)
    write_tokenizer(tokenizer, config.max_position_embeddings, folder)


def write_tokenizer(tokenizer: Path, longest: int, folder: Path) -> None:
    """Write what transformers of every version reads; version 5 saves what 4 cannot load."""
    special = {
        f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "mask", "pad", "unk")
    }
    settings = {"tokenizer_class": "BertTokenizerFast", "model_max_length": longest} | special
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    main()
