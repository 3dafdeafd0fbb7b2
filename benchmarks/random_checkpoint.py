"""The name of a size -> a checkpoint with random weights: speed does not depend on their values.

Runs in the exporter's environment, which has safetensors. Weights are larger than those that a
training begins with, so that attention prefers some tokens and rounding shows in the answers.

Usage: python -m benchmarks.random_checkpoint SIZE TOKENIZER.json OUT
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SEED = 2018
SPREAD = 1.2  # standard deviation of what a product makes of normalised rows
SIZES = {  # layers, hidden size, heads
    "tiny": (2, 64, 2),  # to try the benchmarks themselves
    "small": (6, 384, 12),  # all-MiniLM-L6-v2's
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}
VOCABULARY, POSITIONS, TYPES = 30_522, 512, 2
SPECIAL = ("cls", "sep", "mask", "pad", "unk")


def config(size: str) -> dict[str, object]:
    """Return what config.json says."""
    layers, hidden, heads = SIZES[size]
    return {
        "architectures": ["BertForPreTraining"],
        "model_type": "bert",
        "vocab_size": VOCABULARY,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "hidden_act": "gelu",
        "max_position_embeddings": POSITIONS,
        "position_embedding_type": "absolute",  # which CTranslate2 looks for
        "type_vocab_size": TYPES,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    }


def modules(size: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each module's name and its weight's shape: (outputs, inputs), or (hidden) of a norm."""
    layers, H, _ = SIZES[size]
    for kind, rows in (("word", VOCABULARY), ("position", POSITIONS), ("token_type", TYPES)):
        yield f"bert.embeddings.{kind}_embeddings", (rows, H)
    yield "bert.embeddings.LayerNorm", (H,)
    for layer in (f"bert.encoder.layer.{index}" for index in range(layers)):
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            yield f"{layer}.attention.{part}", (H, H)
        yield f"{layer}.attention.output.LayerNorm", (H,)
        yield f"{layer}.intermediate.dense", (4 * H, H)
        yield f"{layer}.output.dense", (H, 4 * H)
        yield f"{layer}.output.LayerNorm", (H,)
    yield "bert.pooler.dense", (H, H)
    yield "cls.predictions.transform.dense", (H, H)
    yield "cls.predictions.transform.LayerNorm", (H,)
    yield "cls.seq_relationship", (2, H)


def weights(size: str) -> dict[str, np.ndarray]:
    """Draw all weights as float32, the same ones every time; the gains of norms are ones."""
    chance = np.random.default_rng(SEED)
    spread = np.float32(SPREAD / SIZES[size][1] ** 0.5)
    drawn = {"cls.predictions.bias": chance.standard_normal(VOCABULARY, np.float32) * spread}
    for name, shape in modules(size):
        drawn[f"{name}.weight"] = np.ones(shape, np.float32)
        if len(shape) > 1:
            drawn[f"{name}.weight"] = chance.standard_normal(shape, np.float32) * spread
        if not name.endswith("_embeddings"):
            drawn[f"{name}.bias"] = chance.standard_normal(shape[0], np.float32) * spread
    return drawn


def write(size: str, tokenizer: Path, folder: Path) -> None:
    """Write a checkpoint in Hugging Face's format."""
    from safetensors.numpy import save_file  # noqa: PLC0415 - others only ask for the sizes

    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(size), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config(size), indent=1))
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    # What transformers of every version reads; version 5 saves what 4 cannot load.
    settings: dict[str, object] = {
        "tokenizer_class": "BertTokenizerFast",
        "model_max_length": POSITIONS,
    }
    settings |= {f"{name}_token": f"[{name.upper()}]" for name in SPECIAL}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
