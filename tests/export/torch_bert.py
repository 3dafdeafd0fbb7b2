"""What transformers computes in torch, one text at a time: the independent side of parity tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer

from export.check.layers import Text
from export.check.quantization_error import SENTENCES
from export.read.checkpoint import Checkpoint
from export.read.weights import Float32

# Output of the graph -> output of transformers, by architecture.
LOGITS = {
    "BertModel": {},
    "BertForPreTraining": {"mlm": "prediction_logits", "nsp_logits": "seq_relationship_logits"},
    "BertForMaskedLM": {"mlm": "logits"},
    "BertForNextSentencePrediction": {"nsp_logits": "logits"},
    "BertForSequenceClassification": {"sequence_logits": "logits"},
    "BertForTokenClassification": {"token_logits": "logits"},
    "BertForQuestionAnswering": {"start": "start_logits", "end": "end_logits"},
}
ARCHITECTURES = tuple(LOGITS)
# Without a decoder's mask, as it is with `is_decoder` false, it is one for masked words.
LM_HEAD = "BertLMHeadModel"


@dataclass(frozen=True)
class TorchOutputs:
    """All that one text gives."""

    hidden: list[Float32]
    """(n, H) after the embeddings and after each layer."""
    heads: dict[str, Float32]
    """By the graph's output names; "mlm_log_probabilities" is (n, V) in the vocabulary's order."""


class TorchBert:
    """A checkpoint as transformers loads it, in float32."""

    def __init__(self, folder: Path, architecture: str) -> None:
        model_class = getattr(transformers, architecture)
        self._model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
        self._logits = {"mlm": "logits"} if architecture == LM_HEAD else LOGITS[architecture]

    def __call__(self, text: Text) -> TorchOutputs:
        """Run one text alone: no padding, no mask."""
        with torch.no_grad():
            out = self._model(
                input_ids=torch.from_numpy(text.ids)[None],
                token_type_ids=torch.from_numpy(text.type_ids)[None],
                output_hidden_states=True,
            )
        heads = {name: out[field][0].numpy() for name, field in self._logits.items()}
        if "mlm" in heads:
            logits = torch.from_numpy(heads.pop("mlm"))
            heads["mlm_log_probabilities"] = torch.log_softmax(logits, dim=-1).numpy()
        if "start" in heads:
            heads["qa_logits"] = np.stack([heads.pop("start"), heads.pop("end")], axis=-1)
        return TorchOutputs([rows[0].numpy() for rows in out.hidden_states], heads)


def tiny_texts() -> list[Text]:
    """Ragged texts for the tiny models of `save`: 67 ids, 29 positions, both segments."""
    rng = np.random.default_rng(5)
    return [
        Text(rng.integers(0, 67, first + second), np.repeat([0, 1], [first, second]))
        for first, second in ((3, 0), (6, 5), (17, 12), (1, 4), (1, 0))
    ]


def real_texts(checkpoint: Checkpoint) -> list[Text]:
    """Sentences as the checkpoint's tokenizer reads them: short, pairs, and one of 200 tokens."""
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer_json)
    lines = SENTENCES.read_text(encoding="utf-8").splitlines()
    encodings = [
        tokenizer.encode(lines[0]),
        tokenizer.encode(lines[1], lines[2]),
        tokenizer.encode("Yes."),
        tokenizer.encode(" ".join(lines[:16])),
        tokenizer.encode("A [MASK] is worth a thousand [MASK].", lines[4]),
    ]
    return [Text(np.array(e.ids), np.array(e.type_ids)) for e in encodings]


def joined(parts: Sequence[TorchOutputs]) -> dict[str, Float32]:
    """The outputs that a graph has for these texts with all rows read, pooled by mean and max."""
    last = [part.hidden[-1] for part in parts]
    outputs = {
        "token_vectors": np.concatenate(last),
        "pooled": np.stack([rows.mean(axis=0) for rows in last]),
        "pooled_max": np.stack([rows.max(axis=0) for rows in last]),
    }
    for name in parts[0].heads:
        join = np.stack if name in {"nsp_logits", "sequence_logits"} else np.concatenate
        outputs[name] = join([part.heads[name] for part in parts])
    return outputs
