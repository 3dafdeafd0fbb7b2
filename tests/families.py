"""Small random encoders of every family and of every class that transformers has for it.

In odd sizes, and saved by transformers itself. A new family is its lines in `FAMILIES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from export.architectures.registry import architecture_of, canonical_shapes
from export.check.layers import Text
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.read.weights import Float32
from models.heads import HEADS, heads_named
from tests.export.built_graph import MemoryWeights

PIECES = str(Path(__file__).parent / "export" / "data" / "vocab.txt")
LABELS = 5
SIZES = {
    "vocab_size": 67,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 44,
    "max_position_embeddings": 41,
}
LENGTHS = (3, 11, 29, 5, 1)  # ragged
LONG_LENGTHS = (40, 1, 500, 7, 2)  # more so


@dataclass(frozen=True)
class Family:
    """One family, or one choice of its configuration."""

    config: str
    """The class of its configuration."""
    classes: tuple[str, ...]
    """What follows the family's name in its classes, those that Cloze reads."""
    options: dict[str, Any] = field(default_factory=dict)
    spread: float = 0.12
    """Standard deviation of its random weights."""
    prepare: Callable[[Any], None] | None = None
    """Makes of a model of transformers what its version 4 had; version 5 reads it no more."""

    def model(self, kind: str) -> Any:
        """A random model of one class, ready to compute."""
        torch.manual_seed(11)
        labels = {} if kind == "ForQuestionAnswering" else {"num_labels": LABELS}
        config = getattr(transformers, self.config)(**SIZES | self.options | labels)
        model = getattr(transformers, self.config.removesuffix("Config") + kind)(config)
        for name, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, std=self.spread)
            parameter.data += "norm.weight" in name.lower()
        if self.prepare is not None:
            self.prepare(model)
        return model.float().eval()


