"""The losses of pre-training against transformers' and against their definitions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from torch.nn import functional

from training.config import BertConfig
from training.errors import TrainingError
from training.masking import NO_PAIR, PairBatch, pad
from training.model import BertForPreTraining
from training.objectives import (
    Objective,
    PairTensors,
    SentenceTensors,
    cosine_distance,
    masked_loss,
    mean_pool,
)

CONFIG = BertConfig(
    vocab_size=53,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=17,
    initializer_range=0.4,
).with_dropout(0.0)
CPU = torch.device("cpu")
SENTENCES = SentenceTensors.of(pad([[2, 8, 9, 3], [2, 7, 3], [2, 30, 40, 3]]), CPU)


def model(seed: int) -> BertForPreTraining:
    torch.manual_seed(seed)
    return BertForPreTraining(CONFIG)


def pair_batch() -> PairBatch:
    rng = np.random.default_rng(4)
    return PairBatch(
        ids=rng.integers(1, 53, (3, 7)),
        token_types=rng.integers(0, 2, (3, 7)),
        lengths=np.array([7, 4, 6]),
        masked_rows=np.array([2, 5, 8, 15, 16, 18]),
        masked_ids=rng.integers(1, 53, 6),
        not_next=np.array([0, 1, 1]),
    )


def test_losses_are_those_of_transformers() -> None:
    mine, batch = model(1), pair_batch()
    config = transformers.BertConfig(**{k: v for k, v in vars(CONFIG).items() if k != "hidden_act"})
    reference = transformers.BertForPreTraining(config)
    reference.load_state_dict(mine.state_dict(), strict=False)
    reference.tie_weights()
    labels = np.full(21, -100)
    labels[batch.masked_rows] = batch.masked_ids
    expected = reference(
        torch.from_numpy(batch.ids),
        (torch.arange(7) < torch.from_numpy(batch.lengths)[:, None]).long(),
        torch.from_numpy(batch.token_types),
        labels=torch.from_numpy(labels.reshape(3, 7)),
        next_sentence_label=torch.from_numpy(batch.not_next),
    )
    losses = Objective(mine).losses(PairTensors.of(batch, CPU))
    assert losses.total.item() == pytest.approx(expected.loss.item(), abs=1e-5)
    assert losses.total.item() == pytest.approx(
        losses.masked_words.item() + losses.next_sentence.item(), abs=1e-6
    )
    losses.total.backward()  # type: ignore[no-untyped-call]
    expected.loss.backward()
    for name, parameter in mine.named_parameters():
        other = reference.get_parameter(name)
        assert parameter.grad is not None
        assert other.grad is not None
        assert (parameter.grad - other.grad).abs().max() < 1e-5, name


def test_weights_scale_the_parts() -> None:
    objective = Objective(model(1), next_sentence=0.5, distillation=3.0, teacher=model(2).bert)
    losses = objective.losses(PairTensors.of(pair_batch(), CPU), SENTENCES)
    parts = (losses.masked_words, losses.next_sentence, losses.distillation)
    expected = sum(w * p.item() for w, p in zip((1.0, 0.5, 3.0), parts, strict=True))
    assert losses.total.item() == pytest.approx(expected, abs=1e-5)
    assert losses.distillation.item() > 0.01


def test_student_that_is_its_teacher_has_no_distance() -> None:
    objective = Objective(model(3), distillation=1.0, teacher=model(3).bert)
    losses = objective.losses(PairTensors.of(pair_batch(), CPU), SENTENCES)
    assert losses.distillation.item() == pytest.approx(0, abs=1e-6)


def test_teacher_is_no_part_of_what_is_trained() -> None:
    mine, teacher = model(1), model(2).bert
    objective = Objective(mine, distillation=1.0, teacher=teacher)
    assert len(list(mine.parameters())) == len(list(model(1).parameters()))
    objective.losses(PairTensors.of(pair_batch(), CPU), SENTENCES).total.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_cosine_distance_is_one_minus_the_cosine() -> None:
    a, b = torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 3.0], [5.0, 0.0]])
    assert cosine_distance(a, b).item() == pytest.approx(0.5)


def test_accuracies_count_what_is_right() -> None:
    mine, batch = model(1), pair_batch()
    pairs = PairTensors.of(batch, CPU)
    with torch.no_grad():
        hidden = mine.bert(pairs.ids, pairs.token_types, pairs.lengths)
        best = mine.mlm_logits(hidden[batch.masked_rows]).argmax(-1)
        order = mine.nsp_logits(hidden[::7]).argmax(-1)
    best[0] = (best[0] + 1) % 53
    losses = Objective(mine).losses(replace(pairs, masked_ids=best, not_next=order))
    assert losses.masked_accuracy.item() == pytest.approx(5 / 6)
    assert losses.next_accuracy.item() == 1


def test_rows_without_a_second_segment_leave_next_sentences_as_they_are() -> None:
    mine, batch = model(1), pair_batch()
    only = replace(batch, not_next=np.array([0, NO_PAIR, 1]))
    losses = Objective(mine).losses(PairTensors.of(only, CPU))
    pairs = PairTensors.of(batch, CPU)
    with torch.no_grad():
        order = mine.nsp_logits(mine.bert(pairs.ids, pairs.token_types, pairs.lengths)[[0, 14]])
    expected = functional.cross_entropy(order, torch.tensor([0, 1]))
    assert losses.next_sentence.item() == pytest.approx(expected.item(), abs=1e-6)
    right = (order.argmax(-1) == torch.tensor([0, 1])).float().mean().item()
    assert losses.next_accuracy.item() == right
    assert losses.has_pairs.item() == 1


@pytest.mark.parametrize("missing", ["pairs", "masks"])
def test_batch_without_pairs_or_masks_teaches_the_rest(missing: str) -> None:
    mine, batch = model(1), pair_batch()
    if missing == "pairs":
        batch = replace(batch, not_next=np.full(3, NO_PAIR))
    else:
        none = np.zeros(0, np.int64)
        batch = replace(batch, masked_rows=none, masked_ids=none)
    losses = Objective(mine).losses(PairTensors.of(batch, CPU))
    losses.total.backward()  # type: ignore[no-untyped-call]
    parts = {"pairs": losses.next_sentence, "masks": losses.masked_words}
    assert parts.pop(missing).item() == 0
    assert losses.total.item() == pytest.approx(next(iter(parts.values())).item())
    assert losses.has_pairs.item() == (missing == "masks")
    for name, parameter in mine.named_parameters():
        # AdamW passes over a weight without a gradient, and then it does not decay.
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_nothing_waits_for_the_device() -> None:
    """Tensors on the meta device have no values: whoever asks for one, as a GPU's, would fail."""
    meta = torch.device("meta")
    objective = Objective(model(1).to(meta), distillation=10.0, teacher=model(2).bert.to(meta))
    pairs = PairTensors.of(pair_batch(), meta)
    sentences = SentenceTensors.of(pad([[2, 8, 9, 3], [2, 7, 3]]), meta)
    losses = objective.losses(pairs, sentences)
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert losses.total.device == meta
    gradients = [p.grad for p in objective.model.parameters() if p.grad is not None]
    assert len(gradients) == len(list(objective.model.parameters()))


