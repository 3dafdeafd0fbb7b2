"""Which families and classes are known, what they consist of, and what is refused by name.

Parameters are counted against transformers' own, and the textbook estimate beside them.
"""

from typing import Any

import pytest
import torch
import transformers

from export.__main__ import parameter_table
from export.architectures.bert import BERT
from export.architectures.registry import (
    ARCHITECTURES,
    class_of,
    classes_of,
    count_parameters,
    declared_heads,
    read_config,
    unused_settings,
)
from export.errors import ExportError
from export.read.config import EncoderConfig
from tests.export.read.test_config import fields

SEQUENCE, TOKEN = "BertForSequenceClassification", "BertForTokenClassification"
BASE = EncoderConfig(30522, 768, 12, 12, 3072, 512, 2, "gelu")
LARGE = EncoderConfig(30522, 1024, 24, 16, 4096, 512, 2, "gelu")
# As published with the paper's weights: BertModel, and BertForPreTraining with a tied decoder.
KNOWN = {"base": 109_482_240, "large": 335_141_888, "base pretraining": 110_106_428}


@pytest.mark.parametrize(
    "family", ["t5", "xlnet", "longformer", "deberta", "roberta-prelayernorm", "Bert"]
)
def test_another_family_is_refused_by_name(family: str) -> None:
    with pytest.raises(ExportError, match=rf"This is a {family} checkpoint; .* bert \(Bert\)"):
        read_config(fields(model_type=family))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"is_decoder": True}, "sets is_decoder"),
        ({"add_cross_attention": True}, "sets add_cross_attention"),
        ({"position_embedding_type": "alibi"}, "alibi position"),
        ({"architectures": ["BertForMultipleChoice"]}, "BertForMultipleChoice is not one"),
        ({"architectures": ["JinaBertForMaskedLM"]}, "JinaBertForMaskedLM is not one"),
        ({"architectures": ["TFBertForMultipleChoice"]}, "TFBertForMultipleChoice is not one"),
        ({"architectures": ["BertLMHeadModel"], "is_decoder": True}, "sets is_decoder"),
        ({"auto_map": {"AutoModel": "modeling.Own"}}, "its own code"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised already .*, gptq"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantised already .*, of no method"),
        ({"quantization_config": []}, "quantised already"),
        ({"hidden_size": 13}, "13 .* does not divide into 2"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ExportError, match=sentence) as caught:
        read_config(fields(**changes))
    assert str(caught.value).endswith(".")


NAMES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act"),
    *("intermediate_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps"),
    *("model_type", "architectures", "is_decoder", "add_cross_attention", "auto_map"),
    *("quantization_config", "position_embedding_type", "is_encoder_decoder"),
)
ODD: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    2,
    10**30,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    [],
    [1],
    [[]],
    {},
    {"a": []},
)


@pytest.mark.parametrize("name", NAMES)
def test_odd_value_of_any_field_is_taken_or_one_sentence(name: str) -> None:
    refused = []
    for value in ODD:
        try:
            config = read_config(fields(**{name: value}))
        except ExportError as error:
            refused.append(str(error))
        else:
            assert config.hidden_size % config.num_attention_heads == 0
    assert len(refused) > len(ODD) / 3
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in refused)


def test_file_that_names_no_family_is_berts() -> None:
    assert read_config(fields()).model_type == "bert"


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("BertLMHeadModel", {"mlm"}),
        ("TFBertLMHeadModel", {"mlm"}),
        ("TFBertModel", set()),
        ("FlaxBertForPreTraining", {"mlm", "nsp"}),
        ("FlaxBertForTokenClassification", {"token"}),
    ],
)
def test_class_with_the_same_weights_and_answers_is_known(name: str, heads: set[str]) -> None:
    named = fields(architectures=[name], is_decoder=False)
    assert read_config(named).model_type == "bert"
    assert declared_heads(named, BERT) == heads


def test_code_that_transformers_does_not_run_either_is_passed_over() -> None:
    own = {"AutoModel": "modeling_own.OwnModel"}
    named = fields(model_type="bert", architectures=["BertModel"], auto_map=own)
    assert read_config(named).model_type == "bert"
    assert "transformers has bert itself" in unused_settings(named)["auto_map"]
    assert unused_settings(fields(model_type="bert")) == {}


