"""Every architecture that transformers saves, read back by canonical name and compared exactly."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from export.errors import ExportError
from export.read.checkpoint import Checkpoint, read_checkpoint

Save = Callable[..., Path]
Edit = Callable[..., None]
WEIGHTS = "model.safetensors"


def linear(name: str, module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}  # type: ignore[dict-item]


def expected_weights(folder: Path, architecture: str) -> dict[str, NDArray[np.float32]]:
    """The weights of transformers' own model by canonical name, taken module by module."""
    model = getattr(transformers, architecture).from_pretrained(folder)
    base = getattr(model, "bert", model)
    found = {
        "embeddings.word": base.embeddings.word_embeddings.weight,
        "embeddings.position": base.embeddings.position_embeddings.weight,
        "embeddings.token_type": base.embeddings.token_type_embeddings.weight,
        **linear("embeddings.norm", base.embeddings.LayerNorm),
    }
    for index, layer in enumerate(base.encoder.layer):
        name, attention = f"layers.{index}", layer.attention
        for part in ("query", "key", "value"):
            found |= linear(f"{name}.attention.{part}", getattr(attention.self, part))
        found |= linear(f"{name}.attention.output", attention.output.dense)
        found |= linear(f"{name}.attention.norm", attention.output.LayerNorm)
        found |= linear(f"{name}.intermediate", layer.intermediate.dense)
        found |= linear(f"{name}.output", layer.output.dense)
        found |= linear(f"{name}.output.norm", layer.output.LayerNorm)
    if base.pooler is not None:
        found |= linear("pooler", base.pooler.dense)
    found |= head_weights(model, architecture)
    return {name: tensor.detach().float().numpy() for name, tensor in found.items()}


def head_weights(model: transformers.PreTrainedModel, architecture: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    if head := getattr(model, "cls", None):
        if predictions := getattr(head, "predictions", None):
            found |= linear("mlm.transform", predictions.transform.dense)
            found |= linear("mlm.norm", predictions.transform.LayerNorm)
            found["mlm.decoder.bias"] = predictions.decoder.bias
        if follows := getattr(head, "seq_relationship", None):
            found |= linear("nsp", follows)
    if classifier := getattr(model, "classifier", None):
        found |= linear("token" if "Token" in architecture else "sequence", classifier)
    if answers := getattr(model, "qa_outputs", None):
        found |= linear("qa", answers)
    return found


def assert_same(checkpoint: Checkpoint, expected: dict[str, NDArray[np.float32]]) -> None:
    assert set(checkpoint.weights) == set(expected)
    for name, value in expected.items():
        found = checkpoint.weights[name]
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, value, err_msg=name)


@pytest.mark.parametrize(
    ("architecture", "heads"),
    [
        ("BertModel", ("pooler",)),
        ("BertForPreTraining", ("mlm", "nsp", "pooler")),
        ("BertForMaskedLM", ("mlm",)),
        ("BertForNextSentencePrediction", ("nsp", "pooler")),
        ("BertForSequenceClassification", ("pooler", "sequence")),
        ("BertForTokenClassification", ("token",)),
        ("BertForQuestionAnswering", ("qa",)),
    ],
)
def test_every_architecture_is_read_as_transformers_reads_it(
    save: Save, architecture: str, heads: tuple[str, ...]
) -> None:
    folder = save(architecture, num_labels=2 if "Question" in architecture else 5)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.heads == heads
    assert (checkpoint.name, checkpoint.source) == (architecture, architecture)
    assert_same(checkpoint, expected_weights(folder, architecture))


@pytest.mark.parametrize("name", ["TFBertForMaskedLM", "FlaxBertForMaskedLM", "BertLMHeadModel"])
def test_class_of_another_name_over_the_same_weights_is_the_same(
    save: Save, edit: Edit, name: str
) -> None:
    folder = save("BertForMaskedLM")
    own = {"AutoModel": "modeling_own.OwnModel"}
    edit(folder / "config.json", architectures=[name], auto_map=own)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.heads == ("mlm",)
    assert list(checkpoint.ignored) == ["auto_map"]
    assert_same(checkpoint, expected_weights(folder, "BertForMaskedLM"))