def test_distillation_needs_a_teacher() -> None:
    with pytest.raises(TrainingError, match="needs a teacher"):
        Objective(model(1), distillation=1.0)


def test_teacher_of_another_width_is_refused() -> None:
    wider = BertForPreTraining(replace(CONFIG, hidden_size=24)).bert
    with pytest.raises(TrainingError, match="another width"):
        Objective(model(1), distillation=1.0, teacher=wider)


def test_mean_pooling_leaves_padding_out() -> None:
    hidden = torch.arange(24.0).view(8, 3)  # two sequences of four rows
    pooled = mean_pool(hidden, torch.tensor([2, 4]))
    assert torch.equal(pooled, torch.stack([hidden[:2].mean(0), hidden[4:].mean(0)]))


def random_logits(*, scale: float = 5.0, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(40, 301) * scale


WORDS = torch.arange(40) * 7


@pytest.mark.parametrize("scale", [0.0, 5.0, 400.0])
def test_loss_and_gradient_are_those_of_cross_entropy(scale: float) -> None:
    rows = random_logits(scale=scale)
    rows[:, 5] += scale  # a word that most rows prefer
    expected_from = rows.double().requires_grad_()
    expected = functional.cross_entropy(expected_from, WORDS)
    (expected_gradient,) = torch.autograd.grad(3 * expected, expected_from)
    source = rows.clone().requires_grad_()
    loss, _ = masked_loss(source * 1, WORDS)
    (gradient,) = torch.autograd.grad(3 * loss, source)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, expected_gradient.float(), atol=1e-8, rtol=1e-5)


def test_accuracy_is_the_share_of_labels_with_the_highest_logit() -> None:
    logits = random_logits()
    logits[torch.arange(12), WORDS[:12]] = 100.0
    expected = (logits.argmax(-1) == WORDS).float().mean()
    assert expected >= 0.3
    _, accuracy = masked_loss(logits, WORDS)
    assert accuracy == expected
    assert not accuracy.requires_grad


def test_gradient_lies_where_the_logits_lay() -> None:
    logits = random_logits().requires_grad_() * 1
    loss, _ = masked_loss(logits, WORDS)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.data_ptr() == logits.data_ptr()


def test_narrow_logits_are_summed_in_float32() -> None:
    narrow = random_logits().bfloat16().requires_grad_()
    loss, _ = masked_loss(narrow * 1, WORDS)
    (gradient,) = torch.autograd.grad(loss, narrow)
    assert loss.dtype == torch.float32
    expected = functional.cross_entropy(narrow.detach().double(), WORDS)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert gradient.dtype == torch.bfloat16
