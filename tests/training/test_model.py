"""BERT in torch against transformers, on ragged batches of odd sizes."""

from collections.abc import Iterator

import pytest
import torch
import transformers

from training.config import BertConfig
from training.model import BertForPreTraining, BertSelfAttention, padding_bias

TOLERANCE = 1e-5  # absolute, float32

CONFIG = BertConfig(
    vocab_size=53,
    hidden_size=12,
    num_hidden_layers=3,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=17,
    initializer_range=0.4,  # large, so that every part shows in the result
).with_dropout(0.0)
LENGTHS = torch.tensor([11, 1, 7, 4])


@pytest.fixture
def model() -> BertForPreTraining:
    torch.manual_seed(5)
    made = BertForPreTraining(CONFIG).eval()
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.4)
    return made


@pytest.fixture
def reference(model: BertForPreTraining) -> transformers.BertForPreTraining:
    names = {name: value for name, value in vars(CONFIG).items() if name != "hidden_act"}
    made = transformers.BertForPreTraining(transformers.BertConfig(**names)).eval()
    missing, unexpected = made.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected
    assert set(missing) <= {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    made.tie_weights()
    return made


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and token types, int64 (4, 11), padded with 0."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, CONFIG.vocab_size, (4, 11), generator=generator)
    types = torch.randint(0, 2, (4, 11), generator=generator)
    padding = torch.arange(11) >= LENGTHS[:, None]
    return ids.masked_fill(padding, 0), types.masked_fill(padding, 0)


def token_rows() -> Iterator[int]:
    for sequence, length in enumerate(LENGTHS.tolist()):
        yield from range(sequence * 11, sequence * 11 + length)


def test_both_heads_compute_what_transformers_does(
    model: BertForPreTraining,
    reference: transformers.BertForPreTraining,
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    ids, types = batch
    attention = (torch.arange(11) < LENGTHS[:, None]).long()
    with torch.no_grad():
        hidden = model.bert(ids, types, LENGTHS)
        expected = reference(ids, attention, types)
    rows = torch.tensor(list(token_rows()))
    words = expected.prediction_logits.flatten(0, 1)[rows]
    order = expected.seq_relationship_logits
    assert (model.mlm_logits(hidden[rows]) - words).abs().max() < TOLERANCE
    assert (model.nsp_logits(hidden[::11]) - order).abs().max() < TOLERANCE


def test_rows_that_are_read_are_those_of_the_whole(
    model: BertForPreTraining, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    rows = torch.tensor(
        [35, 0, 26, 3, 22, 9, 24, 11]
    )  # unsorted, uneven, none of one sequence twice
    with torch.no_grad():
        whole = model.bert(*batch, LENGTHS)[rows]
        read = model.bert(*batch, LENGTHS, rows)
    assert (read - whole).abs().max() < TOLERANCE


def test_gradients_through_the_rows_that_are_read_are_those_through_the_whole(
    model: BertForPreTraining, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    rows = torch.tensor([0, 5, 24, 22, 33])
    gradients = []
    for hidden in (model.bert(*batch, LENGTHS)[rows], model.bert(*batch, LENGTHS, rows)):
        model.zero_grad()
        hidden.pow(3).sum().backward()
        parameters = dict(model.bert.named_parameters())
        gradients.append(
            {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
        )
    whole, read = gradients
    assert whole.keys() == read.keys()
    for name, gradient in whole.items():
        scale = 1 + float(gradient.abs().max())
        assert float((gradient - read[name]).abs().max()) / scale < TOLERANCE, name


def test_a_text_is_the_same_alone_and_beside_longer_ones(
    model: BertForPreTraining, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ids, types = batch
    with torch.no_grad():
        together = model.bert(ids, types, LENGTHS)[22 : 22 + 7]
        alone = model.bert(ids[2:3, :7], types[2:3, :7], LENGTHS[2:3])
    assert (together - alone).abs().max() < TOLERANCE


def test_products_on_the_cpu_are_scaled_dot_product_attention(model: BertForPreTraining) -> None:
    attention = model.get_submodule("bert.encoder.layer.0.attention.self")
    assert isinstance(attention, BertSelfAttention)
    generator = torch.Generator().manual_seed(3)
    query, key, value = torch.randn(3, 4, 3, 11, 4, generator=generator)
    bias = padding_bias(LENGTHS, 11)
    assert bias is not None
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, bias)
    assert (attention._attend(query, key, value, bias) - expected).abs().max() < TOLERANCE


def test_full_sequences_have_no_padding_bias() -> None:
    assert padding_bias(torch.tensor([5, 5]), 5) is None


def test_dropout_acts_in_training_only(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(1)
    model = BertForPreTraining(CONFIG.with_dropout(0.5))
    with torch.no_grad():
        model.train()
        assert not torch.equal(model.bert(*batch, LENGTHS), model.bert(*batch, LENGTHS))
        model.eval()
        assert torch.equal(model.bert(*batch, LENGTHS), model.bert(*batch, LENGTHS))
