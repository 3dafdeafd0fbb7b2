"""Parameter groups and learning rates."""

from dataclasses import replace

import pytest
import torch

from training.config import BertConfig
from training.model import BertForPreTraining
from training.pretrain.optimiser import ending_begins, make_optimiser, schedule, set_rate
from training.pretrain.recipe import Recipe

CONFIG = BertConfig(23, 12, 3, 3, 20)


def rates(recipe: Recipe, step: int, steps: int) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of every parameter."""
    model = BertForPreTraining(CONFIG)
    optimiser = make_optimiser(model, recipe)
    set_rate(optimiser, recipe, step, steps)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    assert found.keys() == set(names.values())
    return found


def test_biases_and_norms_do_not_decay() -> None:
    for name, (_, decay) in rates(Recipe(weight_decay=0.01), 50, 100).items():
        bare = name.endswith("bias") or "LayerNorm" in name
        assert decay == (0.0 if bare else 0.01), name


def test_lower_layers_learn_more_slowly() -> None:
    found = rates(Recipe(rate=1.0, rate_layer_decay=0.5, warm_up=0.0, schedule="stable"), 1, 100)
    assert found["cls.predictions.bias"][0] == 1
    assert found["bert.pooler.dense.weight"][0] == 1
    assert found["bert.encoder.layer.2.output.dense.weight"][0] == 1
    assert found["bert.encoder.layer.0.output.dense.weight"][0] == 0.25
    assert found["bert.embeddings.word_embeddings.weight"][0] == 0.125


def test_heads_alone_learn_first() -> None:
    recipe = Recipe(heads_first=0.2)
    early, later = rates(recipe, 19, 100), rates(recipe, 20, 100)
    assert early["cls.seq_relationship.weight"][0] > 0
    assert early["bert.encoder.layer.2.output.dense.weight"][0] == 0
    assert later["bert.encoder.layer.2.output.dense.weight"][0] > 0


@pytest.mark.parametrize("name", ["linear", "stable"])
def test_rate_rises_and_falls_to_nearly_nothing(name: str) -> None:
    recipe = Recipe(schedule=name, warm_up=0.1, decay=0.25)
    shares = [schedule(recipe, step, 200) for step in range(200)]
    assert shares[0] == pytest.approx(1 / 20)
    assert max(shares) == 1
    assert shares[19] == 1
    assert 0 < shares[-1] < 0.03
    assert shares[:20] == sorted(shares[:20])
    assert shares[20:] == sorted(shares[20:], reverse=True)


def test_ending_begins_where_the_rate_first_falls() -> None:
    recipe = Recipe(tokens=4096 * 200, schedule="stable", decay=0.25)
    first = ending_begins(recipe, processes=1)
    assert schedule(recipe, first, 200) == 1 > schedule(recipe, first + 1, 200)


def test_longer_sequences_begin_no_earlier_than_said() -> None:
    recipe = Recipe(
        tokens=4096 * 200, schedule="stable", decay=0.05, long_tokens=512, long_part=0.5
    )
    assert ending_begins(recipe, processes=1) == 100
    assert ending_begins(replace(recipe, int8_part=0.6), processes=1) == 80


def test_groups_survive_saving() -> None:
    model = BertForPreTraining(CONFIG)
    optimiser = make_optimiser(model, Recipe(rate_layer_decay=0.9))
    state = optimiser.state_dict()
    other = make_optimiser(BertForPreTraining(CONFIG), Recipe(rate_layer_decay=0.9))
    other.load_state_dict(state)
    assert [g["factor"] for g in other.param_groups] == [
        g["factor"] for g in optimiser.param_groups
    ]
    assert isinstance(other, torch.optim.AdamW)
