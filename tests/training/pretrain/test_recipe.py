"""Recipes from files and flags."""

import argparse
from dataclasses import fields, replace
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.options import add_flags, given_flags
from training.pretrain.recipe import Recipe, read_recipe

REPOSITORY = Path(__file__).parents[3]


def parse(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser, Recipe)
    return parser.parse_args(flags)


def test_flags_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("rate = 1e-3\nseed = 7\n")
    recipe = read_recipe(path, given_flags(parse("--seed", "8"), Recipe))
    assert recipe == Recipe(rate=1e-3, seed=8)


def test_every_option_is_a_flag() -> None:
    options = {option.name.replace("_", "-"): option.default for option in fields(Recipe)}
    given = parse(*(f"--{name}={default}" for name, default in options.items()))
    assert read_recipe(None, given_flags(given, Recipe)) == Recipe()


def test_whole_numbers_are_rates_too(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("distillation = 10\nteacher = 'folder'\n")
    assert read_recipe(path, {}).distillation == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rat = 1", "no option `rat`"),
        ("rate = 'high'", "`rate` must be of type float"),
        ("tokens = 1.5", "`tokens` must be of type int"),
        ("seed = true", "`seed` must be of type int"),
        ("tokens = 0", "`tokens` must be at least 1"),
        ("int8_part = 10", "`int8_part` is a share, from 0 to 1"),
        ("decay = -0.5", "`decay` is a share, from 0 to 1"),
        ("precision = 'fp8'", "`precision` is one of fp32, bf16"),
        ("rate = ", "cannot be read as a recipe"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_recipe(path, {})


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("training/recipes/*.toml")), ids=str)
def test_recipes_of_the_repository_are_read(path: Path) -> None:
    assert read_recipe(path, {"teacher": "folder"}).tokens > 0


def test_ending_begins_where_the_rate_first_falls() -> None:
    recipe = Recipe(tokens=4096 * 200, rate=1.0, schedule="stable", decay=0.25)
    first = recipe.ending_begins
    assert recipe.rate_at(first) == 1 > recipe.rate_at(first + 1)


def test_ending_begins_with_rounding_where_that_comes_first() -> None:
    recipe = Recipe(tokens=4096 * 200, schedule="stable", decay=0.05)
    assert recipe.ending_begins == 190
    assert replace(recipe, int8_part=0.6).ending_begins == 80