def test_classes_are_those_that_transformers_has_for_berts_heads() -> None:
    assert {name: sorted(heads) for name, heads in classes_of(BERT).items()} == {
        "BertModel": [],
        "BertForMaskedLM": ["mlm"],
        "BertForPreTraining": ["mlm", "nsp"],
        "BertForNextSentencePrediction": ["nsp"],
        "BertForSequenceClassification": ["sequence"],
        "BertForTokenClassification": ["token"],
        "BertForQuestionAnswering": ["qa"],
    }


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_every_class_of_a_family_is_one_of_transformers(family: str) -> None:
    architecture = ARCHITECTURES[family]
    known = classes_of(architecture)
    assert all(hasattr(transformers, name) for name in known)
    kinds = ("MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering")
    usual = {f"{architecture.class_prefix}For{kind}" for kind in kinds}
    assert {name for name in usual if hasattr(transformers, name)} <= set(known)
    config = transformers.CONFIG_MAPPING[family]
    assert config.__name__ == f"{architecture.class_prefix}Config"


@pytest.mark.parametrize(
    ("heads", "name"),
    [
        ((), "BertModel"),
        (("mlm",), "BertForMaskedLM"),
        (("nsp", "pooler"), "BertForNextSentencePrediction"),
        (("qa",), "BertForQuestionAnswering"),
        (("token",), TOKEN),
        (("mlm", "pooler", "sequence"), SEQUENCE),
        (("mlm", "nsp", "pooler", "sequence"), SEQUENCE),
    ],
)
def test_heads_have_the_class_that_loses_the_fewest(heads: tuple[str, ...], name: str) -> None:
    assert class_of(BERT, heads) == name


def counted_by_torch(config: EncoderConfig, architecture: str, **options: object) -> int:
    with torch.device("meta"):  # shapes only
        model = getattr(transformers, architecture)(
            transformers.BertConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.hidden_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                intermediate_size=config.intermediate_size,
                **options,
            )
        )
        model.tie_weights()
    return sum(parameter.numel() for parameter in set(model.parameters()))


def test_bert_base_and_large_have_their_known_counts() -> None:
    assert count_parameters(BASE, ("pooler",))["total"] == KNOWN["base"]
    assert count_parameters(LARGE, ("pooler",))["total"] == KNOWN["large"]
    pretraining = count_parameters(BASE, ("mlm", "nsp", "pooler"))["total"]
    assert pretraining == KNOWN["base pretraining"]


@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize(
    ("architecture", "heads"),
    [
        ("BertModel", ("pooler",)),
        ("BertForPreTraining", ("mlm", "nsp", "pooler")),
        ("BertForMaskedLM", ("mlm",)),
        ("BertForQuestionAnswering", ("qa",)),
    ],
)
def test_counts_equal_torch(
    config: EncoderConfig, architecture: str, heads: tuple[str, ...]
) -> None:
    expected = counted_by_torch(config, architecture)
    assert count_parameters(config, heads)["total"] == expected


def test_untied_decoder_counts_once_more() -> None:
    tied, untied = (count_parameters(BASE, ("mlm",), tied=tied)["mlm"] for tied in (True, False))
    assert untied - tied == 30522 * 768


def test_classifier_counts_its_labels() -> None:
    config = EncoderConfig(67, 12, 3, 2, 20, 29, 2, "gelu", labels=tuple("abcde"))
    assert count_parameters(config, ("token",))["token"] == 5 * 12 + 5


def test_parts_add_up_and_the_estimate_is_near() -> None:
    counts = count_parameters(BASE, ("mlm", "nsp", "pooler"))
    parts = ("embeddings", "encoder", "mlm", "nsp", "pooler")
    assert list(counts) == [*parts, "total", "textbook"]
    assert sum(counts[part] for part in parts) == counts["total"]
    assert counts["textbook"] == 30522 * 768 + 12 * 12 * 768 * 768
    assert counts["textbook"] == pytest.approx(counts["total"], rel=0.02)


def test_table_aligns_its_figures() -> None:
    lines = parameter_table(count_parameters(BASE, ("pooler",))).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert any(line.startswith("textbook V·H + L·12·H²") for line in lines)
