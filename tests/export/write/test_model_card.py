"""The model card: what a person reads of a model, and the front matter that the hub reads."""

import dataclasses

import pytest
import yaml

from export.write.model_folder import model_card
from models.manifest import ON_RANDOM_TOKENS, ON_SENTENCES, Architecture, ModelManifest
from models.pooling import PoolingModule, PoolingSpec

MANIFEST = ModelManifest(
    name="tiny",
    source="someone/tiny-bert@main",
    license="apache-2.0",
    created="2018-10-11T00:00:00+00:00",
    architecture=Architecture(30522, 12, 3, 2, 20, 29, 2, "gelu"),
    heads=("mlm", "nsp", "pooler"),
    pooling=PoolingSpec(mode="mean", normalize=True, max_tokens=17),
    labels=(),
    multi_label=False,
    max_tokens=29,
    precision="fp32",
    opset=24,
    layers=(-2,),
    parameters={"embeddings": 1000, "encoder": 234567, "total": 235567, "textbook": 240000},
    parity={"pooled": 1.23456e-6, "nsp_logits": 3e-6},
    quantization_error={},
    files={},
)


def test_front_matter_names_the_license() -> None:
    _, front, body = model_card(MANIFEST).split("---\n", 2)
    assert yaml.safe_load(front) == {"license": "apache-2.0"}
    assert body.startswith("# tiny\n")


@pytest.mark.parametrize(
    "line",
    [
        "An encoder exported from `someone/tiny-bert@main` for Cloze.",
        "- Tasks: embed, fill-mask, nsp",
        "- Encoder: 3 layers × 12, 2 attention heads, vocabulary of 30,522",
        "- Parameters: 235,567",
        "- Longest text: 29 tokens (17 for embeddings)",
        "- Sentence vectors: mean pooling, normalised",
        "- Precision: fp32",
    ],
)
def test_card_says_what_the_model_is(line: str) -> None:
    assert line in model_card(MANIFEST).splitlines()


def test_measured_differences_are_a_table() -> None:
    lines = model_card(MANIFEST).splitlines()
    start = lines.index("| Largest difference from the NumPy reference | |")
    assert lines[start + 1 : start + 5] == [
        "|---|---|",
        "| pooled | 1.235e-06 |",
        "| nsp_logits | 3e-06 |",
        "",
    ]


def test_nothing_measured_leaves_no_table() -> None:
    float32 = model_card(MANIFEST)
    int8 = model_card(
        dataclasses.replace(
            MANIFEST, precision="int8", parity={}, quantization_error={"mlm_masks": 214.0}
        )
    )
    assert "Against the checkpoint in float32" not in float32
    assert "NumPy reference" not in int8
    assert "| mlm_masks | 214 |" in int8.splitlines()


def test_random_tokens_are_said_to_be_measured_on() -> None:
    cards = [
        model_card(
            dataclasses.replace(
                MANIFEST, quantization_error={"mlm_masks": 214.0}, quantization_texts=texts
            )
        )
        for texts in (ON_SENTENCES, ON_RANDOM_TOKENS)
    ]
    assert ["on random tokens" in card for card in cards] == [False, True]


def test_plain_vectors_are_said_to_be_plain() -> None:
    pooling = PoolingSpec(mode="cls", normalize=False, max_tokens=29)
    card = model_card(dataclasses.replace(MANIFEST, pooling=pooling))
    assert "- Sentence vectors: cls pooling, not normalised" in card.splitlines()


def test_card_ends_with_one_line_break() -> None:
    card = model_card(MANIFEST)
    assert card.endswith(".\n")
    assert not card.endswith("\n\n")


def test_notes_stand_between_figures_and_license() -> None:
    card = model_card(MANIFEST, notes="## Limits\n\nIt is small.\n\n")
    before, after = card.split("\n## Limits\n\nIt is small.\n\n")
    assert "| nsp_logits | 3e-06 |" in before
    assert after.startswith("## License\n")


def test_modules_and_what_is_left_of_a_vector_are_told() -> None:
    modules = (PoolingModule("dense", 64, "tanh"), PoolingModule("layer_norm", 64))
    pooling = PoolingSpec("cls+max", True, 29, dimensions=7, include_prompt=False, modules=modules)
    card = model_card(dataclasses.replace(MANIFEST, pooling=pooling)).splitlines()
    assert (
        "- Sentence vectors: cls+max pooling, dense to 64 (tanh), layer_norm, normalised, "
        "first 7 numbers, without the tokens of a prompt"
    ) in card


@pytest.mark.parametrize(
    ("activation", "said"), [("none", "logits as they are"), ("sigmoid", "sigmoid")]
)
def test_a_classifiers_activation_is_told_where_the_checkpoint_says_it(
    activation: str, said: str
) -> None:
    card = model_card(dataclasses.replace(MANIFEST, activation=activation)).splitlines()
    place = card.index(f"- Scores of the classifier: {said}")
    assert card[place + 1].startswith("- Precision: ")
    assert not any("Scores" in line for line in model_card(MANIFEST).splitlines())
