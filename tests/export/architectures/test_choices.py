"""What a config.json of each family may say, in old names and new, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from export.architectures.registry import architecture_of, read_config
from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from export.read.config import EncoderConfig
from export.read.documents import Fields
from tests import families

SIZES = {
    "vocab_size": 67,
    "hidden_size": 32,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 44,
    "max_position_embeddings": 41,
}
WHOLE, LOCAL = "full_attention", "sliding_attention"
DEBERTA = {"model_type": "deberta-v2", **families.DEBERTA}


def read(family: str, **fields: Any) -> EncoderConfig:
    return read_config(Fields({**SIZES, "model_type": family, **fields}, "config.json"))


def test_positions_begin_behind_the_padding_token() -> None:
    for padding, most in ((1, 39), (0, 40), (5, 35)):
        config = read("roberta", pad_token_id=padding)
        assert architecture_of(config).max_tokens(config) == most
    config = read("xlm-roberta")
    assert architecture_of(config).max_tokens(config) == 39


def test_modernbert_is_read_in_the_names_of_both_versions() -> None:
    older = read(
        "modernbert",
        hidden_activation="gelu",
        norm_eps=1e-5,
        global_attn_every_n_layers=2,
        global_rope_theta=80000,
        local_rope_theta=9000.0,
        classifier_pooling="mean",
    )
    newer = read(
        "modernbert",
        hidden_activation="gelu",
        norm_eps=1e-5,
        layer_types=[WHOLE, LOCAL] * 3,
        rope_parameters={
            WHOLE: {"rope_type": "default", "rope_theta": 80000.0},
            LOCAL: {"rope_type": "default", "rope_theta": 9000},
        },
        classifier_pooling="mean",
    )
    assert older == newer
    assert older.choices["global_attn_every_n_layers"] == 2
    assert (older.classifier_pooling, older.segments) == ("mean", False)
    assert read("modernbert").choices["global_attn_every_n_layers"] == 3


def test_nomicbert_is_read_in_the_names_of_its_own_code_too() -> None:
    own = {
        "model_type": "nomic_bert",
        "architectures": ["NomicBertModel"],
        "auto_map": {
            "AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"
        },
        "vocab_size": 67,
        "n_embd": 32,
        "n_layer": 6,
        "n_head": 4,
        "n_inner": 44,
        "n_positions": 41,
        "layer_norm_epsilon": 1e-12,
        "activation_function": "swiglu",
        "rotary_emb_base": 500,
        "rotary_emb_fraction": 1.0,
        "rotary_scaling_factor": None,
        "qkv_proj_bias": False,
        "prenorm": False,
    }
    theirs = read("nomic_bert", rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    assert read_config(Fields(own, "config.json")) == theirs
    with pytest.raises(ExportError, match=r"rotary_scaling_factor in config\.json must be None"):
        read_config(Fields({**own, "rotary_scaling_factor": 2}, "config.json"))
    with pytest.raises(ExportError, match=r"n_embd 30 in config\.json does not divide into 4"):
        read_config(Fields({**own, "n_embd": 30}, "config.json"))


@pytest.mark.parametrize(
    ("family", "fields", "sentence"),
    [
        ("roberta", {"position_embedding_type": "alibi"}, "asks for alibi position embeddings"),
        ("roberta", {"architectures": ["RobertaForNextSentencePrediction"]}, "is not one that"),
        ("camembert", {"architectures": ["RobertaModel"]}, "The architecture RobertaModel is not"),
        ("distilbert", {"dim": 30, "n_layers": 2, "n_heads": 4, "hidden_dim": 9}, "dim 30 in"),
        ("distilbert", {}, "lacks dim"),
        ("mpnet", {"relative_attention_num_buckets": 16}, "is 16; MPNet computes with 32"),
        ("electra", {"embedding_size": 0}, "embedding_size in .* at least 1"),
        ("albert", {"inner_group_num": 2}, "inner_group_num in config.json is 2"),
        ("albert", {"num_hidden_groups": 7}, "is 7, more than its 6 layers"),
        ("modernbert", {"decoder_bias": False}, "decoder_bias"),
        ("modernbert", {"classifier_pooling": "last"}, "classifier_pooling .* must be cls or mean"),
        ("modernbert", {"layer_types": [WHOLE, WHOLE, *[LOCAL] * 4]}, "layer_types in"),
        ("modernbert", {"layer_types": [WHOLE]}, "layer_types in config.json must give each of 6"),
        ("modernbert", {"rope_parameters": {WHOLE: {"rope_type": "yarn"}}}, "of the type yarn"),
        ("modernbert", {"rope_parameters": []}, "rope_parameters in config.json must be an object"),
        ("nomic_bert", {"rope_parameters": {"rope_type": "linear"}}, "of the type linear"),
        ("nomic_bert", {"head_dim": 16}, "head_dim in config.json must be 8"),
        ("deberta-v2", DEBERTA | {"conv_kernel_size": 3}, "conv_kernel_size in"),
        ("deberta-v2", DEBERTA | {"share_att_key": False}, "share_att_key in"),
        ("deberta-v2", {}, "relative_attention in config.json must be True"),
        ("deberta-v2", DEBERTA | {"pos_att_type": "c2p"}, "pos_att_type in config.json must be"),
        ("deberta-v2", DEBERTA | {"pos_att_type": None}, "pos_att_type in config.json must be"),
        ("deberta-v2", DEBERTA | {"position_buckets": -1}, "position_buckets in"),
        ("deberta-v2", DEBERTA | {"embedding_size": 16}, "embedding_size in"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    family: str, fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ExportError, match=sentence) as caught:
        read(family, **fields)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_encoders_own_pooler_is_passed_over_and_listed(tmp_path: Path) -> None:
    made = families.make("roberta", "Model", tmp_path / "roberta")
    assert made.checkpoint.heads == ()
    assert set(made.checkpoint.ignored) == {"pooler.dense.weight", "pooler.dense.bias"}
    tuned = families.make("roberta", "ForSequenceClassification", tmp_path / "tuned")
    # As older versions saved it: the encoder's pooler beside the classifier's dense layer.
    weights = load_file(tuned.folder / "model.safetensors")
    own = load_file(made.folder / "model.safetensors")
    weights |= {f"roberta.{name}": own[name] for name in made.checkpoint.ignored}
    save_file(weights, tuned.folder / "model.safetensors")
    again = read_checkpoint(tuned.folder)
    assert again.heads == ("pooler", "sequence")
    assert set(again.ignored) == {f"roberta.{name}" for name in made.checkpoint.ignored}
    dense = weights["classifier.dense.weight"]
    assert (again.weights["pooler.weight"] == dense).all()


def test_head_that_several_classes_share_needs_the_class(tmp_path: Path) -> None:
    made = families.make("modernbert", "ForTokenClassification", tmp_path / "tokens")
    assert made.checkpoint.heads == ("token",)
    path = made.folder / "config.json"
    document = json.loads(path.read_text())
    del document["architectures"]
    path.write_text(json.dumps(document))
    with pytest.raises(ExportError, match=r"does not say whether it is ModernBertFor"):
        read_checkpoint(made.folder)
