"""Every example in a docstring of `training.evaluate` is run."""

import doctest
import importlib
import pkgutil

import pytest

import training.evaluate

MODULES = [
    module.name
    for module in pkgutil.walk_packages(training.evaluate.__path__, "training.evaluate.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
