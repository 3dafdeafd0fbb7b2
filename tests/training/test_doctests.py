"""Every example in a docstring of `training` is run."""

import doctest
import importlib
import pkgutil

import pytest

import training

MODULES = [
    module.name
    for module in pkgutil.walk_packages(training.__path__, "training.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