def test_sharded_files_are_read_as_one(save: Save) -> None:
    folder = save("BertForPreTraining", shard="6KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert not (folder / WEIGHTS).exists()
    assert_same(read_checkpoint(folder), expected_weights(folder, "BertForPreTraining"))


def test_a_missing_shard_is_named(save: Save) -> None:
    folder = save("BertForPreTraining", shard="6KB")
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ExportError, match=f"{shard.name} is missing"):
        read_checkpoint(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_float32(bert: Path, dtype: torch.dtype) -> None:
    tensors = {name: t.to(dtype) for name, t in load_file(bert / WEIGHTS).items()}
    save_file(tensors, bert / WEIGHTS)
    weight = read_checkpoint(bert).weights["pooler.weight"]
    assert weight.dtype == np.float32
    stored = tensors["bert.pooler.dense.weight"].float().numpy()
    np.testing.assert_array_equal(weight, stored)


def test_old_names_without_prefix_are_the_same_weights(save: Save) -> None:
    folder = save("BertModel")
    before = read_checkpoint(folder)
    values = {name: before.weights[name] for name in before.weights}
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(folder / WEIGHTS).items()
    }
    old["embeddings.position_ids"] = torch.arange(29)[None]
    save_file(old, folder / WEIGHTS)
    checkpoint = read_checkpoint(folder)
    assert_same(checkpoint, values)
    assert dict(checkpoint.ignored) == {"embeddings.position_ids": "a buffer: 0, 1, 2 and so on"}


def test_decoder_of_its_own_is_kept(save: Save) -> None:
    folder = save("BertForMaskedLM", tie_word_embeddings=False)
    checkpoint = read_checkpoint(folder)
    decoder = load_file(folder / WEIGHTS)["cls.predictions.decoder.weight"].numpy()
    np.testing.assert_array_equal(checkpoint.weights["mlm.decoder.weight"], decoder)
    model = transformers.BertForMaskedLM.from_pretrained(folder)
    bias = model.cls.predictions.decoder.bias.detach().numpy()  # not cls.predictions.bias
    np.testing.assert_array_equal(checkpoint.weights["mlm.decoder.bias"], bias)
    assert "cls.predictions.bias" in checkpoint.ignored


def test_decoder_equal_to_the_word_embeddings_is_tied(bert: Path) -> None:
    tensors = load_file(bert / WEIGHTS)
    decoder = tensors["bert.embeddings.word_embeddings.weight"].clone()
    save_file(tensors | {"cls.predictions.decoder.weight": decoder}, bert / WEIGHTS)
    checkpoint = read_checkpoint(bert)
    assert "mlm.decoder.weight" not in checkpoint.weights
    assert "tied" in checkpoint.ignored["cls.predictions.decoder.weight"]


def test_untied_decoder_that_is_absent_is_missed(bert: Path, edit: Edit) -> None:
    edit(bert / "config.json", tie_word_embeddings=False)
    with pytest.raises(ExportError, match=r"lacks mlm\.decoder\.weight"):
        read_checkpoint(bert)


def test_labels_come_in_order_and_only_with_a_classifier(save: Save, edit: Edit) -> None:
    folder = save("BertForTokenClassification", num_labels=3)
    edit(folder / "config.json", id2label={"2": "PER", "0": "O", "1": "LOC"})
    assert read_checkpoint(folder).config.labels == ("O", "LOC", "PER")
    edit(folder / "config.json", id2label=None)
    assert read_checkpoint(folder).config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    edit(folder / "config.json", id2label={"0": "O", "1": "LOC"})
    with pytest.raises(ExportError, match="names 2 labels; the classifier has 3"):
        read_checkpoint(folder)
    folder = save("BertModel", num_labels=3)
    assert read_checkpoint(folder).config.labels == ()
    edit(folder / "config.json", id2label=["odd"], problem_type=["odd"])
    assert read_checkpoint(folder).config.labels == ()


def test_multi_label_is_read_from_the_problem_type(save: Save) -> None:
    folder = save(
        "BertForSequenceClassification", num_labels=3, problem_type="multi_label_classification"
    )
    config = read_checkpoint(folder).config
    assert (config.multi_label, config.regression) == (True, False)


def test_a_regression_is_read_from_the_problem_type(save: Save) -> None:
    folder = save("BertForSequenceClassification", num_labels=1, problem_type="regression")
    config = read_checkpoint(folder).config
    assert (config.multi_label, config.regression) == (False, True)
    # Without a classifier there is nothing that the type could be that of.
    assert not read_checkpoint(save("BertModel", problem_type="regression")).config.regression


def test_license_comes_from_the_model_card(bert: Path) -> None:
    assert read_checkpoint(bert).license == "unknown"
    (bert / "README.md").write_text("---\ntags: [x]\nlicense: mit\n---\n# Card\n")
    assert read_checkpoint(bert).license == "mit"


