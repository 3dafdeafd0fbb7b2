"""Recipes from files and flags."""

import argparse
from dataclasses import fields
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.pretrain.recipe import Recipe, add_recipe_flags, flag_values, read_recipe

REPOSITORY = Path(__file__).parents[3]


def parse(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_recipe_flags(parser)
    return parser.parse_args(flags)


def test_flags_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("rate = 1e-3\nseed = 7\nwhole_words = true\n")
    recipe = read_recipe(path, flag_values(parse("--seed", "8", "--no-whole-words")))
    assert recipe == Recipe(rate=1e-3, seed=8, whole_words=False)


def test_every_option_is_a_flag() -> None:
    given = parse(*(f"--{f.name.replace('_', '-')}={f.default}" for f in fields(Recipe)
                    if not isinstance(f.default, bool)))  # fmt: skip
    assert read_recipe(None, flag_values(given)) == Recipe()


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
        ("whole_words = 1", "`whole_words` must be of type bool"),
        ("tokens = 0", "`tokens` must be at least 1"),
        ("int8_part = 10", "`int8_part` is a share, from 0 to 1"),
        ("decay = -0.5", "`decay` is a share, from 0 to 1"),
        ("long_place = 'middle'", "`long_place` is one of end, throughout"),
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
