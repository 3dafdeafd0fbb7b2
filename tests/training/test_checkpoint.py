"""Checkpoint folders in and out, against what transformers and sentence-transformers read."""

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from export.read.tensors import SINGLE
from tests.training.small_corpus import SPECIAL, WORDS, write_tokenizer
from training.checkpoint import (
    load_encoder,
    load_pretraining,
    read_weights,
    save_checkpoint,
)
from training.config import BertConfig, named_config, read_config
from training.errors import TrainingError
from training.model import BertForPreTraining
from training.objectives import mean_pool

CONFIG = BertConfig(
    vocab_size=len(SPECIAL) + len(WORDS),
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=17,
    initializer_range=0.4,
).with_dropout(0.0)
IDS = torch.tensor([[2, 7, 9, 4, 3]])


@pytest.fixture
def model() -> BertForPreTraining:
    torch.manual_seed(5)
    return BertForPreTraining(CONFIG).eval()


@pytest.fixture
def saved(tmp_path: Path, model: BertForPreTraining) -> Path:
    write_tokenizer(tmp_path)
    save_checkpoint(tmp_path / "saved", model, tmp_path, embeddings=True)
    return tmp_path / "saved"


def rewrite(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    """Change tensors of a saved checkpoint; None removes one."""
    tensors = {**load_file(folder / SINGLE), **change}
    save_file({k: v for k, v in tensors.items() if v is not None}, folder / SINGLE)


def test_what_is_saved_is_loaded(saved: Path, model: BertForPreTraining) -> None:
    loaded = load_pretraining(saved).state_dict()
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())
    assert read_config(saved) == CONFIG


def test_transformers_loads_what_is_saved(saved: Path, model: BertForPreTraining) -> None:
    reference = transformers.BertForPreTraining.from_pretrained(saved).eval()
    hidden = model.bert(IDS, torch.zeros_like(IDS), torch.tensor([5]))
    with torch.no_grad():
        expected = reference(IDS)
        assert (model.mlm_logits(hidden) - expected.prediction_logits[0]).abs().max() < 1e-5
        found = model.nsp_logits(hidden[:1])
        assert (found - expected.seq_relationship_logits).abs().max() < 1e-5


def test_sentence_transformers_pools_what_is_saved(saved: Path, model: BertForPreTraining) -> None:
    vectors = SentenceTransformer(str(saved), device="cpu").encode(["the cat sat on a mat"])
    ids = torch.tensor([[2, 6, 7, 9, 11, 12, 13, 3]])
    hidden = model.bert(ids, torch.zeros_like(ids), torch.tensor([8]))
    expected = torch.nn.functional.normalize(mean_pool(hidden, torch.tensor([8])))
    assert abs(vectors - expected.detach().numpy()).max() < 1e-5


def test_encoder_of_another_task_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=20,
    )  # fmt: skip
    reference = transformers.BertForTokenClassification(config).eval()
    reference.save_pretrained(tmp_path)
    found = load_encoder(tmp_path).eval()(IDS, torch.zeros_like(IDS), torch.tensor([5]))
    with torch.no_grad():
        expected = reference.bert(IDS).last_hidden_state[0]
        assert (found - expected).abs().max() < 1e-5


def test_bare_encoder_gets_fresh_heads_only_when_asked(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=12, num_hidden_layers=1, num_attention_heads=3,
        intermediate_size=20,
    )  # fmt: skip
    reference = transformers.BertModel(config)
    reference.save_pretrained(tmp_path)
    with pytest.raises(TrainingError, match="lacks the heads mlm, nsp"):
        load_pretraining(tmp_path)
    model = load_pretraining(tmp_path, fresh_heads=True)
    assert torch.equal(
        model.get_parameter("bert.pooler.dense.weight"), reference.pooler.dense.weight
    )
    assert torch.count_nonzero(model.get_parameter("cls.seq_relationship.weight")) > 0


def test_old_names_are_read(saved: Path, model: BertForPreTraining) -> None:
    tensors = load_file(saved / SINGLE)
    old = {
        name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        )
        for name in tensors
    }
    save_file({old[name]: value for name, value in tensors.items()}, saved / SINGLE)
    assert read_weights(saved)[0].keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bert.pooler.dense.bias": None}, "lacks pooler.bias"),
        ({"bert.extra.weight": torch.ones(2)}, "no place for bert.extra.weight"),
        ({"bert.pooler.dense.bias": torch.ones(13)}, r"has shape \(13,\)"),
        ({"cls.predictions.decoder.weight": torch.ones(24, 12)}, "training ties the two"),
        ({"cls.seq_relationship.bias": torch.tensor([0.0, torch.nan])}, "NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    saved: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    rewrite(saved, change)
    with pytest.raises(TrainingError, match=message):
        load_pretraining(saved)


def test_tied_decoder_is_read_once(saved: Path, model: BertForPreTraining) -> None:
    words = model.state_dict()["bert.embeddings.word_embeddings.weight"].clone()
    rewrite(saved, {"cls.predictions.decoder.weight": words})
    assert torch.equal(load_pretraining(saved).bert.embeddings.word_embeddings.weight, words)


def test_truncated_weights_are_refused(saved: Path) -> None:
    path = saved / SINGLE
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(TrainingError, match="cut short"):
        load_pretraining(saved)


def test_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds no config\.json"):
        load_pretraining(tmp_path)


def test_another_family_is_refused(saved: Path) -> None:
    config = (saved / "config.json").read_text().replace('"bert"', '"roberta"')
    (saved / "config.json").write_text(config)
    with pytest.raises(TrainingError, match="a roberta checkpoint"):
        load_pretraining(saved)


def test_failed_save_leaves_the_old_checkpoint(saved: Path, model: BertForPreTraining) -> None:
    before = (saved / SINGLE).read_bytes()
    with pytest.raises(TrainingError, match=r"holds no tokenizer\.json"):
        save_checkpoint(saved, model, saved.parent / "nowhere")
    assert (saved / SINGLE).read_bytes() == before
    assert [path.name for path in saved.parent.glob(".saved*")] == []


def test_paper_sizes_have_their_parameters() -> None:
    with torch.device("meta"):
        model = BertForPreTraining(named_config("bert-base", vocab_size=30522))
    assert sum(parameter.numel() for parameter in model.bert.parameters()) == 109_482_240


def test_unknown_size_is_refused() -> None:
    with pytest.raises(TrainingError, match="There is no size `bert-huge`"):
        named_config("bert-huge", vocab_size=10)
