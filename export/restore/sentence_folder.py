"""A `PoolingSpec` and its weights in, the files of a sentence-transformers folder out.

The inverse of `export.read.modules`, `pooling`, `pooling_modules` and `sentence_settings`, for the
folder of a checkpoint in Hugging Face's format.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.read.files import MODULES
from export.read.modules import DENSE, LAYER_NORM, NORMALIZE, POOLING, TRANSFORMER
from export.read.pooling import POOLING_FLAGS
from export.read.pooling_modules import ACTIVATIONS, PARTS
from export.read.sentence_settings import MODEL_FILE, TRANSFORMER_FILES
from export.read.tensors import SINGLE
from export.read.torch_classes import torch_path
from export.restore.hugging_face import save_tensors, write_json
from models import pooling as pooling_kinds
from models.pooling import PoolingModule, PoolingSpec, modes_of, module_name

_KINDS = {
    pooling_kinds.DENSE: DENSE,
    pooling_kinds.LAYER_NORM: LAYER_NORM,
    pooling_kinds.NORMALIZE: NORMALIZE,
}


def write_pooling(
    folder: Path, pooling: PoolingSpec, weights: Mapping[str, NDArray[np.float32]], hidden: int
) -> None:
    """The files of sentence-transformers: how rows become a sentence vector, and its prompts.

    `weights` are those of the modules behind the pooling, by canonical name.
    """
    kinds = [TRANSFORMER, POOLING, *(_KINDS[module.kind] for module in pooling.modules)]
    kinds += [NORMALIZE] if pooling.normalize else []
    paths = ["", *(f"{index}_{kind}" for index, kind in enumerate(kinds) if index)]
    entries = [
        {
            "idx": index,
            "name": str(index),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    limits = {"max_seq_length": pooling.max_tokens, "do_lower_case": False}
    write_json(folder / MODULES, entries)
    write_json(folder / TRANSFORMER_FILES[0], limits)
    write_json(folder / paths[1] / "config.json", _pooling_fields(pooling, hidden))
    width = hidden * len(modes_of(pooling.mode))
    for number, module in enumerate(pooling.modules):
        place = folder / paths[2 + number]
        write_json(place / "config.json", _module_fields(module, width))
        _write_module(place, module_name(number), _KINDS[module.kind], weights)
        width = module.width
    settings = {
        "prompts": dict(pooling.prompts),
        "default_prompt_name": pooling.default_prompt,
        "similarity_fn_name": pooling.similarity,
        "truncate_dim": pooling.dimensions,
    }
    if any(settings.values()):
        write_json(folder / MODEL_FILE, settings)


def _pooling_fields(pooling: PoolingSpec, hidden: int) -> dict[str, Any]:
    """The fields of a Pooling; flags, which every version reads, where they tell the order."""
    modes = modes_of(pooling.mode)
    flags = {flag: mode in modes for flag, mode in POOLING_FLAGS.items()}
    flagged = [mode for flag, mode in POOLING_FLAGS.items() if flags[flag]]
    return {
        "word_embedding_dimension": hidden,
        **(flags if flagged == list(modes) else {"pooling_mode": list(modes)}),
        "include_prompt": pooling.include_prompt,
    }


def _module_fields(module: PoolingModule, width: int) -> dict[str, Any]:
    """The config.json of a module that gets `width` numbers."""
    if module.kind == pooling_kinds.LAYER_NORM:
        return {"dimension": width}
    if module.kind == pooling_kinds.NORMALIZE:
        return {}
    return {
        "in_features": width,
        "out_features": module.width,
        "bias": module.bias,
        "activation_function": torch_path(module.activation, ACTIVATIONS),
    }


def _write_module(
    folder: Path, name: str, kind: str, weights: Mapping[str, NDArray[np.float32]]
) -> None:
    """model.safetensors of a module whose weights' canonical names begin with `name`."""
    tensors = {
        key.replace(name, PARTS[kind], 1): value
        for key, value in weights.items()
        if key.rpartition(".")[0] == name
    }
    if tensors:
        save_tensors(folder / SINGLE, tensors)
