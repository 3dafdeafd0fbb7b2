"""Which families and classes are known, what they say of heads, and what is refused by name."""

from typing import Any

import pytest

from export.architectures.bert import BERT
from export.architectures.registry import class_of, classes_of, declared_heads, read_config
from export.errors import ExportError
from export.read.documents import Fields
from tests.export.read.test_config import fields

SEQUENCE, TOKEN = "BertForSequenceClassification", "BertForTokenClassification"


@pytest.mark.parametrize(
    "family", ["roberta", "distilbert", "albert", "electra", "deberta-v2", "xlm-roberta", "t5"]
)
def test_another_family_is_refused_by_name(family: str) -> None:
    with pytest.raises(ExportError, match=f"This is a {family} checkpoint; .* Bert"):
        read_config(fields(model_type=family))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"is_decoder": True}, "sets is_decoder"),
        ({"add_cross_attention": True}, "sets add_cross_attention"),
        ({"position_embedding_type": "relative_key_query"}, "relative_key_query position"),
        ({"position_embedding_type": "alibi"}, "alibi position"),
        ({"architectures": ["BertForMultipleChoice"]}, "BertForMultipleChoice is not one"),
        ({"architectures": ["JinaBertForMaskedLM"]}, "JinaBertForMaskedLM is not one"),
        ({"auto_map": {"AutoModel": "modeling.Own"}}, "its own code"),
        ({"hidden_size": 13}, "13 .* does not divide into 2"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ExportError, match=sentence) as caught:
        read_config(fields(**changes))
    assert str(caught.value).endswith(".")


def test_file_that_names_no_family_is_berts() -> None:
    assert read_config(fields()).model_type == "bert"


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


def test_class_says_which_heads_a_checkpoint_has() -> None:
    def declared(*names: str) -> set[str]:
        return set(declared_heads(Fields({"architectures": list(names)}, "config.json"), BERT))

    assert declared(SEQUENCE) == {"sequence"}
    assert declared(TOKEN, SEQUENCE) == {"token", "sequence"}
    assert declared("BertForPreTraining") == {"mlm", "nsp"}
    assert declared("BertModel") == declared() == set()


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
