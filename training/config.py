"""A checkpoint's config.json in, the shape of a BERT out, and back; the paper's sizes by name."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from export.architectures.registry import read_config as read_encoder
from export.read.config import SIZES as SIZE_FIELDS
from export.read.config import EncoderConfig
from export.read.documents import Fields
from training.errors import TrainingError, refusing

CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT encoder, in the names of Hugging Face's config.json."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        if self.hidden_act != "gelu":
            raise TrainingError(
                f"Training knows the activation `gelu` (with erf), not `{self.hidden_act}`."
            )

    def with_dropout(self, probability: float) -> "BertConfig":
        """The same shape with one dropout probability everywhere."""
        return replace(
            self, hidden_dropout_prob=probability, attention_probs_dropout_prob=probability
        )


# layers, hidden size, heads; the feed-forward layer is four times as wide as the hidden one.
# base and large: Devlin et al. 2018, section 3; the small ones: Turc et al. 2019, table 1.
_SIZES = {
    "bert-tiny": (2, 128, 2),
    "bert-mini": (4, 256, 4),
    "bert-small": (4, 512, 8),
    "bert-medium": (8, 512, 8),
    "bert-base": (12, 768, 12),
    "bert-large": (24, 1024, 16),
}
SIZES = tuple(_SIZES)


def named_config(name: str, *, vocab_size: int) -> BertConfig:
    """The configuration of one of `SIZES` for a vocabulary.

    >>> base = named_config("bert-base", vocab_size=30522)
    >>> base.num_hidden_layers, base.hidden_size, base.intermediate_size
    (12, 768, 3072)
    """
    if name not in _SIZES:
        raise TrainingError(f"There is no size `{name}`; the sizes are {', '.join(SIZES)}.")
    layers, hidden, heads = _SIZES[name]
    return BertConfig(vocab_size, hidden, layers, heads, intermediate_size=4 * hidden)


def read_shape(folder: Path) -> EncoderConfig:
    """The sizes in `folder`'s config.json; a `TrainingError` where there are none of a BERT's.

    What it says of heads is passed over: training puts its own on the encoder.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise TrainingError(f"{folder} holds no {CONFIG_FILE}: it is not a checkpoint.")
    with refusing(folder):
        fields = Fields.of(path)
        of_heads = {"architectures", "id2label"}
        encoder = {name: value for name, value in fields.values.items() if name not in of_heads}
        shape = read_encoder(Fields(encoder, fields.file))
    if shape.model_type != "bert":
        raise TrainingError(f"{folder} is a {shape.model_type} checkpoint; training knows BERT's.")
    return shape


def read_config(folder: Path) -> BertConfig:
    """The configuration in `folder`'s config.json; errors as those of `read_shape`."""
    shape = read_shape(folder)
    document = json.loads((folder / CONFIG_FILE).read_bytes())
    known = {field.name for field in fields(BertConfig)}
    chosen = {name: value for name, value in document.items() if name in known}
    return BertConfig(**chosen | {name: getattr(shape, name) for name in SIZE_FIELDS})


def write_config(folder: Path, config: BertConfig, architecture: str, **more: Any) -> None:
    """Write `folder`'s config.json for a checkpoint of `architecture`, with `more` values in it."""
    document = {"architectures": [architecture], "model_type": "bert", **asdict(config), **more}
    text = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
