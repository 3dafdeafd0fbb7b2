"""Three sizes -> a checkpoint with random weights: speed does not depend on their values.

They are larger than those that a training begins with, so that attention prefers some tokens and
rounding shows in the answers.

Usage: random_checkpoint.py LAYERS HIDDEN HEADS TOKENIZER.json OUT
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForPreTraining

SEED = 0
SPREAD = 1.2  # standard deviation of what a product makes of normalised rows
SPECIAL = ("cls", "sep", "mask", "pad", "unk")


def write(layers: int, hidden: int, heads: int, tokenizer: Path, folder: Path) -> None:
    """Write model and tokenizer."""
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        initializer_range=SPREAD / hidden**0.5,
        position_embedding_type="absolute",  # which CTranslate2 looks for
    )
    torch.manual_seed(SEED)
    BertForPreTraining(config).save_pretrained(folder)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    # What transformers of every version reads; version 5 saves what 4 cannot load.
    settings = {f"{name}_token": f"[{name.upper()}]" for name in SPECIAL}
    settings |= {"tokenizer_class": "BertTokenizerFast"}
    settings |= {"model_max_length": config.max_position_embeddings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    layers, hidden, heads = map(int, sys.argv[1:4])
    write(layers, hidden, heads, Path(sys.argv[4]), Path(sys.argv[5]))
