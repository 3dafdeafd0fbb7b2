"""What a cross-encoder's folder says of its scores, against CrossEncoder itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentence_transformers
import torch

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint

Save = Callable[..., Path]
Edit = Callable[..., None]
CLASSES = {"none": "linear.Identity", "sigmoid": "activation.Sigmoid"}
FORMER = "sbert_ce_default_activation_function"


def path_of(function: str) -> str:
    return f"torch.nn.modules.{CLASSES[function]}"


@pytest.fixture
def classifier(save: Save) -> Path:
    """A plain folder with a classifier of one label, as those of before version 4 are."""
    return save("BertForSequenceClassification", num_labels=1)


@pytest.fixture
def saved(classifier: Path, tmp_path: Path) -> Callable[..., Path]:
    """A factory of folders as CrossEncoder saves them today."""

    def build(**options: Any) -> Path:
        model = sentence_transformers.CrossEncoder(str(classifier), device="cpu", **options)
        model.save_pretrained(str(tmp_path / "cross"), create_model_card=False)
        return tmp_path / "cross"

    return build


def library_has(folder: Path) -> tuple[str, int]:
    """What CrossEncoder makes scores with, and the longest pair it reads."""
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    names = {path.rpartition(".")[2]: name for name, path in CLASSES.items()}
    most = model.max_seq_length
    assert most is not None
    return names[type(model.activation_fn).__name__], most


@pytest.mark.parametrize("function", CLASSES)
@pytest.mark.parametrize("place", ["today", "version 4", "before"])
def test_activation_is_found_in_all_its_places(
    classifier: Path, saved: Callable[..., Path], edit: Edit, function: str, place: str
) -> None:
    folder, path = classifier, path_of(function)
    if place == "today":
        activation = torch.nn.Identity() if function == "none" else torch.nn.Sigmoid()
        folder = saved(activation_fn=activation)
    elif place == "version 4":
        section = {"activation_fn": path, "version": "4.1.0"}
        edit(folder / "config.json", sentence_transformers=section)
    else:
        edit(folder / "config.json", **{FORMER: path})
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.activation, checkpoint.max_tokens) == library_has(folder)


def test_the_newest_place_wins(saved: Callable[..., Path], edit: Edit) -> None:
    folder = saved(activation_fn=torch.nn.Identity())
    section = {"activation_fn": path_of("sigmoid")}
    edit(folder / "config.json", sentence_transformers=section, **{FORMER: path_of("sigmoid")})
    assert read_checkpoint(folder).activation == library_has(folder)[0] == "none"
    edit(folder / "config_sentence_transformers.json", activation_fn=None)
    edit(folder / "config.json", **{FORMER: path_of("none")})
    assert read_checkpoint(folder).activation == library_has(folder)[0] == "sigmoid"


@pytest.mark.parametrize(("labels", "function"), [(1, "sigmoid"), (3, "none")])
def test_a_cross_encoder_that_says_no_more_has_the_librarys_choice(
    save: Save, tmp_path: Path, edit: Edit, labels: int, function: str
) -> None:
    classifier = save("BertForSequenceClassification", num_labels=labels)
    edit(classifier / "config.json", problem_type="regression")
    model = sentence_transformers.CrossEncoder(str(classifier), device="cpu")
    model.save_pretrained(str(tmp_path / "cross"), create_model_card=False)
    edit(tmp_path / "cross" / "config_sentence_transformers.json", activation_fn=None)
    assert read_checkpoint(tmp_path / "cross").activation == function
    assert library_has(tmp_path / "cross")[0] == function


def test_a_plain_classifier_says_nothing(classifier: Path) -> None:
    checkpoint = read_checkpoint(classifier)
    assert (checkpoint.activation, checkpoint.max_tokens) == (None, 29)


@pytest.mark.parametrize("length", [17, 100])
def test_longest_pair_is_the_tokenizers_and_never_beyond_the_positions(
    classifier: Path, saved: Callable[..., Path], edit: Edit, length: int
) -> None:
    (classifier / "tokenizer_config.json").write_text("{}")
    edit(classifier / "tokenizer_config.json", model_max_length=length)
    checkpoint = read_checkpoint(classifier)
    most = min(length, 29)
    assert checkpoint.max_tokens == checkpoint.pooling.max_tokens == most
    assert library_has(classifier)[1] == most
    assert read_checkpoint(saved(max_length=11)).max_tokens == 11


def test_a_limit_that_leaves_no_room_for_a_pair_is_refused(classifier: Path) -> None:
    (classifier / "tokenizer_config.json").write_text('{"model_max_length": 4}')
    with pytest.raises(ExportError, match=r"reads 4 tokens at most .* a pair of one word takes 5"):
        read_checkpoint(classifier)


@pytest.mark.parametrize("path", ["torch.nn.modules.activation.Tanh", "os.system", "Identity"])
def test_other_activations_are_refused_by_name(classifier: Path, edit: Edit, path: str) -> None:
    edit(classifier / "config.json", sentence_transformers={"activation_fn": path})
    with pytest.raises(ExportError, match=f"activation {path}; .* Identity, Sigmoid, Softmax"):
        read_checkpoint(classifier)


def test_an_unknown_field_of_the_section_is_refused(classifier: Path, edit: Edit) -> None:
    edit(classifier / "config.json", sentence_transformers={"pooling": "mean"})
    with pytest.raises(ExportError, match=r"sentence_transformers of config.json sets pooling"):
        read_checkpoint(classifier)


def test_prompts_of_a_cross_encoder_are_refused(saved: Callable[..., Path], edit: Edit) -> None:
    folder = saved()
    settings = folder / "config_sentence_transformers.json"
    edit(settings, prompts={"query": ""})
    read_checkpoint(folder)
    edit(settings, prompts={"query": "find: "})
    with pytest.raises(ExportError, match="has prompts for a CrossEncoder"):
        read_checkpoint(folder)


def test_a_cross_encoder_needs_a_classifier(save: Save, edit: Edit) -> None:
    folder = save("BertModel")
    edit(folder / "config.json", **{FORMER: path_of("none")})
    with pytest.raises(ExportError, match="a CrossEncoder by its settings, but has no classifier"):
        read_checkpoint(folder)
