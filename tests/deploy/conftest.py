"""Servers with faults, for tests of what watches servers."""

from tests.acceptance.conftest import faulty

__all__ = ["faulty"]
