"""The loop on a toy: which weights it keeps, when it stops, and what it must not depend on."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.finetune.conftest import Write, read
from tests.training.finetune.toy_tasks import PIECES, moods
from training.checkpoint import load_encoder
from training.errors import TrainingError
from training.finetune.data import SequenceExample
from training.finetune.inputs import WordPieces
from training.finetune.labels import prepare_sequences
from training.finetune.loop import Keeping, Stopped, Training, fit, predict
from training.finetune.task import BertHead, Float32, Options, Split, Task

Weights = dict[str, torch.Tensor]


@pytest.fixture
def task(tiny: Path, write: Write) -> Task:
    train = read(write("train.jsonl", moods(21, 1)), SequenceExample)
    return prepare_sequences(train, train, WordPieces(tiny, max_tokens=30, vocab_size=len(PIECES)))


@pytest.fixture
def model(tiny: Path, task: Task) -> BertHead:
    torch.manual_seed(1)
    return BertHead(load_encoder(tiny), task.head, len(task.labels))


def weights_of(model: BertHead) -> Weights:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(ours: Weights, theirs: Weights) -> bool:
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def told(task: Task, model: BertHead, scores: Sequence[float]) -> tuple[Task, list[Weights]]:
    """The task with these accuracies, one per epoch, and the weights that each belongs to."""
    seen: list[Weights] = []

    def score(_: Sequence[Float32]) -> dict[str, float]:
        seen.append(weights_of(model))
        return {"accuracy": scores[len(seen) - 1]}

    dev = Split(21, task.train.inputs, score)
    return dataclasses.replace(task, dev=dev), seen


@pytest.mark.parametrize(
    ("scores", "patience", "epochs", "kept"),
    [
        ((0.5, 0.7, 0.6, 0.6, 0.9), 2, 4, 2),
        ((0.5, 0.7, 0.6, 0.6, 0.9), 3, 5, 5),
        ((0.5, 0.4, 0.6, 0.5, 0.5), 1, 2, 1),
        ((0.1, 0.2, 0.3, 0.4, 0.5), 1, 5, 5),
    ],
)
def test_best_weights_are_kept_and_patience_ends_it(
    task: Task, model: BertHead, scores: tuple[float, ...], patience: int, epochs: int, kept: int
) -> None:
    task, seen = told(task, model, scores)
    history = fit(model, task, Options(epochs=5, rate=1e-3, batch_size=8, patience=patience))
    assert [epoch.number for epoch in history.epochs] == list(range(1, epochs + 1))
    assert history.kept.number == kept
    assert same(weights_of(model), seen[kept - 1])
    assert not same(seen[0], seen[1])


def test_of_equal_epochs_the_one_with_the_smallest_loss_is_kept(
    task: Task, model: BertHead
) -> None:
    task, seen = told(task, model, [1.0] * 12)
    history = fit(model, task, Options(epochs=12, rate=0.03, batch_size=4, patience=3, warm_up=0))
    losses = [epoch.dev_loss or 0 for epoch in history.epochs]
    best = int(np.argmin(losses)) + 1
    assert losses != sorted(losses)[::-1]  # at this rate some epochs are worse than the one before
    assert history.kept.number == best
    assert same(weights_of(model), seen[best - 1])


def test_dev_loss_is_the_mean_over_inputs_whatever_the_batches(task: Task, model: BertHead) -> None:
    found = [predict(model, task.train.inputs, task.loss, size) for size in (1, 4, 21)]
    logits = torch.from_numpy(np.concatenate(found[0].logits))
    targets = torch.from_numpy(np.concatenate([part.targets for part in task.train.inputs]))
    wanted = float(torch.nn.functional.cross_entropy(logits, targets))
    assert [part.loss for part in found] == pytest.approx([wanted] * 3, rel=1e-5)


def test_last_weights_are_kept_without_dev_data(task: Task, model: BertHead) -> None:
    task = dataclasses.replace(task, dev=None)
    history = fit(model, task, Options(epochs=3, rate=1e-3, patience=1))
    assert history.kept.number == len(history.epochs) == 3
    assert history.kept.measures == {}
    assert history.kept.dev_loss is None


def test_a_loss_that_runs_away_is_one_sentence(task: Task, model: BertHead) -> None:
    expected = r"not finite any more at step \d: --rate 1e\+30 is far above what BERT is trained at"
    with pytest.raises(TrainingError, match=expected):
        fit(model, task, Options(epochs=2, rate=1e30, batch_size=4))


def test_the_step_at_which_a_loss_ran_away_is_named(task: Task, model: BertHead) -> None:
    """The seventh step of all, the first of the second epoch: batches of 4 of 21 inputs."""
    steps = 0

    def loss(*batch: Any) -> torch.Tensor:
        nonlocal steps
        steps += model.training
        return task.loss(*batch) * (torch.nan if steps == 7 else 1)

    spoilt = dataclasses.replace(task, loss=loss, dev=None)
    with pytest.raises(TrainingError, match=r"at step 7: most often the .* try --rate 2e-05"):
        fit(model, spoilt, Options(epochs=2, rate=1e-4, batch_size=4))


def test_a_dev_loss_that_is_no_number_is_an_error(task: Task, model: BertHead) -> None:
    def loss(*batch: Any) -> torch.Tensor:
        return task.loss(*batch) * (1 if model.training else torch.inf)

    with pytest.raises(TrainingError, match="not finite any more at step 6"):
        fit(model, dataclasses.replace(task, loss=loss), Options(epochs=1, batch_size=4))


def test_weights_that_are_damaged_are_named_as_the_cause(task: Task, model: BertHead) -> None:
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match="at step 1: it is none before anything was learnt"):
        fit(model, task, Options(epochs=1, batch_size=4))


def test_a_run_goes_on_from_its_state_to_the_same_weights(
    tiny: Path, task: Task, tmp_path: Path
) -> None:
    options = Options(epochs=4, rate=1e-3, batch_size=4, patience=4)

    def fresh() -> BertHead:
        torch.manual_seed(1)
        encoder = load_encoder(tiny, dropout=0.2)
        return BertHead(encoder, task.head, len(task.labels))

    whole = fresh()
    history = fit(whole, task, options)
    model = fresh()
    wanted = iter([False] * (2 * 6 + 3) + [True])  # in the middle of the third epoch
    states: list[Any] = []
    keeping = Keeping(
        after=lambda _, state: states.append(copy.deepcopy(state)),
        asked_to_stop=lambda: next(wanted),
    )
    with pytest.raises(Stopped) as stopped:
        fit(model, task, options, keeping)
    assert stopped.value.history is not None
    assert stopped.value.history.epochs == history.epochs[:2]
    torch.save(states[-1], tmp_path / "state.pt")
    other = fresh()
    torch.manual_seed(99)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert fit(other, task, options, Keeping(state)) == history
    assert same(weights_of(whole), weights_of(other))


def test_a_run_that_was_over_is_not_trained_again(task: Task, model: BertHead) -> None:
    task, seen = told(task, model, (0.9, 0.2, 0.1, 0.8))
    options = Options(epochs=4, rate=1e-3, batch_size=8, patience=2)
    states: list[Any] = []
    history = fit(model, task, options, Keeping(after=lambda _, state: states.append(state)))
    assert len(seen) == 3
    assert fit(model, task, options, Keeping(states[-1])) == history
    assert len(seen) == 3
    assert same(weights_of(model), seen[0])


def test_predictions_depend_neither_on_batches_nor_on_dropout(tiny: Path, task: Task) -> None:
    config = load_encoder(tiny).config.with_dropout(0.5)
    torch.manual_seed(1)
    model = BertHead(type(load_encoder(tiny))(config), task.head, len(task.labels))
    model.train()
    inputs = [*task.train.inputs, dataclasses.replace(task.train.inputs[0], ids=np.arange(5, 28))]
    together, alone = (predict(model, inputs, task.loss, size).logits for size in (22, 1))
    assert [part.shape for part in alone] == [(1, 3)] * 22
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_steps_follow_the_rate_and_their_gradients_are_cut(task: Task, model: BertHead) -> None:
    steep = dataclasses.replace(task, loss=lambda *batch: 1e4 * task.loss(*batch))
    training = Training(model, steep, Options(epochs=2, rate=1e-3, batch_size=8, warm_up=0.4))
    rates: list[float] = []
    lengths: list[float] = []

    def note(optimiser: torch.optim.Optimizer, *_: object) -> None:
        rates.append(optimiser.param_groups[0]["lr"])
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"]]
        lengths.append(float(torch.nn.utils.get_total_norm(gradients)))

    training._optimiser.register_step_pre_hook(note)
    for number in (1, 2):
        training.epoch(number)
    assert rates == pytest.approx([1e-3 * factor for factor in (1 / 2, 1, 1, 3 / 4, 2 / 4, 1 / 4)])
    assert lengths == pytest.approx([1.0] * 6, rel=1e-3)


def test_a_step_in_parts_is_that_of_one_large_batch(tiny: Path, task: Task) -> None:
    """Of 21 inputs two steps of 9 and one of 3, in parts of 3."""

    def trained(**sizes: Any) -> Weights:
        torch.manual_seed(1)
        model = BertHead(load_encoder(tiny), task.head, len(task.labels))
        fit(model, task, Options(epochs=2, rate=1e-3, **sizes))
        return weights_of(model)

    whole, parts = trained(batch_size=9), trained(batch_size=3, accumulate=3)
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, atol=2e-5, rtol=0)
    other = trained(batch_size=3)
    assert any((other[name] - tensor).abs().max() > 1e-3 for name, tensor in whole.items())


def test_bf16_trains_nearly_alike_and_is_measured_in_float32(tiny: Path, task: Task) -> None:
    def trained(precision: str) -> tuple[Weights, float, list[torch.dtype]]:
        torch.manual_seed(1)
        model = BertHead(load_encoder(tiny), task.head, len(task.labels))
        dtypes: list[torch.dtype] = []

        def note(module: torch.nn.Module, _: Any, logits: torch.Tensor) -> None:
            if not module.training:
                dtypes.append(logits.dtype)

        model.register_forward_hook(note)
        history = fit(model, task, Options(epochs=3, rate=1e-3, batch_size=7, precision=precision))
        return weights_of(model), history.kept.loss, dtypes

    (ours, loss, _), (theirs, other, dtypes) = trained("fp32"), trained("bf16")
    assert not same(ours, theirs)
    assert all(tensor.dtype == torch.float32 for tensor in theirs.values())
    assert other == pytest.approx(loss, rel=0.05)
    assert dtypes
    assert set(dtypes) == {torch.float32}


def test_every_weight_is_trained(task: Task, model: BertHead) -> None:
    before = weights_of(model)
    Training(model, task, Options(epochs=1, rate=1e-3)).epoch(1)
    still = {
        name for name, tensor in weights_of(model).items() if torch.equal(tensor, before[name])
    }
    # Softmax does not see what is added to all keys alike: their bias has no gradient but noise.
    assert {name for name in still if not name.endswith("key.bias")} == set()
