"""Exact counts against transformers' own, and the textbook estimate beside them."""

import pytest
import torch
import transformers

from export.graph.parameters import count_parameters, parameter_table, textbook_estimate
from export.read.config import EncoderConfig

BASE = EncoderConfig(30522, 768, 12, 12, 3072, "gelu", 512, 2, 1e-12, (), multi_label=False)
LARGE = EncoderConfig(30522, 1024, 24, 16, 4096, "gelu", 512, 2, 1e-12, (), multi_label=False)
# As published with the paper's weights: BertModel, and BertForPreTraining with a tied decoder.
KNOWN = {"base": 109_482_240, "large": 335_141_888, "base pretraining": 110_106_428}


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
    config = EncoderConfig(
        67, 12, 3, 2, 20, "gelu", 29, 2, 1e-12, tuple("abcde"), multi_label=False
    )
    assert count_parameters(config, ("token",))["token"] == 5 * 12 + 5


def test_parts_add_up_and_the_estimate_is_near() -> None:
    counts = count_parameters(BASE, ("mlm", "nsp", "pooler"))
    parts = ("embeddings", "encoder", "mlm", "nsp", "pooler")
    assert list(counts) == [*parts, "total", "textbook"]
    assert sum(counts[part] for part in parts) == counts["total"]
    assert counts["textbook"] == textbook_estimate(BASE) == 30522 * 768 + 12 * 12 * 768 * 768
    assert counts["textbook"] == pytest.approx(counts["total"], rel=0.02)


def test_table_aligns_its_figures() -> None:
    lines = parameter_table(count_parameters(BASE, ("pooler",))).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert any(line.startswith("textbook V·H + L·12·H²") for line in lines)