@pytest.mark.parametrize(
    ("key", "tensor", "sentence"),
    [
        ("bert.encoder.layer.1.output.dense.bias", None, "lacks layers.1.output.bias"),
        ("cls.predictions.transform.dense.bias", None, "lacks mlm.transform.bias"),
        ("bert.embeddings.word_embeddings.weight", None, "lacks embeddings.word"),
        ("bert.pooler.dense.bias", torch.zeros(13), r"shape \(13,\); .* asks for \(12,\)"),
        ("bert.encoder.layer.3.output.dense.bias", torch.zeros(12), "no place for bert.enc"),
        ("lm_head.weight", torch.zeros(12), "no place for lm_head.weight"),
        ("pooler.dense.bias", torch.zeros(12), "are both pooler.bias"),
        ("classifier.bias", torch.zeros(2), "does not say whether"),
    ],
)
def test_keys_that_do_not_add_up_are_named(
    bert: Path, key: str, tensor: torch.Tensor | None, sentence: str
) -> None:
    tensors = load_file(bert / WEIGHTS)
    if tensor is None:
        del tensors[key]
    else:
        tensors[key] = tensor
    save_file(tensors, bert / WEIGHTS)
    with pytest.raises(ExportError, match=sentence):
        read_checkpoint(bert)


def test_head_without_the_pooler_it_reads_is_refused(bert: Path) -> None:
    tensors = load_file(bert / WEIGHTS)
    kept = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    save_file(kept, bert / WEIGHTS)
    with pytest.raises(ExportError, match="nsp head but no pooler"):
        read_checkpoint(bert)


@pytest.mark.parametrize("size", [0, 5, 300, -1])
def test_truncated_weights_are_refused(bert: Path, size: int) -> None:
    data = (bert / WEIGHTS).read_bytes()
    (bert / WEIGHTS).write_bytes(data[:size])
    with pytest.raises(
        ExportError, match=r"model\.safetensors is (empty|damaged or was cut short)"
    ):
        read_checkpoint(bert)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_not_finite_in_float32_are_refused(bert: Path, value: float) -> None:
    tensors = {name: t.double() for name, t in load_file(bert / WEIGHTS).items()}
    tensors["bert.pooler.dense.weight"][3, 4] = value
    save_file(tensors, bert / WEIGHTS)
    weights = read_checkpoint(bert).weights
    with pytest.raises(ExportError, match=r"bert\.pooler\.dense\.weight holds NaN or infinite"):
        weights["pooler.weight"]


def test_integer_weights_are_refused(bert: Path) -> None:
    tensors = load_file(bert / WEIGHTS)
    tensors["bert.pooler.dense.weight"] = torch.ones(12, 12, dtype=torch.int8)
    save_file(tensors, bert / WEIGHTS)
    weights = read_checkpoint(bert).weights
    with pytest.raises(ExportError, match="stored as I8; expected one of"):
        weights["pooler.weight"]


def test_places_that_hold_no_checkpoint_are_told_apart(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(ExportError, match=r"holds a checkpoint in BertForPre.*; Cloze needs conf"):
        read_checkpoint(tmp_path)
    with pytest.raises(ExportError, match="neither a checkpoint folder nor the id"):
        read_checkpoint(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="--revision chooses"):
        read_checkpoint(bert, revision="main")
    (bert / WEIGHTS).unlink()
    with pytest.raises(ExportError, match=r"no model\.safetensors, which Cloze needs\."):
        read_checkpoint(bert)


def test_weights_are_read_again_each_time_and_not_kept(bert: Path) -> None:
    weights = read_checkpoint(bert).weights
    first = weights["pooler.bias"]
    first[:] = 0
    assert weights["pooler.bias"].any()


def test_stand_in_checkpoint_is_read() -> None:
    folder = Path(__file__).parents[4] / "shared" / "checkpoints" / "bert-small-standin"
    if not folder.is_dir():
        pytest.skip("the folder with trained checkpoints is not beside this checkout")
    checkpoint = read_checkpoint(folder)
    assert checkpoint.heads == ("mlm", "nsp", "pooler")
    assert_same(checkpoint, expected_weights(folder, "BertForPreTraining"))


def test_old_sentence_transformers_subfolder_is_followed(bert: Path, tmp_path: Path) -> None:
    root = tmp_path / "old"
    shutil.copytree(bert, root / "0_Transformer")
    (root / "modules.json").write_text(
        '[{"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"}]'
    )
    assert read_checkpoint(root).heads == ("mlm", "nsp", "pooler")


def test_texts_are_no_longer_than_a_server_takes(save: Save) -> None:
    checkpoint = read_checkpoint(save("BertModel", max_position_embeddings=70_000))
    assert checkpoint.config.max_position_embeddings == 70_000
    assert checkpoint.max_tokens == checkpoint.pooling.max_tokens == 65_536