def with_distances(model: Any) -> None:
    """Positions are told by vectors for distances, as `BertSelfAttention` of version 4 has them."""
    config = model.config
    size = config.hidden_size // config.num_attention_heads

    def attend(module: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
        place = torch.arange(query.shape[2])
        rows = place[:, None] - place + config.max_position_embeddings - 1
        vectors = module.distance_embedding(rows)
        scores = query @ key.transpose(2, 3) + torch.einsum("bhld,lrd->bhlr", query, vectors)
        if config.position_embedding_type == "relative_key_query":
            scores = scores + torch.einsum("bhrd,lrd->bhlr", key, vectors)
        context = (scores / size**0.5).softmax(-1) @ value
        return context.transpose(1, 2).contiguous(), None

    ALL_ATTENTION_FUNCTIONS.register("by_distance", attend)
    for module in model.modules():
        if hasattr(module, "key"):
            module.config._attn_implementation = "by_distance"
            module.distance_embedding = torch.nn.Embedding(
                2 * config.max_position_embeddings - 1, size
            )
        if hasattr(module, "position_embeddings"):
            torch.nn.init.zeros_(module.position_embeddings.weight)


USUAL = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
ROBERTA = {"type_vocab_size": 1, "pad_token_id": 1}
FAMILIES = {
    "bert": Family("BertConfig", USUAL),
    "roberta": Family("RobertaConfig", USUAL, ROBERTA),
    "xlm-roberta": Family("XLMRobertaConfig", USUAL, ROBERTA | {"layer_norm_eps": 1e-5}),
    "camembert": Family("CamembertConfig", USUAL, ROBERTA | {"hidden_act": "relu"}),
    "roberta untied": Family(
        "RobertaConfig", ("ForMaskedLM",), ROBERTA | {"tie_word_embeddings": False}
    ),
}
FAMILIES |= {
    f"{family} {kind}": Family(
        f"{family}Config",
        ("ForMaskedLM",),
        own | {"position_embedding_type": kind},
        0.12,
        with_distances,
    )
    for family, kind, own in (
        ("Bert", "relative_key", {}),
        ("Roberta", "relative_key_query", ROBERTA),
    )
}
FAMILIES |= {
    "distilbert": Family("DistilBertConfig", USUAL, {"hidden_dim": 44}),
    "mpnet": Family("MPNetConfig", USUAL),
    "electra": Family("ElectraConfig", (*USUAL, "ForPreTraining"), {"embedding_size": 20}),
    "electra unprojected": Family("ElectraConfig", USUAL[1:2], {"embedding_size": 32}),
}
FAMILIES |= {
    "albert": Family("AlbertConfig", USUAL, {"embedding_size": 20}),
    "albert groups": Family(
        "AlbertConfig",
        ("ForPreTraining",),
        {"embedding_size": 32, "num_hidden_groups": 2, "num_hidden_layers": 5},
    ),
}
MODERN = {"local_attention": 8, "pad_token_id": 0, "global_attn_every_n_layers": 2}
EVERY_BIAS = {f"{part}_bias": True for part in ("norm", "attention", "mlp", "classifier")}
FAMILIES |= {
    "modernbert": Family("ModernBertConfig", USUAL, MODERN | {"num_hidden_layers": 4}),
    "modernbert mean": Family(
        "ModernBertConfig", USUAL[2:3], MODERN | EVERY_BIAS | {"classifier_pooling": "mean"}
    ),
}
DEBERTA = {
    "relative_attention": True,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 8,
    "layer_norm_eps": 1e-7,
}
FAMILIES |= {
    "deberta-v3": Family("DebertaV2Config", USUAL, DEBERTA),
    "deberta-v3 segments": Family(
        "DebertaV2Config",
        USUAL[2:3],
        DEBERTA | {"type_vocab_size": 2, "pooler_hidden_act": "relu", "max_relative_positions": 30},
    ),
    "nomicbert": Family("NomicBertConfig", USUAL[:-1], {"pad_token_id": 0}),
}


@dataclass(frozen=True)
class Made:
    """A checkpoint and the model that saved it."""

    folder: Path
    model: Any
    checkpoint: Checkpoint

    @property
    def texts(self) -> list[Text]:
        """Ragged texts of random tokens, every token of the vocabulary among those possible."""
        return self.texts_of(LENGTHS)

    def texts_of(self, lengths: Sequence[int]) -> list[Text]:
        """The same of these lengths."""
        rng = np.random.default_rng(5)
        config = self.checkpoint.config
        segments = config.type_vocab_size if config.segments else 1
        return [
            Text(rng.integers(0, config.vocab_size, n), np.sort(rng.integers(0, segments, n)))
            for n in lengths
        ]

    def wanted(self, text: Text) -> dict[str, Float32]:
        """What transformers computes for one text alone, by the graph's outputs."""
        inputs = {"input_ids": torch.from_numpy(text.ids)[None]}
        if self.checkpoint.config.segments:
            inputs["token_type_ids"] = torch.from_numpy(text.type_ids)[None]
        with torch.no_grad():
            out = self.model(**inputs, output_hidden_states=True)
        last = out.hidden_states[-1][0].numpy()
        outputs = {"token_vectors": last, "before": out.hidden_states[-2][0].numpy()}
        for head in heads_named(self.checkpoint.heads):
            if head.name == "mlm":
                logits = out["logits" if "logits" in out else "prediction_logits"]
                scores = torch.log_softmax(logits[0], dim=-1)
                outputs["mlm_log_probabilities"] = scores.numpy()
            elif head.name == "qa":
                ends = [out["start_logits"][0].numpy(), out["end_logits"][0].numpy()]
                outputs["qa_logits"] = np.stack(ends, axis=-1)
            elif head.is_product:
                outputs[head.output] = out["logits"][0].numpy()
        return outputs


def make(name: str, kind: str, folder: Path, **options: Any) -> Made:
    """The family's random model of one class, with `options`, saved into `folder`, and read."""
    family = FAMILIES[name]
    model = replace(family, options=family.options | options).model(kind)
    model.save_pretrained(folder)
    # Word pieces for every family, by the one class that transformers leaves as the file has it.
    pieces = transformers.BertTokenizerFast(PIECES, do_lower_case=True)
    pieces.backend_tokenizer.save(str(folder / "tokenizer.json"))
    special = {
        f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")
    }
    named = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return Made(folder, model, read_checkpoint(folder))


def with_every_head(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with random heads in the place of those that its family may have and it lacks.

    Its labels are three, whatever it had.
    """
    lacks = architecture_of(checkpoint.config).lacks
    heads = tuple(head.name for head in HEADS if head.name not in lacks)
    labels = ("a", "b", "c")
    config = replace(checkpoint.config, labels=labels)
    random = np.random.default_rng(5)
    by_label = {f"{head.name}." for head in HEADS if head.by_label}
    own = {
        name: checkpoint.weights[name].copy()
        for name in checkpoint.weights
        if not name.startswith(tuple(by_label))
    }
    for name, shape in canonical_shapes(config, heads, labels=len(labels)).items():
        own.setdefault(name, random.normal(0, 0.5, shape).astype(np.float32))
    return replace(checkpoint, config=config, heads=heads, weights=MemoryWeights(own))
